"""Checks that recognise a likely mistake in a scan whose shapes are right, and name it."""

from __future__ import annotations

import logging

import numpy as np

from ptycho.data.dark_frames import dark_frames, is_without_beam
from ptycho.data.defects import Defects, defects_of, sound_energies
from ptycho.data.frame_numbers import skipping
from ptycho.data.intensity import check_not_intensity
from ptycho.data.overlap import warn_of_overlap
from ptycho.data.placement import CLOSEST_PX, check_on_object, spacing_px
from ptycho.data.reconstruction import warn_of_real_object
from ptycho.data.scan import ScanData, bright_among
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

# Frames looked at where a few tell as much as all.
_SAMPLE_FRAMES = 16
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
    warn_of_overlap(scan)
    if scan.object_guess is not None:
        _warn_of_object(scan.object_guess)
    defects = defects_of(scan)
    sound = ~defects.bad
    energies = sound_energies(scan, defects)
    dark, bright = dark_frames(scan, energies, sound), bright_among(energies)
    if not energies.any() or is_without_beam(scan, sound):
        logger.warning(
            "the frames are lit as evenly as by dark counts alone, though the probe would light them unevenly: there "
            "seems to be no beam in them; check where the frames were taken from"
        )
    else:
        sample = scan.select(_usual_frames(energies, dark, bright))
        sample = sample.with_mask(sound if scan.mask is None else sound & scan.mask) if defects else sample
        _check_centring(sample.amplitude)
        check_not_intensity(sample)
    _warn_of_pixels(defects)
    _warn_of_frames(energies, dark, bright)


def _usual_frames(energies: np.ndarray, dark: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Return the numbers of a few frames that are none of blank, dark and too bright."""
    lit = np.setdiff1d(np.flatnonzero(energies), np.concatenate([dark, bright]))
    return lit[np.linspace(0, lit.size - 1, min(_SAMPLE_FRAMES, lit.size)).astype(np.int64)]


def _check_positions(scan: ScanData) -> None:
    if scan.object_guess is not None:
        check_on_object(scan.positions_yx, scan.object_guess.shape, scan.patch_size)
    else:
        _check_spread(scan.positions_yx, scan.patch_size)
    if scan.n_frames > 1 and np.ptp(scan.positions_yx, axis=0).max() < 0.01:
        logger.warning(
            "all %d positions lie within 0.01 pixels of each other; if they are in metres, "
            "read them with `position_unit='m'`, and with `object_pixel_m` if the file does not tell the size of the "
            "object's pixel",
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
            "are in micrometres or nanometres, read them with `position_unit='um'` or `position_unit='nm'`, and with "
            "`object_pixel_m` if the file does not tell the size of the object's pixel",
            nearest_px,
        )
    elif nearest_px > patch_size:
        logger.warning(
            "neighbouring positions lie %.4g pixels apart (median), but frames of %d pixels overlap only below that; "
            "if they are in nanometres, read them with `position_unit='nm'`, and with `object_pixel_m` if the file "
            "does not tell the size of the object's pixel",
            nearest_px,
            patch_size,
        )


def _warn_of_pixels(defects: Defects) -> None:
    if defects:
        logger.warning(
            "pixels of the detector do not measure: %s; mask them with `mask_hot=True`, or "
            "they are taken for what the sample scatters",
            defects.in_words(),
        )


def _warn_of_frames(energies: np.ndarray, dark: np.ndarray, bright: np.ndarray) -> None:
    blank = np.flatnonzero(energies == 0)
    if blank.size:
        logger.warning(
            "%d of %d frames are zero everywhere, the first being %d; they add nothing but noise to the "
            "image, so leave them out (%s)",
            blank.size,
            energies.size,
            blank[0],
            skipping(blank),
        )
    if dark.size or bright.size:
        usual = np.median(np.delete(energies, np.concatenate([blank, dark])))
        _warn_of_unusual_frames(energies / usual, dark, bright)


def _warn_of_unusual_frames(relative: np.ndarray, dark: np.ndarray, bright: np.ndarray) -> None:
    """Warn of frames whose energies (n,), `relative` to that of a typical one, are far from 1."""
    if dark.size:
        logger.warning(
            "%d of %d frames hold dark counts alone, spread evenly over the detector, the first being %d with %.3g "
            "times the energy of a typical one; the beam seems to have been off, so leave them out (%s)",
            dark.size,
            relative.size,
            dark[0],
            relative[dark[0]],
            skipping(dark),
        )
    if bright.size:
        logger.warning(
            "%d of %d frames have more than 20 times the energy of a typical one, the first being %d with %.3g times; "
            "they do not count for the scale of the frames, so leave them out altogether (%s)",
            bright.size,
            relative.size,
            bright[0],
            relative[bright[0]],
            skipping(bright),
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
            f"mend it, or leave it out ({skipping(np.array([worst]))})."
        )


def _warn_of_object(image: np.ndarray) -> None:
    if not np.ptp(np.abs(image - image[0, 0])):
        logger.warning("objectGuess is the same everywhere: as ground truth it says nothing")
    else:
        warn_of_real_object(image, "objectGuess")


def _check_centring(sample: np.ndarray) -> None:
    energy = np.square(sample, dtype=np.float64).mean(axis=0)
    # Twice, for what a single pixel does, whatever it may be, says nothing of the beam.
    if _is_at_corners(energy) and _is_at_corners(_without_spikes(energy)):
        share = _central_share(np.fft.fftshift(energy)), _central_share(energy)
        raise DataError(
            f"the frames have {share[0]:.0%} of their energy at the corners and {share[1]:.0%} in the middle, so the "
            "DC term is not at pixel (N/2, N/2); read them with `dc='corner'`, or store numpy.fft.fftshift of them "
            "over their last two axes."
        )


def _is_at_corners(energy: np.ndarray) -> bool:
    # A box of half the side: as much area inside as the four corners have when shifted to the middle.
    return _central_share(np.fft.fftshift(energy)) > _CORNER_EXCESS * _central_share(energy)


def _without_spikes(energy: np.ndarray) -> np.ndarray:
    """Return the image with the median of 3x3 pixels in place of each; without its brightest if nothing is left."""
    from scipy.ndimage import median_filter

    smooth = median_filter(energy, 3, mode="wrap")
    return smooth if smooth.any() else np.where(energy < energy.max(), energy, 0)


def _central_share(image: np.ndarray) -> float:
    rows, columns = (slice(side // 4, side - side // 4) for side in image.shape)
    total = image.sum()
    return float(image[rows, columns].sum() / total) if total else 0.0
