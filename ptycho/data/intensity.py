"""Frames that hold intensity where amplitude is expected: recognised by counts, by the object, or by the probe."""

from __future__ import annotations

import logging

import numpy as np

from ptycho.data.illumination import PLAUSIBLE_RATIO
from ptycho.data.scan import ScanData
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

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
# Halfway between amplitude (1) and intensity (2).
_EXPONENT = 1.5
# The far field of the probe is followed where it is brightest: elsewhere the object scatters more light than it.
_BRIGHTEST = 0.2
_ROOT = "read them with `values='intensity'`, or store numpy.sqrt of the frames"
_CLIPPED_ROOT = "read them with `values='intensity'`, or store numpy.sqrt(numpy.clip(frames, 0, None))"


def check_not_intensity(sample: ScanData) -> None:
    """Refuse frames that hold intensity.

    Parameters
    ----------
    sample : ScanData
        Some usual frames of a scan, without hot pixels.

    Raises
    ------
    DataError
        The frames are counts, follow the square of what object and probe predict, or have the energy and the shape
        that intensities under this probe have.
    """
    _check_not_counts(sample.amplitude)
    _check_exponent(sample)
    _check_against_probe(sample)


def _check_not_counts(sample: np.ndarray) -> None:
    """Refuse frames whose values are whole multiples of one quantum, as photon counts are.

    Amplitudes from counts are square roots 1, 1.41, 1.73, 2, …: among their multiples of the smallest,
    fractions abound. Frames of zeros and ones pass: there the square root changes nothing.
    """
    values = np.unique(sample[sample > 0]).astype(np.float64)
    for quantum, limit, tolerance in (1.0, _MAX_WHOLE, 0.0), (values[0], _MAX_MULTIPLE * values[0], 0.01):
        multiples = values[values <= limit] / quantum
        distinct = np.unique(np.rint(multiples)).size
        enough = distinct >= _MIN_DISTINCT and multiples.size > values.size / 2
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
    if exponent > _EXPONENT:
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


def _check_against_probe(sample: ScanData) -> None:
    """Refuse frames that lie on the scale of the probe, and follow its far field, as intensity alone does.

    This needs no object. One of the two signs may have another reason (a probe in other units, a loose guess of
    it), so one alone is a warning; where the energy is plausible as it is, there is no suspicion.
    """
    probe_energy = float(np.linalg.norm(sample.probe.astype(np.complex128)) ** 2)
    as_amplitude = probe_energy / _bright(np.square(sample.amplitude, dtype=np.float64))
    low, high = PLAUSIBLE_RATIO
    if low <= as_amplitude <= high:
        return
    as_intensity = probe_energy / _bright(sample.amplitude.astype(np.float64))
    on_scale = low <= as_intensity <= high
    exponent = _exponent_under_probe(sample)
    follows = exponent is not None and exponent > _EXPONENT
    if on_scale and follows:
        raise DataError(
            f"the frames follow the far field of the probe to the power {exponent:.2f}, and its energy is "
            f"{as_intensity:.3g} times the sum of the brightest frames but {as_amplitude:.3g} times the sum of their "
            f"squares, so they hold intensity, but amplitude is expected; {_CLIPPED_ROOT}."
        )
    if on_scale or follows:
        sign = (
            f"the probe's energy is {as_intensity:.3g} times the sum of the brightest frames"
            if on_scale
            else f"they follow the far field of the probe to the power {exponent:.2f}"
        )
        logger.warning(
            "the frames may hold intensity where amplitude is expected, for %s; if they do, %s, and if not, the probe "
            "is in other units",
            sign,
            _CLIPPED_ROOT,
        )


def _bright(values: np.ndarray) -> float:
    return float(np.percentile(values.sum(axis=(1, 2)), 99))


def _exponent_under_probe(sample: ScanData) -> float | None:
    """Return the power to which the frames follow the far field of the probe, None if they do not.

    The frames enter by their mean square: that of amplitudes of few photons is still proportional to the light.
    """
    far = np.abs(np.fft.fftshift(np.fft.fft2(sample.probe.astype(np.complex128))))
    mean = np.sqrt(np.square(sample.amplitude, dtype=np.float64).mean(axis=0))
    used = (mean > 0) & (far > 0) & (far >= np.quantile(far, 1 - _BRIGHTEST))
    if np.count_nonzero(used) < _MIN_PIXELS:
        return None
    x, y = (values - values.mean() for values in (np.log(far[used]), np.log(mean[used])))
    spread = np.sqrt((x @ x) * (y @ y))
    if not spread > 0 or x @ y < _MIN_CORRELATION * spread:
        return None
    return float((x @ y) / (x @ x))
