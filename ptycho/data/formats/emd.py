"""4D-STEM in EMD of py4DSTEM, version 1.0 and before: a calibrated raster of frames (rows, columns, qx, qy)."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import known, metres_per
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

_OLD = "4DSTEM_experiment/data/datacubes"
_ANGSTROM_M = 1e-10
# The bright disk is what is brighter than half of the mean frame's largest value.
_DISK = 0.5


def _cube(file: Hdf5File) -> str | None:
    """Return the path of the first group with a dataset ``data`` of rank 4."""
    holders = [_OLD] if _OLD.split("/", maxsplit=1)[0] in file else sorted(file.keys())
    groups = [f"{holder}/{key}" for holder in holders for key in sorted(file.keys(holder))]
    return next((path for path in groups if len(file.shape(f"{path}/data") or ()) == 4), None)


def _recognises(file: Hdf5File) -> bool:
    marked = file.attribute("", "emd_group_type") is not None or "4DSTEM_experiment" in file
    return marked and _cube(file) is not None


def _parts(file: Hdf5File) -> Parts:
    cube = str(_cube(file))
    frames = FrameStack.of_hdf5(file, f"{cube}/data")
    rows, columns = (file.shape(f"{cube}/data") or (0, 0))[:2]
    step, pixel = _calibration(file, cube, "R"), _calibration(file, cube, "Q")
    if step is None or pixel is None:
        raise DataError(
            f"{file.name} is not calibrated (R_pixel_size and Q_pixel_size in Å and 1/Å are needed); calibrate the "
            "datacube in py4DSTEM and save it again."
        )
    frames, offset = _centred(frames)
    logger.info(
        "%s: frames are moved by %s pixels, so that the bright disk is in the middle", file.name, offset
    )
    frames = frames.cropped()
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
    return Parts(
        files=(file.name,),
        frames=frames,
        positions_yx=_turned(grid * step, _rotation(file, cube)),
        # A step dk of the frames is 1 / (N·dx).
        object_pixel_m=1 / (frames.side * pixel),
    )


def _calibration(file: Hdf5File, cube: str, space: str) -> float | None:
    """Return the size of a pixel of real space (R) in metres or of reciprocal space (Q) in 1/metre."""
    for group in _calibration_groups(cube):
        value = known(file.number(f"{group}/{space}_pixel_size", f"{group}@{space}_pixel_size"))
        unit = file.text(f"{group}/{space}_pixel_units", f"{group}@{space}_pixel_units")
        if value is not None and unit is not None:
            return _in_metres(value, unit, space, file.name)
    return None


def _calibration_groups(cube: str) -> list[str]:
    holder = cube.rpartition("/")[0]
    return [f"{holder}/metadatabundle/calibration", f"{cube}/metadatabundle/calibration"]


def _in_metres(value: float, unit: str, space: str, name: str) -> float | None:
    if unit.strip().lower() in ("pixels", "pixel", ""):
        return None
    if space == "R":
        return value * metres_per(unit, f"R_pixel_size in {name}")
    length = unit.strip().removeprefix("1/").removesuffix("^-1").removesuffix("⁻¹").removesuffix("-1")
    return value / metres_per(length, f"Q_pixel_size in {name}")


def _rotation(file: Hdf5File, cube: str) -> float:
    for group in _calibration_groups(cube):
        angle = file.number(f"{group}/QR_rotation", f"{group}@QR_rotation")
        if angle is not None:
            return angle
    logger.warning(
        "%s has no QR_rotation: the scan is taken for one along the detector's axes, which is rare in microscopes",
        file.name,
    )
    return 0.0


def _turned(positions_yx: np.ndarray, angle_rad: float) -> np.ndarray:
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return positions_yx @ np.array([[cosine, sine], [-sine, cosine]])


def _centred(frames: FrameStack) -> tuple[FrameStack, tuple[int, int]]:
    """Return the frames with the mean frame's bright disk in the middle, and by how many pixels it moved."""
    total = np.zeros(frames.shape[1:])
    for _, counts in frames.blocks():
        total += np.nan_to_num(counts.astype(np.float64)).sum(axis=0)
    disk = total > _DISK * total.max()
    if not disk.any():
        return frames, (0, 0)
    centre = [float(np.mean(line)) for line in np.nonzero(disk)]
    down, right = (extent // 2 - round(at) for extent, at in zip(total.shape, centre, strict=True))
    if (down, right) == (0, 0):
        return frames, (0, 0)
    return frames.turned(lambda images: np.roll(images, (down, right), axis=(-2, -1))), (down, right)


FORMAT = Format(
    name="emd",
    title="a 4D-STEM scan in EMD",
    container=Hdf5File,
    recognises=_recognises,
    parts=_parts,
)
