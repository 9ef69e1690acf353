"""The canvases that one stream of patches fills: the image in two halves, and PtychoPINN's own if asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autobatch import BatchRun
from ptycho.image.cropping import Rectangle
from ptycho.stitching import Canvas, add_in_batches

_FIRST_FEW = 5
# Sums and point weights; two halves and their sum, each in double precision and with a second moment.
_PLAIN_BYTES_PER_PIXEL, _HALF_SETS_BYTES_PER_PIXEL = 16, 3 * 32


@dataclass(frozen=True, eq=False)
class ObjectImage:
    """An image of the object and where it lies.

    Attributes
    ----------
    image : (H, W) complex64
        The object, 0 where nothing was reconstructed.
    coverage : (H, W) float32
        How many patches lie on each pixel.
    origin_yx : (float, float), optional
        Pixel of the object's frame under ``image[0, 0]``; None if it is not known.
    """

    image: np.ndarray
    coverage: np.ndarray
    origin_yx: tuple[float, float] | None

    @classmethod
    def of(cls, canvas: Canvas) -> ObjectImage:
        """Return what a canvas holds."""
        return cls(canvas.image(), canvas.coverage(), canvas.origin_yx)


@dataclass(frozen=True, eq=False)
class HalfSets:
    """What one pass over the patches tells of their agreement, on the pixels of the whole image.

    Attributes
    ----------
    even, odd : ObjectImage
        Stitched from the patches of even and of odd index alone.
    overlap_variance : (H, W) float32
        Variance of the complex value over the patches on a pixel; NaN where no more than one lies.
    """

    even: ObjectImage
    odd: ObjectImage
    overlap_variance: np.ndarray


@dataclass(frozen=True, eq=False)
class StitchedImages:
    """What a `CanvasSet` has become; fields as in `ptycho.inference.InferenceRun`."""

    image: ObjectImage
    half_sets: HalfSets | None
    mean_centred: np.ndarray | None
    n_rejected: int


class CanvasSet:
    """Adds every patch once to each canvas that wants it.

    Parameters
    ----------
    centres_yx : (n, 2) float64
        Where the patches lie, in pixels of the object.
    crop_size : int
        Side M of the central square of each patch that is stitched.
    self_consistency : bool
        Keep patches of even and of odd index apart, with a second moment; their sum is the image, so no
        patch is stitched twice.
    mean_centred : bool
        Also fill the square canvas about the mean position that `reassemble_position` makes.

    Raises
    ------
    ValueError
        If a canvas would not fit into memory.
    """

    def __init__(
        self, centres_yx: np.ndarray, crop_size: int, *, self_consistency: bool, mean_centred: bool
    ) -> None:
        """Make the empty canvases; see the class for the arguments."""
        self._centres_yx = centres_yx
        window = object_window(centres_yx, crop_size)
        _check_fits(window, centres_yx, self_consistency=self_consistency)
        # Predictions arrive on the host; adding them there costs less than carrying them back to a card, and
        # leaves its memory to the network.
        self._parts = [
            Canvas(
                window.shape_yx,
                crop_size=crop_size,
                origin_yx=window.origin_yx,
                backend="cpu",
                overlap_variance=self_consistency,
            )
            for _ in range(2 if self_consistency else 1)
        ]
        self._centred = (
            Canvas.around(centres_yx, crop_size=crop_size, backend="cpu") if mean_centred else None
        )

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Pixels of the image."""
        return self._parts[0].shape_yx

    @property
    def n_bytes(self) -> int:
        """Most memory that the sums and weights take at once: halves are added up into a third canvas."""
        n_parts = 1 if len(self._parts) == 1 else 3
        centred = 0 if self._centred is None else self._centred.n_bytes
        return n_parts * self._parts[0].n_bytes + centred

    def warm_up(self) -> None:
        """Load the compiled loops, which the first time compiles them, so that nobody takes it for stitching."""
        side, centre_yx = self._parts[0].crop_size, np.zeros((1, 2))
        halves, centred = len(self._parts) > 1, self._centred is not None
        twin = CanvasSet(centre_yx, side, self_consistency=halves, mean_centred=centred)
        for canvas in (*twin._parts, twin._centred):
            if canvas is not None:
                canvas.add(np.zeros((1, side, side), np.complex64), centre_yx)
        twin.finished()

    def add(
        self, start: int, patches: np.ndarray, *, batch_size: int | Literal["auto"]
    ) -> Iterator[BatchRun]:
        """Add the patches from number `start` on, and give how the batches of each canvas went."""
        step = len(self._parts)
        wanted = [(canvas, (number - start) % step, step) for number, canvas in enumerate(self._parts)]
        if self._centred is not None:
            wanted.append((self._centred, 0, 1))
        positions_yx = self._centres_yx[start : start + len(patches)]
        for canvas, first, stride in wanted:
            mine = slice(first, None, stride)
            if len(positions_yx[mine]):
                yield add_in_batches(
                    canvas, patches[mine], positions_yx[mine], batch_size=batch_size, warn=False
                )

    def finished(self) -> StitchedImages:
        """Return the images; nothing may be added any more."""
        halves = [ObjectImage.of(canvas) for canvas in self._parts[1:] and self._parts]
        first_rejected = self._first_rejected()
        whole = self._parts[0]
        for other in self._parts[1:]:
            whole.merge(other)
        whole.first_rejected = first_rejected
        whole.warn_of_rejected()
        return StitchedImages(
            image=ObjectImage.of(whole),
            half_sets=HalfSets(halves[0], halves[1], whole.overlap_variance()) if halves else None,
            mean_centred=None if self._centred is None else self._centred.image(),
            n_rejected=whole.n_rejected,
        )

    def _first_rejected(self) -> tuple[int, ...]:
        """Indices in the stream of patches, from those that each canvas has counted by itself."""
        step = len(self._parts)
        found = [
            step * index + number
            for number, canvas in enumerate(self._parts)
            for index in canvas.first_rejected
        ]
        # Each canvas remembers its first few; beyond as many, the merged list would have gaps.
        return tuple(sorted(found)[:_FIRST_FEW])


def _check_fits(window: Rectangle, centres_yx: np.ndarray, *, self_consistency: bool) -> None:
    bytes_per_pixel = _HALF_SETS_BYTES_PER_PIXEL if self_consistency else _PLAIN_BYTES_PER_PIXEL
    try:
        Canvas.check_fits(window.shape_yx, centres_yx, bytes_per_pixel=bytes_per_pixel)
    except ValueError as error:
        if not self_consistency:
            raise
        raise ValueError(f"{error} A sixth is enough with --no-self-consistency.") from error


def object_window(centres_yx: np.ndarray, crop_size: int) -> Rectangle:
    """Return the pixels of the object under any central crop of patches at `centres_yx` (n, 2)."""
    low = np.floor(centres_yx.min(axis=0)).astype(int) - crop_size // 2
    high = np.floor(centres_yx.max(axis=0)).astype(int) - crop_size // 2 + crop_size + 1
    return Rectangle(int(low[0]), int(high[0]), int(low[1]), int(high[1]))
