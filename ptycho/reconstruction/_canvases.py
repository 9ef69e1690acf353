"""The canvases that one stream of patches fills: the image in four groups, and PtychoPINN's own if asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autobatch import BatchRun
from ptycho.image.cropping import Rectangle, object_window
from ptycho.image.placed import PlacedImage
from ptycho.reconstruction._half_sets import N_GROUPS, draw_groups
from ptycho.reconstruction.results import HalfSets
from ptycho.reconstruction.settings import InferenceSettings
from ptycho.stitching import Canvas, add_in_batches, canvas_around, canvas_bytes, check_canvas_memory

_FIRST_FEW = 5


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
            raise ValueError(f"{error} A tenth is enough with --no-self-consistency.") from error


class CanvasSet:
    """Adds every patch once to each canvas that wants it.

    Parameters
    ----------
    layout : CanvasLayout

    Raises
    ------
    ValueError
        If a canvas would not fit into memory.
    """

    def __init__(self, layout: CanvasLayout) -> None:
        """Make the empty canvases."""
        layout.check_memory()
        self._layout, window = layout, layout.window
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
            for _ in range(N_GROUPS if layout.self_consistency else 1)
        ]
        self._group_of = (  # (n,) uint8, which of the parts a patch enters
            draw_groups(layout.centres_yx, seed=layout.seed)
            if layout.self_consistency
            else np.zeros(len(layout.centres_yx), np.uint8)
        )
        self._centred = (
            Canvas.around(layout.centres_yx, crop_size=layout.crop_size, backend="cpu")
            if layout.mean_centred
            else None
        )

    def warm_up(self) -> None:
        """Load the compiled loops, which the first time compiles them, so that nobody takes it for stitching."""
        layout, centre_yx = self._layout, np.zeros((1, 2))
        side = layout.crop_size
        twin = CanvasSet(CanvasLayout(centre_yx, side, layout.self_consistency, layout.mean_centred))
        for canvas in (*twin._parts, twin._centred):
            if canvas is not None:
                canvas.add(np.zeros((1, side, side), np.complex64), centre_yx)
        twin.finish()

    def add(
        self, start: int, patches: np.ndarray, *, batch_size: int | Literal["auto"]
    ) -> Iterator[BatchRun]:
        """Add the patches from number `start` on, and give how the batches of each canvas went."""
        positions_yx = self._layout.centres_yx[start : start + len(patches)]
        group_of = self._group_of[start : start + len(patches)]
        wanted = [
            (canvas, np.flatnonzero(group_of == number) if len(self._parts) > 1 else slice(None))
            for number, canvas in enumerate(self._parts)
        ]
        if self._centred is not None:
            wanted.append((self._centred, slice(None)))
        for canvas, mine in wanted:
            if len(positions_yx[mine]):
                yield add_in_batches(
                    canvas, patches[mine], positions_yx[mine], batch_size=batch_size, warn=False
                )

    def finish(self) -> tuple[PlacedImage, HalfSets | None, int]:
        """Return the image, its halves, and how many patches were rejected; nothing may be added any more."""
        groups = [_image_of(canvas) for canvas in self._parts] if len(self._parts) > 1 else None
        first_rejected = self._first_rejected()
        whole = self._parts[0]
        for other in self._parts[1:]:
            whole.merge(other)
        whole.first_rejected = first_rejected
        whole.warn_of_rejected()
        half_sets = None if groups is None else HalfSets(tuple(groups), whole.overlap_variance())
        return _image_of(whole), half_sets, whole.n_rejected

    def mean_centred_image(self) -> np.ndarray | None:
        """Return the image (S, S) complex64 as `reassemble_position` makes it, None if it was not asked for."""
        return None if self._centred is None else self._centred.image()

    def _first_rejected(self) -> tuple[int, ...]:
        """Indices in the stream of patches, from those that each canvas has counted by itself."""
        found = [
            int(np.flatnonzero(self._group_of == number)[index])
            for number, canvas in enumerate(self._parts)
            for index in canvas.first_rejected
        ]
        # Each canvas remembers its first few; beyond as many, the merged list would have gaps.
        return tuple(sorted(found)[:_FIRST_FEW])


def _image_of(canvas: Canvas) -> PlacedImage:
    return PlacedImage.of_coverage(canvas.image(), canvas.coverage(), canvas.origin_yx)
