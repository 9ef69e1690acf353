"""Checks that recognise a likely mistake in a scan whose shapes are right, and name it."""

from __future__ import annotations

import logging

import numpy as np

from ptycho.data.placement import CLOSEST_PX, check_on_object, spacing_px
from ptycho.data.reconstruction import warn_of_real_object
from ptycho.data.scan import ScanData
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

# Frames looked at where a few tell as much as all.
_SAMPLE_FRAMES = 16
# Distinct values needed before whole numbers are taken for counts: amplitudes that are all whole come
# from counts 1, 4, 9 with none between.
_MIN_DISTINCT = 3
# Whole numbers are exact in float32 to 2**24; above 2**22 few fractions are left to tell them from.
_MAX_WHOLE = 2.0**22
# Multiples of a fractional quantum are looked for up to here: beyond, float32 rounding hides the rest.
_MAX_MULTIPLE = 10_000
# Below these the fit of the exponent says nothing, for want of light or of a fitting object.
_MIN_PIXELS = 100
_MIN_CORRELATION = 0.8
_ROOT = "store numpy.sqrt of the frames"
# Corner energy over centre energy that no centred far field reaches.
_CORNER_EXCESS = 2.0
# No chain of overlapping frames is longer than n frames; short scans are given this many.
_MIN_CHAIN = 100


def check_plausible(scan: ScanData) -> None:
    """Refuse a scan that meets the contract's shapes but cannot be right.

    Recognised are frames that hold intensity, frames whose DC term is at the corner, and positions
    that no scan of these frames, or of this object, can have. Blank frames, positions that all
    coincide, and a featureless object are only logged as warnings.

    Parameters
    ----------
    scan : ScanData

    Raises
    ------
    DataError
        Names the mistake, the value that shows it, and the remedy.
    """
    _check_positions(scan)
    if scan.object_guess is not None:
        _warn_of_object(scan.object_guess)
    _warn_of_blanks(scan)
    _warn_of_bright_frames(scan)
    sample = scan.select(_sample_indices(scan))
    _check_centring(sample.amplitude)
    _check_not_counts(sample.amplitude)
    _check_exponent(sample)


def _sample_indices(scan: ScanData) -> np.ndarray:
    lit = np.flatnonzero(scan.frame_energies)
    return lit[np.linspace(0, lit.size - 1, min(_SAMPLE_FRAMES, lit.size)).astype(np.int64)]


def _check_positions(scan: ScanData) -> None:
    if scan.object_guess is not None:
        check_on_object(scan.positions_yx, scan.object_guess.shape, scan.patch_size)
    else:
        _check_spread(scan.positions_yx, scan.patch_size)
    if scan.n_frames > 1 and np.ptp(scan.positions_yx, axis=0).max() < 0.01:
        logger.warning(
            "all %d positions lie within 0.01 pixels of each other; if they are in metres, "
            "divide them by the pixel size",
            scan.n_frames,
        )
    else:
        _warn_of_unit(scan.positions_yx, scan.patch_size)


def _warn_of_unit(positions_yx: np.ndarray, patch_size: int) -> None:
    """Warn of neighbours that lie closer than half a pixel, or farther apart than a frame is wide."""
    nearest_px = spacing_px(positions_yx)
    if nearest_px < CLOSEST_PX:
        logger.warning(
            "neighbouring positions lie %.3g pixels apart (median), but a scan moves by at least half a pixel; if they "
            "are in micrometres or nanometres, divide them by the size of the object's pixel",
            nearest_px,
        )
    elif nearest_px > patch_size:
        logger.warning(
            "neighbouring positions lie %.4g pixels apart (median), but frames of %d pixels overlap only below that; "
            "if they are in nanometres, divide them by the size of the object's pixel",
            nearest_px,
            patch_size,
        )


def _warn_of_bright_frames(scan: ScanData) -> None:
    bright = scan.bright_outliers
    if bright.size:
        energies = scan.frame_energies
        logger.warning(
            "%d of %d frames have more than 20 times the energy of a typical one, the first being %d with %.3g times; "
            "they are left out of the scale of the frames, and should be removed",
            bright.size,
            scan.n_frames,
            bright[0],
            energies[bright[0]] / np.median(energies[energies > 0]),
        )


def _check_spread(positions_yx: np.ndarray, patch_size: int) -> None:
    # The median, unlike the mean, stays with the scan when one position is astray.
    distance = np.abs(positions_yx - np.median(positions_yx, axis=0)).max(axis=1)
    reach = max(len(positions_yx), _MIN_CHAIN) * patch_size
    worst = int(distance.argmax())
    if distance[worst] > reach:
        y, x = positions_yx[worst]
        raise DataError(
            f"frame {worst} is at y = {y:.6g}, x = {x:.6g}, {distance[worst]:.3g} pixels from the middle "
            f"of the scan, but overlapping frames of {patch_size} pixels reach at most {reach}; "
            "mend or remove it."
        )


