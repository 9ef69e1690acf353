"""The canvases that a stream of patches fills: the image in four groups, and PtychoPINN's own if asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from autobatch import BatchRun
from ptycho.image.cropping import Rectangle, object_window
from ptycho.image.placed import PlacedImage
from ptycho.reconstruction._half_sets import N_GROUPS, draw_groups
from ptycho.reconstruction.results import HalfSets
from ptycho.reconstruction.settings import InferenceSettings
from ptycho.stitching import (
    Canvas,
    canvas_around,
    canvas_bytes,
    check_canvas_memory,
)
from ptycho.stitching.several import add_to_several
from ptycho.stitching.state import CanvasState

logger = logging.getLogger(__name__)

_FIRST_FEW = 5
# Small batches are added together: what a call costs by itself is more than adding a few crops. More than this gains
# nothing.
_HELD_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class CanvasLayout:
    """Which canvases a run needs and the memory they take; nothing is made.

    Attributes
    ----------
    centres_yx : (n, 2) float64
        Where the patches lie, in pixels of the object.
    crop_size : int
        Side M of the central square of each patch that is stitched.
    self_consistency : bool
        Keep four groups of patches apart, with a second moment; their sum is the image, so no patch is
        stitched twice.
    mean_centred : bool
        Also fill the square canvas about the mean position that `reassemble_position` makes.
    seed : int
        Draws the groups.
    """

    centres_yx: np.ndarray
    crop_size: int
    self_consistency: bool
    mean_centred: bool
    seed: int = 0

    @classmethod
    def of(cls, centres_yx: np.ndarray, settings: InferenceSettings) -> CanvasLayout:
        """Return the layout that `settings` ask for.

        Parameters
        ----------
        centres_yx : (n, 2) float64
            Where the patches lie, in pixels of the object, row first.
        settings : InferenceSettings

        Returns
        -------
        CanvasLayout
        """
        return cls(
            centres_yx, settings.crop_size, settings.self_consistency, settings.mean_centred, settings.seed
        )

    @property
    def window(self) -> Rectangle:
        """The image, in pixels of the object."""
        return object_window(self.centres_yx, self.crop_size)

    @cached_property
    def group_of(self) -> np.ndarray:
        """Which of the groups each patch of the run belongs to, (n,) uint8; drawn once, however it is cut."""
        if not self.self_consistency:
            return np.zeros(len(self.centres_yx), np.uint8)
        return draw_groups(self.centres_yx, seed=self.seed)

    @property
    def n_parts(self) -> int:
        """Number of canvases whose sum is the image."""
        return N_GROUPS if self.self_consistency else 1

    @property
    def centred_place(self) -> tuple[tuple[int, int], tuple[float, float]]:
        """Shape and origin of the canvas about the mean position."""
        return canvas_around(self.centres_yx, crop_size=self.crop_size)

    def window_of(self, start: int, stop: int) -> Rectangle:
        """Return the part of the image under patches number `start` to ``stop - 1``, in pixels of the object.

        Parameters
        ----------
        start, stop : int

        Returns
        -------
        Rectangle
        """
        return object_window(self.centres_yx[start:stop], self.crop_size)

    def centred_place_of(self, start: int, stop: int) -> tuple[tuple[int, int], tuple[float, float]]:
        """Return shape and origin of the part of the canvas about the mean position under some patches.

        Parameters
        ----------
        start, stop : int
            Numbers of the first patch and of the one behind the last.

        Returns
        -------
        shape_yx : (int, int)
        origin_yx : (float, float)
            A whole number of pixels from that of the whole canvas.
        """
        (height, width), origin_yx = self.centred_place
        part = object_window(self.centres_yx[start:stop] - origin_yx, self.crop_size)
        # A patch may lie beyond the border by rounding, and needs no row behind the last if it lies right on it.
        rows = max(part.row_start, 0), min(part.row_stop, height)
        columns = max(part.column_start, 0), min(part.column_stop, width)
        shape_yx = rows[1] - rows[0], columns[1] - columns[0]
        return shape_yx, (origin_yx[0] + rows[0], origin_yx[1] + columns[0])

    @property
    def n_bytes(self) -> int:
        """Most memory that the sums and weights take at once: groups are added up into one more canvas."""
        n_parts = N_GROUPS + 1 if self.self_consistency else 1
        one = canvas_bytes(
            self.window.shape_yx, crop_size=self.crop_size, overlap_variance=self.self_consistency
        )
        if not self.mean_centred:
            return n_parts * one
        shape_yx, _ = canvas_around(self.centres_yx, crop_size=self.crop_size)
        return n_parts * one + canvas_bytes(shape_yx, crop_size=self.crop_size)

    def check_memory(self) -> None:
        """Refuse canvases that memory does not hold.

        Raises
        ------
        ValueError
            Names the bytes needed and free, and the most extreme position.
        """
        try:
            check_canvas_memory(self.n_bytes, self.window.shape_yx, self.centres_yx)
        except ValueError as error:
            if not self.self_consistency:
                raise
            raise ValueError(f"{error} A tenth is enough with `self_consistency=False`.") from error


class CanvasSet:
    """Adds every patch of a part of the run once to each canvas that wants it.

    Parameters
    ----------
    layout : CanvasLayout
    start, stop : int
        Numbers of the first patch and of the one behind the last.

    Raises
    ------
    ValueError
        If a canvas would not fit into memory.
    """

    def __init__(self, layout: CanvasLayout, start: int, stop: int) -> None:
        """Make the empty canvases, no larger than the patches need."""
        self._layout, self._start, self._stop = layout, start, stop
        window = layout.window_of(start, stop)
        # Predictions arrive on the host; adding them there costs less than carrying them back to a card, and
        # leaves its memory to the network.
        self._parts = [
            Canvas(
                window.shape_yx,
                crop_size=layout.crop_size,
                origin_yx=window.origin_yx,
                backend="cpu",
                overlap_variance=layout.self_consistency,
            )
            for _ in range(layout.n_parts)
        ]
        self._centred = None
        if layout.mean_centred:
            shape_yx, origin_yx = layout.centred_place_of(start, stop)
            self._centred = Canvas(shape_yx, crop_size=layout.crop_size, origin_yx=origin_yx, backend="cpu")

    def add(self, start: int, patches: np.ndarray, *, batch_size: int | Literal["auto"]) -> BatchRun:
        """Add the patches from number `start` of the run on to every canvas that wants them."""
        positions_yx = self._layout.centres_yx[start : start + len(patches)]
        group_of = self._layout.group_of[start : start + len(patches)]
        wanted: list[tuple[Canvas, np.ndarray | None]] = [
            (canvas, np.flatnonzero(group_of == number) if len(self._parts) > 1 else None)
            for number, canvas in enumerate(self._parts)
        ]
        if self._centred is not None:
            wanted.append((self._centred, None))
        return add_to_several(wanted, patches, positions_yx, batch_size=batch_size)

    def sums(self) -> CanvasSums:
        """Return what has been added so far; the arrays are the canvases' own."""
        return CanvasSums(
            parts=tuple(
                replace(canvas.state(), first_rejected=self._in_run(canvas.first_rejected, number))
                for number, canvas in enumerate(self._parts)
            ),
            centred=None if self._centred is None else self._centred.state(),
        )

    def _in_run(self, indices: tuple[int, ...], number: int) -> tuple[int, ...]:
        """Return numbers of patches of the run, from those that a canvas has counted by itself."""
        mine = np.flatnonzero(self._layout.group_of[self._start : self._stop] == number)
        return tuple(int(mine[index]) + self._start for index in indices)


