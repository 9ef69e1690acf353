"""The numbers that make up a canvas, and the file that keeps them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.archive import Archive, open_archive
from ptycho._io.archive_writing import write_archive
from ptycho._io.atomic import replacing
from ptycho._showing.one_line import OneLine
from ptycho.errors import DataError

_FORMAT = "ptycho-canvas"
_VERSION = 1
# Field of the state -> key in the file.
_ARRAYS = {"values": "values", "corner_weights": "splats", "squares": "squares"}
_NOTES = ("format", "version", "crop_size", "origin_yx", "counts", "first_rejected")
_MAX_NOTE_BYTES = 1 << 20
# Origins are sums of float64; two on one grid may differ from it by rounding.
_SAME_GRID_PX = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CanvasState(OneLine):
    """Everything that distinguishes two canvases.

    Attributes
    ----------
    crop_size : int
        M.
    origin_yx : (float, float)
        Object (row, column) of pixel (0, 0).
    values : (H, W) complex64 or complex128
        Sums of shifted crops.
    corner_weights : (H - M + 1, W - M + 1) float64
        Bilinear weights of the crops' first pixels; their M x M box sum is the weight of a pixel.
    squares : (H, W) float64, optional
        Sums of squared moduli.
    n_added, n_rejected : int
        Patches added, and left out because they are not finite.
    first_rejected : tuple of int
        The first few indices of the latter.
    """

    crop_size: int
    origin_yx: tuple[float, float]
    values: np.ndarray
    corner_weights: np.ndarray
    squares: np.ndarray | None
    n_added: int
    n_rejected: int
    first_rejected: tuple[int, ...]

    def layout(self) -> tuple[Any, ...]:
        """What has to agree before two states may be added, in the order of `LAYOUT_NAMES`."""
        return (
            self.crop_size,
            self.values.shape,
            self.origin_yx,
            self.values.dtype.name,
            self.squares is not None,
        )

    def digest(self) -> bytes:
        """Fingerprint of the contents: equal bits, equal digest."""
        hasher = hashlib.sha256(repr((self.layout(), self.n_added, self.n_rejected)).encode())
        for array in self._arrays().values():
            hasher.update(np.ascontiguousarray(array).data)
        return hasher.digest()

    def plus(self, other: CanvasState) -> CanvasState:
        """Return the sum of two states of the same layout.

        Raises
        ------
        ValueError
            If crop size, shape, origin, precision or the presence of squares differ.
        """
        self._refuse_other_layout(other, LAYOUT_NAMES)
        theirs = other._arrays()
        sums = {name: array + theirs[name] for name, array in self._arrays().items()}
        return replace(self, **sums)._counting(other)

    def copy(self) -> CanvasState:
        """Return the same numbers in arrays of their own."""
        return replace(self, **{name: array.copy() for name, array in self._arrays().items()})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write an NPZ file; a reader sees the old file or the whole new one, never a part.

        Raises
        ------
        ValueError
            If a sum is not finite: it has overflowed, and no reader would take it.
        """
        if not all(np.isfinite(array).all() for array in self._arrays().values()):
            raise ValueError(
                'the canvas holds sums that overflowed; stitch again with accumulate="float64", or scale the patches.'
            )
        with replacing(Path(path)) as file:
            write_archive(file, self.fields().items())
            file.flush()
            os.fsync(file.fileno())

    def fields(self) -> dict[str, np.ndarray]:
        """Return the arrays that a file of this state holds, by their names there; `of_fields` is the way back.

        Returns
        -------
        dict of str to array
            Those of the sums are the state's own.
        """
        arrays = {_ARRAYS[name]: array for name, array in self._arrays().items()}
        return arrays | {
            "format": np.array(_FORMAT),
            "version": np.array(_VERSION),
            "crop_size": np.array(self.crop_size),
            "origin_yx": np.array(self.origin_yx, np.float64),
            "counts": np.array([self.n_added, self.n_rejected], np.int64),
            "first_rejected": np.array(self.first_rejected, np.int64),
        }

    @classmethod
    def of_fields(cls, fields: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> CanvasState:
        """Return the state that `fields` came from, which are not trusted.

        Parameters
        ----------
        fields : mapping of str to array
        path : path
            Where they were read, for messages.

        Returns
        -------
        CanvasState

        Raises
        ------
        DataError
            They are of another kind or version, or inconsistent in themselves.
        """
        if not _is_canvas(fields):
            raise DataError(f"{path} is not a canvas file; pass a file written by Canvas.save().")
        try:
            version = _whole(fields["version"])
            state = _as_state(fields) if version == _VERSION else None
        except (KeyError, IndexError, OverflowError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} lacks a field or holds one that does not fit ({error}); save the canvas again."
            ) from error
        if state is None:
            raise DataError(
                f"{path} has version {version} but this program reads version {_VERSION}; "
                "read it with the program that wrote it."
            )
        _check(state, path)
        return state

    def on(self, shape_yx: tuple[int, int], origin_yx: tuple[float, float]) -> CanvasState:
        """Return the same sums on a larger canvas with the same grid of pixels.

        Parameters
        ----------
        shape_yx : (int, int)
            Rows and columns.
        origin_yx : (float, float)
            Object (row, column) of its pixel (0, 0), a whole number of pixels from that of this one.

        Returns
        -------
        CanvasState
            Itself if it is such a canvas.

        Raises
        ------
        ValueError
            Its pixels lie between those of this canvas, or it does not hold all of them.
        """
        if (shape_yx, origin_yx) == (self.values.shape, self.origin_yx):
            return self
        return self._spread(shape_yx, origin_yx)

    def joined(self, other: CanvasState) -> CanvasState:
        """Return the sum of two states on the smallest canvas that holds both.

        Parameters
        ----------
        other : CanvasState
            Its pixels lie on those of this one, or beside them.

        Returns
        -------
        CanvasState

        Raises
        ------
        ValueError
            Their pixels lie between each other's, or crop size, precision or the presence of squares differ.
        """
        corners = self.origin_yx, other.origin_yx
        ends = [np.add(state.origin_yx, state.values.shape) for state in (self, other)]
        low_y, low_x = (min(pair) for pair in zip(*corners, strict=True))
        height, width = np.round(np.max(ends, axis=0) - (low_y, low_x)).astype(int).tolist()
        place = (height, width), (low_y, low_x)
        self._refuse_other_layout(other, [name for name in LAYOUT_NAMES if name not in ("shape", "origin")])
        # One canvas is made and both are added in it: at the root of a tree of shards it is the whole image.
        whole, (top, left) = self._spread(*place), other._corner_on(*place)
        sums = whole._arrays()
        for name, array in other._arrays().items():
            sums[name][top : top + array.shape[0], left : left + array.shape[1]] += array
        return whole._counting(other)

    def _counting(self, other: CanvasState) -> CanvasState:
        """Return the same sums with the patches of both counted."""
        return replace(
            self,
            n_added=self.n_added + other.n_added,
            n_rejected=self.n_rejected + other.n_rejected,
            first_rejected=self.first_rejected + other.first_rejected,
        )

    def _spread(self, shape_yx: tuple[int, int], origin_yx: tuple[float, float]) -> CanvasState:
        """Return the same sums in new arrays, those of a canvas that holds all of this one."""
        top, left = self._corner_on(shape_yx, origin_yx)
        lost = np.subtract(shape_yx, self.values.shape)

        def spread(array: np.ndarray) -> np.ndarray:
            larger = np.zeros(np.add(array.shape, lost), array.dtype)
            larger[top : top + array.shape[0], left : left + array.shape[1]] = array
            return larger

        spreads = {name: spread(array) for name, array in self._arrays().items()}
        return replace(self, origin_yx=origin_yx, **spreads)

    def _corner_on(self, shape_yx: tuple[int, int], origin_yx: tuple[float, float]) -> tuple[int, int]:
        """Return where this canvas begins on another that holds all of it, in whole pixels."""
        exact = np.subtract(self.origin_yx, origin_yx)
        top, left = np.round(exact).astype(int).tolist()
        height, width = self.values.shape
        if np.abs(exact - (top, left)).max() > _SAME_GRID_PX:
            raise ValueError(
                f"the canvases begin at {self.origin_yx} and {origin_yx}, which is no whole number of pixels apart; "
                "make them on one grid."
            )
        if min(top, left) < 0 or top + height > shape_yx[0] or left + width > shape_yx[1]:
            raise ValueError(
                f"a canvas of {height}x{width} pixels from {self.origin_yx} does not lie on one of "
                f"{shape_yx[0]}x{shape_yx[1]} from {origin_yx}; make that larger."
            )
        return top, left

    def _refuse_other_layout(self, other: CanvasState, names: Sequence[str]) -> None:
        """Refuse a state that differs in one of the `names` of `LAYOUT_NAMES`."""
        for name, mine, theirs in zip(LAYOUT_NAMES, self.layout(), other.layout(), strict=True):
            if name in names and mine != theirs:
                raise ValueError(
                    f"canvases differ in {name}: {mine} and {theirs}; make every shard with the same "
                    "arguments, for example from the positions of the whole scan."
                )

    def _arrays(self) -> dict[str, np.ndarray]:
        found = {name: getattr(self, name) for name in _ARRAYS}
        return {name: array for name, array in found.items() if array is not None}


