"""What one file holds of a scan, and how the parts of several files join."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ptycho.data.formats._frames import FrameStack
from ptycho.errors import DataError

# Fields that mean nothing without one another: the first names the group.
_TOGETHER = {
    "frames": ("frames", "frame_ids", "bad_pixels"),
    "positions_yx": ("positions_yx", "position_unit", "position_ids"),
    "object_image": ("object_image", "origin_yx"),
}
# What a field is called in messages, and its shape.
_SHAPES: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "frame_ids": ("the list of frames", (None,)),
    "bad_pixels": ("the mask", (None, None)),
    "positions_yx": ("the array of positions (row, column)", (None, 2)),
    "position_ids": ("the list of positions", (None,)),
    "object_image": ("the object", (None, None)),
    "origin_yx": ("the place of the object", (2,)),
    "scan_index": ("the index of the scan", (None,)),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Parts:
    """What a file, or several together, hold of a scan; what is not there is None.

    Attributes
    ----------
    files : tuple of str
        Their names.
    frames : FrameStack, optional
    frame_ids, position_ids : (n,) int64, optional
        Which frame belongs to which position; without them they are in the same order.
    bad_pixels : (rows, columns) bool, optional
        True where a pixel of the frames does not count.
    positions_yx : (n, 2) float64, optional
        Patch centres, row first, about any origin.
    position_unit : {"m", "px"}
        Unit of `positions_yx` and `origin_yx`: metres, or pixels of the object.
    probe : (…, N, N) complex, optional
        Any number of modes.
    object_image : (H, W) complex, optional
    origin_yx : (2,) float64, optional
        Where the centre of the object's pixel (0, 0) lies in the frame of `positions_yx`.
    photon_energy_j, detector_distance_m, detector_pixel_m, object_pixel_m : float, optional
    scan_index : (n,) int64, optional
    label : str, optional
        Name of a finished reconstruction.
    """

    files: tuple[str, ...]
    frames: FrameStack | None = None
    frame_ids: np.ndarray | None = None
    bad_pixels: np.ndarray | None = None
    positions_yx: np.ndarray | None = None
    position_unit: Literal["m", "px"] = "m"
    position_ids: np.ndarray | None = None
    probe: np.ndarray | None = None
    object_image: np.ndarray | None = None
    origin_yx: np.ndarray | None = None
    photon_energy_j: float | None = None
    detector_distance_m: float | None = None
    detector_pixel_m: float | None = None
    object_pixel_m: float | None = None
    scan_index: np.ndarray | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        """Refuse arrays of other shapes or numbers than those above: files hold anything under any name."""
        for name, (what, shape) in _SHAPES.items():
            value = getattr(self, name)
            if value is not None and not _fits(value, shape):
                raise DataError(
                    f"{what} in {self.names} is {value.dtype} of shape {value.shape} but must be numbers "
                    f"{_in_words(shape)}; mend the file."
                )
        n_positions = None if self.positions_yx is None else len(self.positions_yx)
        n_frames = None if self.frames is None else self.frames.shape[0]
        self._refuse_other_length("position_ids", n_positions, "positions")
        self._refuse_other_length("scan_index", n_positions, "positions")
        self._refuse_other_length("frame_ids", n_frames, "frames")

    def _refuse_other_length(self, name: str, wanted: int | None, things: str) -> None:
        value = getattr(self, name)
        if value is not None and wanted is not None and len(value) != wanted:
            raise DataError(
                f"{_SHAPES[name][0]} in {self.names} has {len(value)} entries for {wanted} {things}; mend the file."
            )

    @property
    def names(self) -> str:
        """The names of the files, without their folders, for a message."""
        return " and ".join(Path(name).name or name for name in self.files)

    def missing(self) -> list[str]:
        """Return what a scan needs and these parts do not have, in words."""
        wanted = {"frames": self.frames, "positions": self.positions_yx}
        needs = [name for name, value in wanted.items() if value is None]
        if (self.positions_yx is None or self.position_unit == "m") and self.object_pixel_m is None:
            lengths = {
                "photon energy": self.photon_energy_j,
                "detector distance": self.detector_distance_m,
                "detector pixel": self.detector_pixel_m,
            }
            needs += [name for name, value in lengths.items() if value is None]
        return needs

    def joined_with(self, other: Parts) -> Parts:
        """Return these parts with what only `other` has, and its files after theirs."""
        changes = {
            field.name: getattr(other, field.name)
            for field in fields(self)
            if getattr(self, field.name) is None and getattr(other, field.name) is not None
        }
        for leading, group in _TOGETHER.items():
            if getattr(self, leading) is not None:
                changes = {name: value for name, value in changes.items() if name not in group}
            elif leading in changes:
                changes.update({name: getattr(other, name) for name in group})
        if changes.get("object_image") is not None and other.position_unit != (
            changes.get("position_unit") or self.position_unit
        ):
            # Where it lies is told in a unit that these positions are not in.
            changes.pop("object_image")
        return replace(self, **changes, files=tuple(dict.fromkeys((*self.files, *other.files))))


def _fits(value: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    return (
        value.dtype.kind in "biufc"
        and value.ndim == len(shape)
        and all(wanted in (None, found) for wanted, found in zip(shape, value.shape, strict=True))
    )


def _in_words(shape: tuple[int | None, ...]) -> str:
    extents = ["n" if extent is None else str(extent) for extent in shape]
    return f"of shape ({', '.join(extents)}{',' if len(extents) == 1 else ''})"