class PatchStitcher:
    """Adds the patches of a stream to its canvases, small batches several at a time.

    Parameters
    ----------
    canvases : CanvasSet
    batch_size : int or "auto"
        Patches that are added at once, at most.

    Attributes
    ----------
    first_run : BatchRun or None
        How the first patches were added; None before.
    sizes : tuple of int
        The batch sizes used, each once.
    n_oom : int
        How often memory ran out.
    """

    def __init__(self, canvases: CanvasSet, batch_size: int | Literal["auto"]) -> None:
        """Hold nothing."""
        self._canvases = canvases
        self._batch_size: int | Literal["auto"] = batch_size
        self._held: list[np.ndarray] = []
        self._start = 0
        self.first_run: BatchRun | None = None
        self.sizes: tuple[int, ...] = ()
        self.n_oom = 0

    def add(self, start: int, crops: np.ndarray) -> None:
        """Take the crops (n, M, M) complex64 from number `start` of the run on, which follow those before them."""
        # The first at once: whether they can be added at all is to be known early.
        if self.first_run is None or crops.nbytes >= _HELD_BYTES:
            self._add_held()
            self._add(start, crops)
            return
        if not self._held:
            self._start = start
        # A copy, for a network may give each batch in the memory of the one before.
        self._held.append(crops.copy())
        if sum(part.nbytes for part in self._held) >= _HELD_BYTES:
            self._add_held()

    def sums(self) -> CanvasSums:
        """Return the sums of all that was taken; the arrays are the canvases' own."""
        self._add_held()
        return self._canvases.sums()

    def _add_held(self) -> None:
        held, self._held = self._held, []
        if held:
            self._add(self._start, np.concatenate(held))

    def _add(self, start: int, crops: np.ndarray) -> None:
        run = self._canvases.add(start, crops, batch_size=self._batch_size)
        if self.first_run is None:
            self.first_run = run
            logger.debug("stitching: batch size %s: %s", f"{run.plan.batch_size:,}", run.plan.reason)
        self.sizes = tuple(dict.fromkeys(self.sizes + tuple(run.batch_sizes)))
        self.n_oom += run.n_oom