LAYOUT_NAMES = ("crop_size", "shape", "origin", "accumulate", "overlap_variance")


def read_state(path: str | os.PathLike[str]) -> CanvasState:
    """Read what `CanvasState.write` wrote, without unpickling anything.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it is damaged, of another kind or version, or inconsistent in itself.
    """
    try:
        with open_archive(Path(path)) as archive:
            # What a canvas does not have is not unpacked, nor any more for what is none.
            fields = {name: archive.read(name) for name in _NOTES if _is_note(archive, name)}
            if _is_canvas(fields):
                fields |= {name: archive.read(name) for name in _ARRAYS.values() if name in archive}
    except DataError as error:
        raise DataError(f"{path} is not a readable canvas file ({error}); save the canvas again.") from error
    return CanvasState.of_fields(fields, path)


def _is_note(archive: Archive, name: str) -> bool:
    """Tell whether a member is there and as short as everything but the sums is."""
    return (
        name in archive and math.prod(archive.shape(name)) * archive.dtype(name).itemsize <= _MAX_NOTE_BYTES
    )


def _is_canvas(fields: Mapping[str, np.ndarray]) -> bool:
    return str(fields.get("format")) == _FORMAT


def _as_state(fields: Mapping[str, np.ndarray]) -> CanvasState:
    origin_y, origin_x = (float(x) for x in fields["origin_yx"])
    return CanvasState(
        crop_size=_whole(fields["crop_size"]),
        origin_yx=(origin_y, origin_x),
        values=np.ascontiguousarray(fields["values"]),
        corner_weights=np.ascontiguousarray(fields["splats"]),
        squares=None if "squares" not in fields else np.ascontiguousarray(fields["squares"]),
        n_added=_whole(fields["counts"][0]),
        n_rejected=_whole(fields["counts"][1]),
        first_rejected=tuple(_whole(i) for i in fields["first_rejected"]),
    )


