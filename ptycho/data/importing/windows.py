"""The square that is cut from the frames and binned, and a probe that goes through it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptycho.data.formats._frames import FrameStack
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

_SAMPLE_FRAMES = 32
# Of the brightest pixel of the mean frame; what is below is scatter, of which the object decides where it goes.
_BEAM_LEVEL = 0.1


@dataclass(frozen=True, kw_only=True)
class Window:
    """A square of `side` pixels from (`top`, `left`) on, of which `bin` x `bin` pixels become one."""

    top: int
    left: int
    side: int
    bin: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of what comes out of it."""
        return self.side // self.bin, self.side // self.bin

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)


def window_of(shape: tuple[int, ...], centre_yx: Any, crop: int | None, size: int) -> Window:
    """Return the window whose pixel (N/2, N/2), after binning, holds the beam's centre.

    Parameters
    ----------
    shape : (rows, columns)
    centre_yx : (int, int) or None
        None for the middle, ``(rows // 2, columns // 2)``.
    crop : int, optional
        Side before binning; the largest that fits if not given.
    size : int
        Of the bins.

    Raises
    ------
    DataError
        The window does not lie on the frames.
    """
    centre = [extent // 2 for extent in shape] if centre_yx is None else list(centre_yx)
    step = 2 * size
    largest = _largest_side(shape, centre, size)
    if largest is None:
        raise _no_window(shape, centre, size)
    side = crop or largest
    if side > largest:
        raise DataError(
            f"a square of {side} pixels about the beam's pixel {tuple(centre)} does not lie on frames of "
            f"{shape[0]}x{shape[1]} pixels; pass `crop={largest}` or less (in steps of {step}), or another `centre_yx`."
        )
    top, left = (_start(at, side, size) for at in centre)
    return Window(top=top, left=left, side=side, bin=size)


def padding_for(
    shape: tuple[int, ...], centre_yx: Any, crop: int, size: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the pixels that frames of `shape` lack before and behind, in rows and columns, for a square about a pixel.

    Parameters are those of `window_of`.
    """
    centre = [extent // 2 for extent in shape] if centre_yx is None else list(centre_yx)
    starts = [at - crop // 2 - (size - 1) // 2 for at in centre]
    rows, columns = (
        (max(0, -start), max(0, start + crop - extent)) for start, extent in zip(starts, shape, strict=True)
    )
    return rows, columns


def _start(at: int, side: int, size: int) -> int:
    """Return the first pixel of a window of `side` pixels about `at`, negative if there is no room for it."""
    # The beam's pixel is in the middle of an odd bin, unless frames that fit as a whole leave no room for that.
    shift = (size - 1) // 2
    start = at - side // 2 - shift
    return max(start, 0) if start >= -shift else start


def _largest_side(shape: tuple[int, ...], centre: list[int], size: int) -> int | None:
    """Return the side of the largest window about `centre`, None if there is none."""
    step = 2 * size
    for side in range(min(shape) // step * step, 0, -step):
        starts = (_start(at, side, size) for at in centre)
        if all(0 <= start <= extent - side for start, extent in zip(starts, shape, strict=True)):
            return side
    return None


def _no_window(shape: tuple[int, ...], centre: list[int], size: int) -> DataError:
    """Return why no window of whole bins has the beam in its middle."""
    frames = f"frames of {shape[0]}x{shape[1]} pixels"
    if min(shape) < 2 * size:
        largest = min(shape) // 2
        remedy = f"pass `bin={largest}` or less" if largest else "name other frames by `frames`"
        return DataError(f"bins of {size} pixels need {frames} to have at least {2 * size} a side; {remedy}.")
    rows, columns = (f"{size} to {extent - size}" for extent in shape)
    return DataError(
        f"the beam's pixel {tuple(centre)} has no room for bins of {size} pixels around it on {frames}; pass a "
        f"`centre_yx` in rows {rows} and columns {columns}."
    )


def beam_centre(stack: FrameStack, bad: np.ndarray | None) -> tuple[int, int]:
    """Return the pixel of the direct beam: the centre of mass of the mean frame's bright part."""
    sample = stack.sample(_SAMPLE_FRAMES).astype(np.float64)
    mean = np.where(np.isfinite(sample), sample, 0).clip(min=0).mean(axis=0)
    if bad is not None:
        mean[bad] = 0
    if np.issubdtype(stack.sample(1).dtype, np.unsignedinteger):
        mean[mean >= np.iinfo(stack.sample(1).dtype).max] = 0
    bright = np.where(mean >= _BEAM_LEVEL * mean.max(), mean, 0)
    if not bright.any():
        raise DataError(f"{stack.name} is dark, so its beam has no centre; pass `centre_yx=…`.")
    rows, columns = np.indices(mean.shape)
    row, column = (round(float((bright * axis).sum() / bright.sum())) for axis in (rows, columns))
    logger.info("%s: the centre of the beam is taken to be pixel %d,%d", stack.name, row, column)
    return row, column


def probe_through(
    window: Window, modes: np.ndarray, padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
) -> np.ndarray:
    """Return a probe (…, N, N) of the whole frames as the frames in the window see it, once they are padded.

    Cutting a frame, which is the probe's far field, coarsens the probe and leaves its field of view; binning leaves
    its pixels and cuts its field of view.
    """
    axes = (-2, -1)
    far = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(modes, axes=axes), norm="ortho", axes=axes), axes=axes)
    far = np.pad(far, [(0, 0)] * (modes.ndim - 2) + list(padding))
    rows, columns = window.slices
    near = np.fft.ifft2(np.fft.ifftshift(far[..., rows, columns], axes=axes), norm="ortho", axes=axes)
    near = np.fft.fftshift(near, axes=axes)
    half, middle = window.side // window.bin // 2, window.side // 2
    inner = slice(middle - half, middle + half)
    return near[..., inner, inner]
