"""The project's own scan file: an NPZ as PtychoPINN's users know it (docs/formats.md)."""

from __future__ import annotations

import logging
import math
from os import PathLike
from pathlib import Path

import numpy as np

from ptycho._io.archive import Archive, errors_naming, open_archive
from ptycho._io.archive_writing import write_archive
from ptycho._io.atomic import replacing
from ptycho._io.row_store import made_of
from ptycho.data.checks import check_plausible
from ptycho.data.gaps import mask_gaps
from ptycho.data.geometry import ScanGeometry
from ptycho.data.scan import ScanData
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

FRAME_KEYS = ("diffraction", "diff3d")
_START_KEYS = ("xcoords_start", "ycoords_start")
# "valid_pixels" says which value counts; files with a "mask" disagree about it.
_OPTIONAL = {"object_guess": "objectGuess", "scan_index": "scan_index", "mask": "valid_pixels"}
_FRAMES_AT_ONCE = 1024
_LENGTHS = ("object_pixel_m", "photon_energy_j", "detector_distance_m", "detector_pixel_m")
_KNOWN = {*FRAME_KEYS, *_START_KEYS, *_OPTIONAL.values(), *_LENGTHS, "xcoords", "ycoords", "probeGuess", "Y"}


def read_npz(path: str | PathLike[str], *, labels: bool = True, plausibility: bool = True) -> ScanData:
    """Read a scan, never unpickling, and refuse what cannot be right.

    Frames and labels that `numpy.savez` stored in (n, N, N) order stay in the file and are read when they are
    used, so a scan may be larger than memory; leave the file as it is meanwhile.

    Frames may be stored as ``diffraction`` or ``diff3d`` with shape ``(n, N, N)``, ``(n, N, N, 1)`` or the
    legacy ``(N, N, n)``; the number of ``xcoords`` decides. Members that are not part of the format,
    such as ``_metadata``, are left unread and named in the log.

    Parameters
    ----------
    path : path
        The NPZ file.
    labels : bool
        Read the supervised labels ``Y`` if the file has them; they take twice the memory of the frames.
    plausibility : bool
        Also run `check_plausible`, which recognises intensities, unshifted frames and stray positions.
        Switch it off for a file known to be right that it refuses.

    Returns
    -------
    ScanData

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is damaged, lacks a key, or its contents break the contract; the message says which.
    """
    fields, geometry = unchecked_fields(Path(path), labels=labels)
    fields["amplitude"], mask = mask_gaps(fields["amplitude"], fields.get("mask"))
    if mask is not None:
        fields["mask"] = mask
    with errors_naming(path):
        scan = ScanData(**fields, geometry=geometry)
        if plausibility:
            check_plausible(scan)
    return scan


def unchecked_fields(path: Path, *, labels: bool) -> tuple[dict[str, np.ndarray], ScanGeometry | None]:
    """Return the fields of a `ScanData` as they are in the file, and its lengths.

    Raises
    ------
    DataError
        The file is damaged, lacks a key, or shapes and lengths in it do not fit.
    """
    with open_archive(path) as archive:
        fields = _read_fields(archive, labels=labels)
        lengths = {name: _read_length(archive, name) for name in _LENGTHS if _usable(archive, name)}
    with errors_naming(path):
        return fields, ScanGeometry(**lengths) if "object_pixel_m" in lengths else None


def write_npz(path: str | PathLike[str], scan: ScanData) -> None:
    """Write a scan so that `read_npz` gives it back; an existing file is replaced only when all is written.

    Parameters
    ----------
    path : path
        The file to make, used as given: no suffix is added.
    scan : ScanData
        What to store.

    Raises
    ------
    OSError
        The file cannot be written; an older one is untouched.
    """
    y, x = scan.positions_yx.T
    arrays = {
        "diffraction": scan.amplitude,
        "xcoords": x,
        "ycoords": y,
        "xcoords_start": x,
        "ycoords_start": y,
        "probeGuess": scan.probe,
        "objectGuess": scan.object_guess,
        "Y": scan.labels,
        "scan_index": scan.scan_index,
        "valid_pixels": scan.mask,
    }
    if scan.geometry is not None:
        arrays.update({name: getattr(scan.geometry, name) for name in _LENGTHS})
    with replacing(Path(path)) as file:
        write_archive(file, arrays.items())


