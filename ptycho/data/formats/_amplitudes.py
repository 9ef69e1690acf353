"""How frames of counts become amplitudes: cropped, masked, square root taken, in memory or whenever they are read."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ptycho._io.row_store import RowStore, largest_in_memory_bytes
from ptycho._io.stored import as_range
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._stored_frames import AnyFrames, StoredFrames
from ptycho.errors import DataError

logger = logging.getLogger(__name__)


def amplitude_and_mask(
    stack: FrameStack, wanted: np.ndarray, bad: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the frames numbered `wanted` as amplitudes, and find the pixels that count.

    Masked are the pixels of `bad`, those that hold the largest number of an unsigned type or NaN in any frame, as
    detectors mark dead and overflowing ones, those outside the stack's limits, those whose flat field is not above 0,
    and those that are negative in every frame. Any other negative value, left by the subtraction of a background,
    becomes 0. A binned pixel of which a part is masked is masked.

    Parameters
    ----------
    stack : FrameStack
    wanted : (k,) int64
        Numbers of frames, in the order of the result.
    bad : (rows, columns) bool, optional
        True for a pixel that does not count.

    Returns
    -------
    amplitude : (k, N, N) float32
    mask : (N, N) bool, or None if all pixels count

    Raises
    ------
    DataError
        No pixel counts; says what masks how many.
    """
    side, crop = stack.side, stack.square
    frames = stack.blocks
    n_bytes = 4 * wanted.size * side**2
    stays = isinstance(frames, AnyFrames) and frames.is_quick and n_bytes > largest_in_memory_bytes()
    store = None if stays else RowStore((wanted.size, side, side), np.float32, stack.name)
    marks = _standing_marks(stack, bad, crop)
    always_negative, n_negative = np.ones((side * stack.bin, side * stack.bin), bool), 0
    for start, block in stack.counts():
        rows = np.flatnonzero((wanted >= start) & (wanted < start + len(block)))
        if not rows.size:
            continue
        counts = block[as_range(wanted[rows] - start)][:, crop[0], crop[1]]
        for cause, where in _marks(counts, stack).items():
            marks[cause] = marks.get(cause, False) | where
        corrected = _corrected(counts, stack, crop, wanted[rows])
        negative = corrected < 0
        n_negative += int(np.count_nonzero(negative))
        always_negative &= negative.all(axis=0)
        if store is not None:
            store.write(rows, _amplitudes(corrected, stack))
    if stack.dark is None:
        marks["values below 0 in every frame"] = always_negative
    if n_negative and stack.dark is None:
        logger.warning("%s has %d negative values; they are set to 0", stack.name, n_negative)
    marked = _binned(np.logical_or.reduce(list(marks.values())), stack.bin) > 0
    if marked.all():
        raise _nothing_left(stack, marks, marked.size)
    if marked.any():
        logger.info("%s: %d of %d pixels are masked", stack.name, np.count_nonzero(marked), marked.size)
    mask = ~marked if marked.any() else None
    if store is None:
        assert isinstance(frames, AnyFrames)
        frames.keep()
        logger.info(
            "%s takes %.1f GB, too much for memory: its frames stay in the file", stack.name, n_bytes / 1e9
        )

        def amplitudes(counts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
            cropped = stack.counts_of(counts[:, crop[0], crop[1]])
            return _amplitudes(_corrected(cropped, stack, crop, numbers), stack)

        stored: Any = StoredFrames(frames, wanted, amplitudes, side=side, mask=mask)
        return stored, mask
    if mask is not None:
        store.change(lambda amplitude: np.where(mask, amplitude, np.float32(0)))
    return store.array(), mask


def _amplitudes(corrected: np.ndarray, stack: FrameStack) -> np.ndarray:
    """Return the amplitudes (m, N, N) float32 of counts (m, rows, columns); NaN, which is marked, becomes 0."""
    return np.sqrt(_binned(np.where(corrected > 0, corrected, np.float32(0)), stack.bin))


def _standing_marks(
    stack: FrameStack, bad: np.ndarray | None, crop: tuple[slice, ...]
) -> dict[str, np.ndarray]:
    """Return the pixels (rows, columns) that count in no frame, by what says so."""
    found = {}
    if bad is not None:
        found["the mask (`mask`, or the file's own)"] = bad[crop]
    if stack.flat is not None:
        found["`flat`, where the flat field is not above 0"] = ~(stack.flat[crop] > 0)
    return found


def _marks(counts: np.ndarray, stack: FrameStack) -> dict[str, np.ndarray]:
    """Return the pixels (rows, columns) that `counts` (m, rows, columns) let not count, by what says so."""
    found = {"NaN or the largest number of their type": _sentinels(counts)}
    if stack.lowest is not None:
        found[f"`min_count={stack.lowest:g}`"] = np.any(counts < stack.lowest, axis=0)
    if stack.highest is not None:
        found[f"`max_count={stack.highest:g}`"] = np.any(counts > stack.highest, axis=0)
    return found


def _nothing_left(stack: FrameStack, marks: dict[str, np.ndarray], n_pixels: int) -> DataError:
    """Return an error that says how many pixels each cause masks."""
    counted = {cause: int(np.count_nonzero(where)) for cause, where in marks.items()}
    causes = ", ".join(f"{count} by {cause}" for cause, count in counted.items() if count)
    binned = "" if stack.bin == 1 else f" before bins of {stack.bin}"
    return DataError(
        f"{n_pixels} of {n_pixels} pixels of {stack.name} are masked ({causes}{binned}), so nothing is left to read; "
        "leave out or change what masks the most."
    )


def _sentinels(counts: np.ndarray) -> np.ndarray:
    if counts.dtype.kind == "u" and counts.dtype.itemsize > 1:
        return np.any(counts == np.iinfo(counts.dtype).max, axis=0)
    return np.any(np.isnan(counts), axis=0) if counts.dtype.kind == "f" else np.zeros(counts.shape[1:], bool)


def _binned(images: np.ndarray, size: int) -> np.ndarray:
    """Return the sums over size x size pixels of images (…, rows, columns)."""
    if size == 1:
        return images
    rows, columns = (extent // size for extent in images.shape[-2:])
    return images.reshape(*images.shape[:-2], rows, size, columns, size).sum(axis=(-3, -1))


def _corrected(
    counts: np.ndarray, stack: FrameStack, crop: tuple[slice, ...], numbers: np.ndarray
) -> np.ndarray:
    values = counts.astype(np.float32)
    if stack.dark is not None:
        values -= stack.dark[crop].astype(np.float32)
    if stack.flat is not None:
        flat = stack.flat[crop].astype(np.float32)
        values = np.divide(values, flat, out=np.zeros_like(values), where=flat > 0)
    if stack.scale is not None:
        values *= stack.scale[numbers].astype(np.float32)[:, np.newaxis, np.newaxis]
    return values
