"""Frames that stay in their file: how they are read there, and the amplitudes that they become."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ptycho._io.mapped import runs_of
from ptycho._io.stored import StoredRows, as_range

BLOCK_BYTES = 32 << 20
# Of frames that lie together in larger pieces every batch would unpack far more than it needs.
_LARGEST_PIECE_BYTES = 128 << 20


@dataclass(frozen=True, eq=False, kw_only=True)
class AnyFrames:
    """The blocks of a stack whose frames can also be read in any order, now and later.

    Attributes
    ----------
    n_frames : int
    frame_bytes : int
    together : int
        So many frames lie together in the file and are unpacked together.
    read : callable
        ``read(start, stop)`` returns counts (stop - start, rows, columns).
    keep : callable
        Keeps the file open for as long as `read` is referred to.
    """

    n_frames: int
    frame_bytes: int
    together: int
    read: Callable[[int, int], np.ndarray]
    keep: Callable[[], None] = lambda: None

    def __call__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield all frames, as `FrameStack.blocks`."""
        # Whole chunks, so that none is unpacked twice; of those that are too large for that as much as memory bears.
        together = self.together if self.is_quick else max(1, _LARGEST_PIECE_BYTES // self.frame_bytes)
        step = together * max(1, BLOCK_BYTES // max(1, self.frame_bytes * together))
        for start in range(0, self.n_frames, step):
            yield start, self.read(start, min(start + step, self.n_frames))

    @property
    def is_quick(self) -> bool:
        """Whether a few frames can be read without unpacking far more of the file."""
        return self.together == 1 or self.together * self.frame_bytes <= _LARGEST_PIECE_BYTES

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> AnyFrames:
        """Return the frames with `change` applied to their counts."""
        read = self.read
        return replace(self, read=lambda start, stop: change(read(start, stop)))

    def taking(self, numbers: np.ndarray) -> AnyFrames:
        """Return the frames with some numbers, (k,) int that rise."""

        def read(start: int, stop: int) -> np.ndarray:
            some = numbers[start:stop]
            pieces = [self.read(int(some[a]), int(some[b - 1]) + 1) for a, b in runs_of(some)]
            return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

        return replace(self, n_frames=len(numbers), together=1, read=read)

    @classmethod
    def chain(cls, parts: Sequence[AnyFrames]) -> AnyFrames:
        """Return the frames of several, one after the other."""
        starts = np.cumsum([0, *(part.n_frames for part in parts)])
        together = {part.together for part in parts}
        aligned = len(together) == 1 and all(part.n_frames % part.together == 0 for part in parts[:-1])

        def read(start: int, stop: int) -> np.ndarray:
            pieces = [
                part.read(max(start - first, 0), min(stop - first, part.n_frames))
                for first, part in zip(starts.tolist(), parts, strict=False)
                if start < first + part.n_frames and first < stop
            ]
            return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

        def keep() -> None:
            for part in parts:
                part.keep()

        return cls(
            n_frames=int(starts[-1]),
            frame_bytes=max(part.frame_bytes for part in parts),
            together=together.pop() if aligned else 1,
            read=read,
            keep=keep,
        )


def changed_blocks(
    blocks: Callable[[], Iterator[tuple[int, np.ndarray]]], change: Callable[[np.ndarray], np.ndarray]
) -> Callable[[], Iterator[tuple[int, np.ndarray]]]:
    """Return blocks with `change` applied to their counts."""
    if isinstance(blocks, AnyFrames):
        return blocks.changed(change)

    def changed() -> Iterator[tuple[int, np.ndarray]]:
        for start, counts in blocks():
            yield start, change(counts)

    return changed


class StoredFrames(StoredRows):
    """Amplitudes (k, N, N) float32 of frames that stay in their file.

    Parameters
    ----------
    frames : AnyFrames
    wanted : (k,) int64
        The number of each frame in the file.
    amplitudes : callable
        Makes amplitudes (m, N, N) float32 of counts (m, rows, columns) and the numbers (m,) of the frames in the file.
    side : int
        N.
    mask : (N, N) bool, optional
        True where a pixel counts; the others are 0.
    """

    def __init__(
        self,
        frames: AnyFrames,
        wanted: np.ndarray,
        amplitudes: Callable[[np.ndarray, np.ndarray], np.ndarray],
        *,
        side: int,
        mask: np.ndarray | None,
    ) -> None:
        """Read nothing yet."""
        self.shape, self.dtype = (len(wanted), side, side), np.dtype(np.float32)
        self._frames, self._wanted, self._amplitudes, self._mask = frames, wanted, amplitudes, mask
        # Several threads may read; what lies together is then still unpacked once.
        self._lock = threading.Lock()
        self._last: tuple[int, np.ndarray] = (-1, np.empty(0))

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Return some frames; whatever lies together in the file is read once, and its last piece is kept."""
        wanted = self._wanted[numbers]
        rows = np.empty((len(wanted), *self.shape[1:]), np.float32)
        order = np.argsort(wanted, kind="stable")
        in_file = wanted[order]
        with self._lock:
            for start, stop in self._pieces(in_file):
                counts = self._counts(start, stop)
                first, last = np.searchsorted(in_file, (start, stop))
                here = order[first:last]
                numbers_here = wanted[here]
                rows[as_range(here)] = self._amplitudes(counts[as_range(numbers_here - start)], numbers_here)
        if self._mask is not None:
            rows *= self._mask
        return rows

    def with_zeros(self, mask: np.ndarray) -> StoredFrames:
        """Return the frames with 0 where `mask` (N, N) is False."""
        both = mask if self._mask is None else mask & self._mask
        return StoredFrames(self._frames, self._wanted, self._amplitudes, side=self.shape[1], mask=both)

    def taking(self, numbers: np.ndarray) -> StoredFrames:
        """Return some of the frames, which stay where they are."""
        return StoredFrames(
            self._frames, self._wanted[numbers], self._amplitudes, side=self.shape[1], mask=self._mask
        )

    def _pieces(self, in_file: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield ranges of frames, each of whole pieces of the file, that hold those `in_file` (k,), which rise."""
        together, n_frames = self._frames.together, self._frames.n_frames
        most = max(1, BLOCK_BYTES // max(1, self._frames.frame_bytes * together))
        pieces = np.unique(in_file // together)
        start = 0
        for end in range(1, len(pieces) + 1):
            is_kept = pieces[start] * together == self._last[0]
            if end == len(pieces) or pieces[end] != pieces[end - 1] + 1 or end - start >= most or is_kept:
                yield int(pieces[start]) * together, min(n_frames, int(pieces[end - 1] + 1) * together)
                start = end

    def _counts(self, start: int, stop: int) -> np.ndarray:
        together = self._frames.together
        if start == self._last[0] and stop - start <= together:
            return self._last[1]
        counts = self._frames.read(start, stop)
        if together > 1:
            first = (stop - 1) // together * together
            self._last = first, counts[first - start :].copy()
        return counts