def _read_fields(archive: Archive, *, labels: bool) -> dict[str, np.ndarray]:
    key = _frame_key(archive)
    archive.require([key, "xcoords", "ycoords", "probeGuess"])
    _note_unused(archive)
    n_frames = _count_positions(archive)
    amplitude = _read_stack(archive, key, n_frames)
    _refuse_other_shapes(archive, *amplitude.shape[:2])
    fields = {
        "amplitude": amplitude,
        "positions_yx": np.stack([archive.read("ycoords"), archive.read("xcoords")], axis=-1),
        "probe": archive.read("probeGuess"),
    }
    if labels and _usable(archive, "Y"):
        fields["labels"] = _read_stack(archive, "Y", n_frames)
    fields.update({field: archive.read(name) for field, name in _OPTIONAL.items() if _usable(archive, name)})
    return fields


def _frame_key(archive: Archive) -> str:
    present = [key for key in FRAME_KEYS if key in archive]
    if not present:
        raise DataError(
            f"{archive.name} has no diffraction frames; it holds {', '.join(archive.keys) or 'nothing'} and "
            f"needs one of {', '.join(FRAME_KEYS)}, besides xcoords, ycoords and probeGuess."
        )
    if len(present) > 1:
        logger.info("%s holds frames as both %s; %s is used", archive.name, " and ".join(present), present[0])
    return present[0]


def _note_unused(archive: Archive) -> None:
    unused = sorted(set(archive.keys) - _KNOWN)
    if unused:
        logger.info("%s: left unread, not part of the format: %s", archive.name, ", ".join(unused))


def _count_positions(archive: Archive) -> int:
    shapes = {key: archive.shape(key) for key in ("xcoords", "ycoords", *_START_KEYS) if key in archive}
    shape = shapes["xcoords"]
    if len(shape) != 1 or set(shapes.values()) != {shape}:
        listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise DataError(
            f"positions in {archive.name} have shapes {listed} but must all be (n,), "
            "one x and one y per frame; mend the file."
        )
    return shape[0]


def _refuse_other_shapes(archive: Archive, n_frames: int, side: int) -> None:
    """Refuse what does not match the frames by its header, before it is unpacked."""
    expected = {"probeGuess": (side, side), "valid_pixels": (side, side), "scan_index": (n_frames,)}
    for key, shape in expected.items():
        if key in archive and not archive.is_pickled(key) and archive.shape(key) != shape:
            hint = (
                "pass one probe mode"
                if key == "probeGuess" and len(archive.shape(key)) > 2
                else "store it so"
            )
            raise DataError(
                f"{key} in {archive.name} has shape {archive.shape(key)} but {shape} is needed to match the "
                f"{n_frames} frames of {side} rows; {hint}."
            )
    if (
        "objectGuess" in archive
        and not archive.is_pickled("objectGuess")
        and len(archive.shape("objectGuess")) != 2
    ):
        raise DataError(
            f"objectGuess in {archive.name} has shape {archive.shape('objectGuess')} but must be one image (H, W); "
            "store it so, or leave it out."
        )


def _usable(archive: Archive, key: str) -> bool:
    if key not in archive:
        return False
    if archive.is_pickled(key):
        logger.info("%s: %s is a pickled object (often None) and is left unread", archive.name, key)
        return False
    return True


def _read_length(archive: Archive, key: str) -> float:
    shape, dtype = archive.declared(key)
    if math.prod(shape) != 1 or dtype.kind not in "iuf":
        raise DataError(
            f"{key} in {archive.name} is {dtype} of shape {shape} but must be one number in SI units; "
            "store it so, or leave it out."
        )
    return float(archive.read(key).item())


def _read_stack(archive: Archive, key: str, n_frames: int) -> np.ndarray:
    shape = archive.shape(key)
    if len(shape) == 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or n_frames not in (shape[0], shape[2]):
        raise DataError(
            f"{key} in {archive.name} has shape {archive.shape(key)} but xcoords has {n_frames} entries; "
            f"({n_frames}, N, N) is expected, one square frame per position."
        )
    if shape[0] != n_frames:
        logger.info("%s: %s has the legacy order (N, N, n) and is turned to (n, N, N)", archive.name, key)
        whole = archive.read_mapped(key).reshape(shape)
        turned = (
            (
                slice(start, start + _FRAMES_AT_ONCE),
                np.moveaxis(whole[..., start : start + _FRAMES_AT_ONCE], -1, 0),
            )
            for start in range(0, n_frames, _FRAMES_AT_ONCE)
        )
        turned_shape = (n_frames, *shape[:2])
        return made_of(turned_shape, whole.dtype, turned, what=f"{key} in {archive.name}, turned,")
    if shape[0] == shape[1] == shape[2]:
        logger.warning(
            "%s: %s has shape %s, which fits both (n, N, N) and the legacy (N, N, n); (n, N, N) is assumed",
            archive.name,
            key,
            shape,
        )
    return archive.read_mapped(key).reshape(shape)
