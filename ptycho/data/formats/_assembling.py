"""From the parts of files to a scan, or to a finished reconstruction."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ptycho.data.checks import check_plausible
from ptycho.data.defects import find_defects, without_defects
from ptycho.data.formats._amplitudes import amplitude_and_mask
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.geometry import ScanGeometry, lengths_of
from ptycho.data.illumination import consistent_probe, probe_of_mean_frame
from ptycho.data.reconstruction import Reconstruction, strongest_mode, warn_of_real_object
from ptycho.data.scan import ScanData
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

# A power of two, so that what other files keep as float32 pixels is met exactly; what is finer is rounding.
_STEPS_PER_PX = 2.0**32


def scan_of(parts: Parts, *, plausibility: bool = True, mask_hot: bool = False) -> ScanData:
    """Return the scan that `parts`, of which nothing is missing, make up.

    Frames and positions are paired by number where both have one. Of several modes of the probe the strongest
    is kept; without a probe one is estimated from the mean frame. An object that does not reach under the
    patches is left out.

    Raises
    ------
    DataError
        The parts do not fit together, or `check_plausible` refuses the scan.
    """
    frames, positions = parts.frames, parts.positions_yx
    assert frames is not None  # nothing is missing
    assert positions is not None
    geometry = _geometry(parts, frames.side)
    wanted, rows = _pairs(parts, frames.shape[0], len(positions))
    _refuse_cropped_object(parts, frames.shape, frames.side)
    centres = _centres(parts, geometry, frames.side, rows)
    amplitude, mask = amplitude_and_mask(frames, wanted, _bad_pixels(parts, frames.shape))
    scan = ScanData(
        amplitude=amplitude,
        positions_yx=centres,
        probe=_probe(parts, amplitude, mask),
        object_guess=_object_under(parts, centres, frames.side),
        scan_index=None if parts.scan_index is None else parts.scan_index[rows],
        mask=mask,
        geometry=geometry,
    )
    return consistent_probe(believed(scan, plausibility=plausibility, mask_hot=mask_hot))


def believed(scan: ScanData, *, plausibility: bool, mask_hot: bool) -> ScanData:
    """Return a scan as it came from its file: checked if `plausibility`, hot and dead pixels masked if `mask_hot`."""
    if plausibility:
        check_plausible(scan)
    return without_defects(scan) if mask_hot else scan


def parts_of(scan: ScanData, name: str) -> Parts:
    """Return the parts that make up a scan, without its labels; `name` is that of its file."""
    return Parts(
        files=(name,),
        frames=replace(FrameStack.of_array(name, scan.amplitude), are_amplitudes=True),
        bad_pixels=None if scan.mask is None else ~scan.mask,
        positions_yx=scan.positions_yx,
        position_unit="px",
        probe=scan.probe,
        object_image=scan.object_guess,
        origin_yx=None if scan.object_guess is None else np.zeros(2),
        scan_index=scan.scan_index,
        **lengths_of(scan.geometry),
    )


def reconstruction_of(parts: Parts, title: str) -> Reconstruction:
    """Return the finished reconstruction in `parts`, which is of a file called `title` in messages."""
    if parts.object_image is None or parts.probe is None:
        held = (
            "object" if parts.object_image is not None else "probe" if parts.probe is not None else "neither"
        )
        raise DataError(
            f"{parts.names} is {title} with {held} of object and probe but a finished reconstruction needs both; "
            "name another file."
        )
    if not np.isfinite(parts.object_image).all():
        raise DataError(f"the object in {parts.names} holds NaN or infinity; reconstruct it again.")
    warn_of_real_object(parts.object_image, f"the object in {parts.names}")
    probe = strongest_mode(parts.probe, f"the probe in {parts.names}")
    positions = None
    if parts.positions_yx is not None and parts.origin_yx is not None:
        positions = _centres(parts, _geometry(parts, probe.shape[-1]), probe.shape[-1])
    return Reconstruction(
        label=parts.label or title,
        object=parts.object_image.astype(np.complex64),
        probe=probe.astype(np.complex64),
        positions_yx=positions,
    )


def _probe(parts: Parts, amplitude: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    if parts.probe is not None:
        return strongest_mode(parts.probe, f"the probe in {parts.names}")
    logger.warning(
        "%s: no probe; one is estimated from the mean frame, too small if the beam was out of focus",
        parts.names,
    )
    return probe_of_mean_frame(amplitude, ~find_defects(amplitude, mask=mask).bad)


def _geometry(parts: Parts, side: int) -> ScanGeometry | None:
    lengths = {
        "photon_energy_j": parts.photon_energy_j,
        "detector_distance_m": parts.detector_distance_m,
        "detector_pixel_m": parts.detector_pixel_m,
    }
    if parts.object_pixel_m is not None:
        return ScanGeometry(object_pixel_m=parts.object_pixel_m, **lengths)
    known = {name: value for name, value in lengths.items() if value is not None}
    return ScanGeometry.of_far_field(**known, patch_size=side) if len(known) == len(lengths) else None


def _pairs(parts: Parts, n_frames: int, n_positions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of frames and the rows of positions that belong together."""
    if parts.frame_ids is not None and parts.position_ids is None and n_frames < n_positions:
        return _pairs_by_row(parts, parts.frame_ids, n_positions)
    if parts.frame_ids is None or parts.position_ids is None:
        if n_frames != n_positions:
            raise _other_counts(parts, n_frames, n_positions)
        return np.arange(n_frames), np.arange(n_positions)
    where = {int(number): frame for frame, number in reversed(list(enumerate(parts.frame_ids)))}
    rows = np.array([row for row, number in enumerate(parts.position_ids) if int(number) in where], np.int64)
    wanted = np.array([where[int(parts.position_ids[row])] for row in rows], np.int64)
    if not rows.size:
        raise DataError(
            f"no position has the number of a frame, in {parts.names}; name files of the same scan."
        )
    if rows.size < n_positions or rows.size < n_frames:
        logger.warning(
            "%d of %d frames and %d positions share a number; the others are left out",
            rows.size,
            n_frames,
            n_positions,
        )
    return wanted, rows