def _warn_of_blanks(scan: ScanData) -> None:
    blank = np.flatnonzero(scan.frame_energies == 0)
    if blank.size:
        logger.warning(
            "%d of %d frames are zero everywhere, the first being %d; they add nothing but noise to the "
            "image, so consider removing them",
            blank.size,
            scan.n_frames,
            blank[0],
        )


def _warn_of_object(image: np.ndarray) -> None:
    if not np.ptp(np.abs(image - image[0, 0])):
        logger.warning("objectGuess is the same everywhere: as ground truth it says nothing")
    else:
        warn_of_real_object(image, "objectGuess")


def _check_centring(sample: np.ndarray) -> None:
    energy = np.square(sample, dtype=np.float64).sum(axis=0)
    # A box of half the side: as much area inside as the four corners have when shifted to the middle.
    centre, corners = _central_sum(energy), _central_sum(np.fft.fftshift(energy))
    if corners > _CORNER_EXCESS * centre:
        raise DataError(
            f"the frames have {corners / energy.sum():.0%} of their energy at the corners and "
            f"{centre / energy.sum():.0%} in the middle, so the DC term is not at pixel (N/2, N/2); "
            "apply numpy.fft.fftshift over their last two axes."
        )


def _central_sum(image: np.ndarray) -> float:
    rows, columns = (slice(side // 4, side - side // 4) for side in image.shape)
    return float(image[rows, columns].sum())


def _check_not_counts(sample: np.ndarray) -> None:
    """Refuse frames whose values are whole multiples of one quantum, as photon counts are.

    Amplitudes from counts are square roots 1, 1.41, 1.73, 2, …: among their multiples of the smallest,
    fractions abound. Frames of zeros and ones pass: there the square root changes nothing.
    """
    values = np.unique(sample[sample > 0]).astype(np.float64)
    for quantum, limit, tolerance in (1.0, _MAX_WHOLE, 0.0), (values[0], _MAX_MULTIPLE * values[0], 0.01):
        multiples = values[values <= limit] / quantum
        enough = multiples.size >= _MIN_DISTINCT and multiples.size > values.size / 2
        if enough and np.abs(multiples - np.rint(multiples)).max() <= tolerance:
            raise DataError(
                f"the frames hold {values.size} distinct values up to {values[-1]:.6g}, all whole multiples "
                f"of {quantum:.6g}, as counts (intensity) have, but amplitude is expected; {_ROOT}."
            )


def _check_exponent(sample: ScanData) -> None:
    """Refuse frames that follow the square of the far field that object and probe predict.

    This finds intensity that is not whole-numbered, as simulated without noise. It needs the object,
    and compares how frames differ from one another: what they share is the probe's far field, which a
    loose probe guess gets wrong by any power.
    """
    if sample.object_guess is None or sample.n_frames < 2:
        return
    predicted, measured = _contrasts(_predicted_frames(sample), sample.amplitude)
    if predicted.size < _MIN_PIXELS:
        return
    spread = np.array([predicted.std(), measured.std()])
    if not spread.all() or (predicted * measured).mean() < _MIN_CORRELATION * spread.prod():
        return
    exponent = (predicted * measured).mean() / predicted.var()
    if exponent > 1.5:
        raise DataError(
            f"the frames follow the far field of probe and object to the power {exponent:.2f}, but amplitude "
            f"follows it to the power 1 and intensity to the power 2; {_ROOT}."
        )


def _predicted_frames(sample: ScanData) -> np.ndarray:
    """Return |FFT(probe · patch)| at the whole-pixel positions; zero where a patch leaves the object."""
    side = sample.patch_size
    padded = np.pad(np.asarray(sample.object_guess), side)
    corners = np.floor(sample.positions_yx).astype(np.int64) - side // 2 + side
    patches = np.stack([padded[y : y + side, x : x + side] for y, x in corners])
    return np.abs(np.fft.fftshift(np.fft.fft2(patches * sample.probe), axes=(-2, -1)))


def _contrasts(predicted: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of both without each pixel's mean over the frames.

    Pixels are used where the prediction is in its upper half and no frame is dark.
    """
    lit = (predicted > 0).all(axis=0) & (measured > 0).all(axis=0)
    mean = predicted.mean(axis=0)
    bright = lit & (mean > np.median(mean))
    logs = np.log(predicted[:, bright]), np.log(measured[:, bright])
    first, second = (log - log.mean(axis=0) for log in logs)
    return first.ravel(), second.ravel()