def _whole(value: np.ndarray) -> int:
    """Return a number that must be whole and not negative."""
    if value.dtype.kind not in "iu" or value < 0:
        raise ValueError(f"{value} is not a whole number from 0 on")
    return int(value)


def _check(state: CanvasState, path: str | os.PathLike[str]) -> None:
    shape = state.values.shape
    if state.values.ndim != 2 or not 1 <= state.crop_size <= min(shape):
        raise DataError(
            f"{path} holds crop size {state.crop_size} for values of shape {shape}, which does not fit; save it again."
        )
    if not np.isfinite(state.origin_yx).all():
        raise DataError(f"{path} holds the origin {state.origin_yx}, which is not finite; save it again.")
    corners_shape = tuple(side - state.crop_size + 1 for side in shape)
    # A second moment is kept in double precision only.
    precisions = (np.complex64, np.complex128) if state.squares is None else (np.complex128,)
    _check_array(state.values, "values", precisions, shape, path)
    _check_array(state.corner_weights, "splats", (np.float64,), corners_shape, path)
    if state.squares is not None:
        _check_array(state.squares, "squares", (np.float64,), shape, path)


def _check_array(
    array: np.ndarray,
    name: str,
    dtypes: tuple[type, ...],
    shape: tuple[int, ...],
    path: str | os.PathLike[str],
) -> None:
    if array.dtype not in dtypes or array.shape != shape or array.ndim != 2 or min(shape) < 1:
        raise DataError(
            f"{path} holds {name} {array.dtype} {array.shape}, which does not fit; save it again."
        )
    if not np.isfinite(array).all():
        raise DataError(f"{path} holds {name} that are not finite; stitch it again.")