def _pairs_by_row(parts: Parts, numbers: np.ndarray, n_positions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same for frames of which some are missing, where there is a position for every number."""
    if numbers.min() < 0 or numbers.max() != n_positions - 1 or np.unique(numbers).size != numbers.size:
        raise _other_counts(parts, numbers.size, n_positions)
    logger.warning(
        "%s: %d frames have numbers up to %d and there are %d positions: each frame is given the position in the row "
        "of its number, from 0, and the other positions are left out",
        parts.names,
        numbers.size,
        numbers.max(),
        n_positions,
    )
    return np.arange(numbers.size), numbers


def _other_counts(parts: Parts, n_frames: int, n_positions: int) -> DataError:
    return DataError(
        f"there are {n_frames} frames but {n_positions} positions, in {parts.names}; one position for each "
        f"frame is needed, so {_hint_of_counts(parts, n_positions)}."
    )


def _hint_of_counts(parts: Parts, n_positions: int) -> str:
    assert parts.frames is not None  # nothing is missing
    if parts.frames.shape[2] == n_positions:
        return (
            f"the frames, of shape {parts.frames.shape}, seem to be in the order (H, W, n): pass `axes='yxn'`"
        )
    return "name files of the same scan"


def _centres(
    parts: Parts, geometry: ScanGeometry | None, side: int, rows: np.ndarray | None = None
) -> np.ndarray:
    """Return patch centres in pixels, of some rows: in the object's frame, or with the smallest ones at N/2."""
    assert parts.positions_yx is not None  # nothing is missing
    positions = np.asarray(parts.positions_yx, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2 or not len(positions):
        raise DataError(
            f"the positions in {parts.names} have shape {positions.shape} but must be (n, 2), row and column; "
            "mend the file."
        )
    positions = positions if rows is None else positions[rows]
    pixel = 1.0
    if parts.position_unit == "m":
        if geometry is None:
            raise DataError(
                f"the positions in {parts.names} are in metres but the size of the object's pixel is not known; "
                "name a file that has photon energy, detector distance and detector pixel."
            )
        pixel = geometry.object_pixel_m
    if parts.object_image is not None and parts.origin_yx is not None:
        return _without_rounding((positions - parts.origin_yx) / pixel, parts)
    lowest = np.nanmin(positions, axis=0) if np.isfinite(positions).any() else 0.0
    return _without_rounding((positions - lowest) / pixel, parts) + side / 2


def _without_rounding(positions_px: np.ndarray, parts: Parts) -> np.ndarray:
    """Return positions that came from metres in steps of 2**-32 px, so that one scan is the same in every file."""
    if parts.position_unit != "m":
        return positions_px
    return np.rint(positions_px * _STEPS_PER_PX) / _STEPS_PER_PX


def _bad_pixels(parts: Parts, shape: tuple[int, ...]) -> np.ndarray | None:
    bad = parts.bad_pixels
    if bad is not None and bad.shape != shape[1:]:
        raise DataError(
            f"the mask in {parts.names} has shape {bad.shape} but the frames are {shape[1:]}; mend the file."
        )
    return bad


def _refuse_cropped_object(parts: Parts, shape: tuple[int, ...], side: int) -> None:
    """Cropping frames changes the object's pixel, so that a probe or object of the whole frames no longer fits."""
    assert parts.frames is not None  # nothing is missing
    if shape[1:] != (side * parts.frames.bin,) * 2 and (
        parts.probe is not None or parts.object_pixel_m is not None
    ):
        raise DataError(
            f"frames of {shape[1]}x{shape[2]} pixels would have to be cropped to {side}x{side}, but {parts.names} "
            f"has a probe or an object's pixel size that belong to other frames; pass `crop={side}`, which changes "
            "them too, or leave probe and object out."
        )
    if parts.probe is not None and parts.probe.shape[-2:] != (side, side):
        raise DataError(
            f"the probe in {parts.names} has shape {parts.probe.shape} but the frames are {side}x{side}; name files of "
            "the same scan."
        )


def _object_under(parts: Parts, centres: np.ndarray, side: int) -> np.ndarray | None:
    image = parts.object_image
    if image is None or parts.origin_yx is None:
        return None
    beyond = max(float((side / 2 - centres).max()), float((centres + side / 2 - image.shape[-2:]).max()))
    if beyond > side / 4:
        logger.warning(
            "the object in %s is %dx%d but patches reach %.0f pixels beyond it; it is left out",
            parts.names,
            *image.shape,
            beyond,
        )
        return None
    return image
