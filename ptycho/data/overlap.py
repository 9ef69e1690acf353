"""How far apart the positions of a scan are, how wide its beam is, and doubts that follow from the two."""

from __future__ import annotations

import logging
import math

import numpy as np

from ptycho.data.placement import spacing_px
from ptycho.data.scan import ScanData

logger = logging.getLogger(__name__)

# The beam's width is that of the circle which holds this share of the probe's energy: 2.1 times the 1/e² radius of a
# Gaussian, the whole of a disk but its outermost pixels.
_ENERGY_WITHIN = 0.9
# Sparse scans have neighbours about as far apart as that; a wrong unit or pixel is wrong by more.
_APART = 1.25
# What scans are usually taken with: Bunk et al. 2008, https://doi.org/10.1016/j.ultramic.2007.08.003.
_USUAL_OVERLAP = (0.6, 0.7)
# Refined from a flat image, the amplitude of the demo's objects is lost below it (docs/formats.md).
_LEAST_OVERLAP = 0.3
# More frames than this share with the position of another are no chance.
_REPEATED = 0.01
# Above this the wave on the detector is no far field: Goodman, Introduction to Fourier Optics, section 4.2.
_NEAR_FIELD = 10.0
# A far field without phase has no imaginary part, up to the rounding of single precision.
_FLAT = 1e-3


def median_step(positions_yx: np.ndarray) -> float | None:
    """Return the median distance between nearest places, in the positions' unit; None for fewer than four of them."""
    step = spacing_px(positions_yx)
    return None if math.isnan(step) else step


def beam_width_px(probe: np.ndarray) -> float:
    """Return the diameter, in pixels, of the circle about the beam's middle that holds 90 % of its energy."""
    energy = np.abs(probe.astype(np.complex128)) ** 2
    rows, columns = np.indices(energy.shape)
    total = energy.sum()
    row, column = (float((energy * axis).sum() / total) for axis in (rows, columns))
    distance = np.hypot(rows - row, columns - column).ravel()
    order = np.argsort(distance)
    within = np.cumsum(energy.ravel()[order]) / total
    return 2 * float(distance[order][np.searchsorted(within, _ENERGY_WITHIN)])


def repeated_positions(positions_yx: np.ndarray) -> np.ndarray:
    """Return the numbers of the frames whose position is that of an earlier frame, (k,) int64."""
    first = np.unique(positions_yx, axis=0, return_index=True)[1]
    return np.setdiff1d(np.arange(len(positions_yx)), first)


def fresnel_number(scan: ScanData) -> float | None:
    """Return (width on the sample)² / (wavelength · distance); None if a length is not known.

    The width is the beam's, or the step between positions if that is larger: frames that overlap are at least as
    wide. Far field, on which all networks here are built, needs a small one.
    """
    lengths = scan.geometry
    if lengths is None or lengths.wavelength_m is None or lengths.detector_distance_m is None:
        return None
    width_px = max(beam_width_px(scan.probe), median_step(scan.positions_yx) or 0.0)
    return (width_px * lengths.object_pixel_m) ** 2 / (lengths.wavelength_m * lengths.detector_distance_m)


def warn_of_overlap(scan: ScanData) -> None:
    """Warn of frames that do not overlap, of positions that are given twice, and of a near field."""
    _warn_of_gaps(scan)
    repeated = repeated_positions(scan.positions_yx)
    if len(scan.positions_yx) - repeated.size > 1 and repeated.size > _REPEATED * scan.n_frames:
        logger.warning(
            "%d of %d positions are exactly those of an earlier frame, the first being frame %d; unless the scan "
            "stayed there, they were rounded, or the stage was not read in time: check the source of the positions",
            repeated.size,
            scan.n_frames,
            repeated[0],
        )
    number = fresnel_number(scan)
    if number is not None and number > _NEAR_FIELD:
        logger.warning(
            "the Fresnel number, (width on the sample)² / (wavelength · distance), is %.3g, so these frames are near "
            "field, but the far field of the patches is expected (below %g); check `detector_distance_m`, "
            "`photon_energy_j` and `object_pixel_m`, or reconstruct with a near-field program",
            number,
            _NEAR_FIELD,
        )


def overlap_of(step_px: float | None, probe: np.ndarray) -> float | None:
    """Return ``1 - step / beam width``, below 0 where beams do not touch, of a `median_step`.

    None where that is not known: for fewer than four places, and for a probe whose far field is flat.
    """
    return None if step_px is None or is_focused_guess(probe) else 1 - step_px / beam_width_px(probe)


def _warn_of_gaps(scan: ScanData) -> None:
    step_px = median_step(scan.positions_yx)
    overlap = overlap_of(step_px, scan.probe)
    # Steps of more than a frame are said of the positions alone.
    if step_px is None or overlap is None or step_px > scan.patch_size:
        return
    width_px = beam_width_px(scan.probe)
    if step_px > _APART * width_px:
        logger.warning(
            "neighbouring positions lie %.3g pixels apart (median) but 90 %% of the beam is within %.3g, so frames "
            "hardly overlap; check the unit of the positions, `position_unit`, and the size of the object's pixel, "
            "`object_pixel_m`",
            step_px,
            width_px,
        )
    elif overlap < _LEAST_OVERLAP:
        least, usual = (100 * share for share in _USUAL_OVERLAP)
        logger.warning(
            "neighbouring frames overlap by %.0f %% (median step %.3g pixels, 90 %% of the beam within %.3g) but "
            "ptychography takes %.0f to %.0f %%: hardly anything ties their patches together; measure in steps of at "
            "most %.3g pixels, or check `position_unit` and `object_pixel_m`",
            100 * max(overlap, 0.0),
            step_px,
            width_px,
            least,
            usual,
            (1 - _USUAL_OVERLAP[0]) * width_px,
        )


def is_focused_guess(probe: np.ndarray) -> bool:
    """Tell whether a probe has a flat far field, as one that was estimated from the mean frame, too small, does."""
    far = np.fft.fft2(np.fft.ifftshift(probe.astype(np.complex128)))
    return bool(np.abs(far - np.abs(far)).max() < _FLAT * np.abs(far).max())