@dataclass(frozen=True, eq=False)
class CanvasSums:
    """The sums of the canvases of some patches of a run; those of all its parts add up to the image.

    Attributes
    ----------
    parts : tuple of CanvasState
        One, or one for each group, on the object's pixel grid.
    centred : CanvasState, optional
        On the grid of the canvas about the mean position.
    """

    parts: tuple[CanvasState, ...]
    centred: CanvasState | None

    def plus(self, other: CanvasSums) -> CanvasSums:
        """Return the sums of both; the order of the two is that of the additions."""
        centred = None
        if self.centred is not None and other.centred is not None:
            centred = self.centred.joined(other.centred)
        parts = tuple(mine.joined(theirs) for mine, theirs in zip(self.parts, other.parts, strict=True))
        return CanvasSums(parts, centred)

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays."""
        states = [*self.parts, *([] if self.centred is None else [self.centred])]
        return sum(array.nbytes for state in states for array in state.fields().values())


def finished_images(sums: CanvasSums) -> tuple[PlacedImage, HalfSets | None, int]:
    """Return the image, its groups, and how many patches were rejected; the sums may be used up by it."""
    parts = [Canvas.of_state(state, backend="cpu") for state in sums.parts]
    groups = [_image_of(canvas) for canvas in parts] if len(parts) > 1 else None
    whole = parts[0]
    for other in parts[1:]:
        whole.merge(other)
    # Each canvas remembers its first few; beyond as many, the merged list would have gaps.
    whole.first_rejected = tuple(sorted(i for state in sums.parts for i in state.first_rejected)[:_FIRST_FEW])
    whole.warn_of_rejected()
    half_sets = None if groups is None else HalfSets(tuple(groups), whole.overlap_variance())
    return _image_of(whole), half_sets, whole.n_rejected


def mean_centred_image(sums: CanvasSums, layout: CanvasLayout) -> np.ndarray | None:
    """Return the image (S, S) complex64 as `reassemble_position` makes it, None if it was not asked for."""
    if sums.centred is None:
        return None
    return Canvas.of_state(sums.centred.on(*layout.centred_place), backend="cpu").image()


def warm_up(layout: CanvasLayout) -> None:
    """Load the compiled loops, which the first time compiles them, so that nobody takes it for stitching."""
    side = layout.crop_size
    small = replace(layout, centres_yx=np.zeros((1, 2)))
    canvases = CanvasSet(small, 0, 1)
    # Every canvas gets a patch, so that all kinds of sums are made.
    for canvas in (*canvases._parts, canvases._centred):
        if canvas is not None:
            canvas.add(np.zeros((1, side, side), np.complex64), small.centres_yx)
    sums = canvases.sums()
    finished_images(sums)
    mean_centred_image(sums, small)


def _image_of(canvas: Canvas) -> PlacedImage:
    return PlacedImage.of_coverage(canvas.image(), canvas.coverage(), canvas.origin_yx)
