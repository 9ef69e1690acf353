"""Items that are read on a thread while the caller works on those before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

# One array for each thing that is read of an item, all with the items along the first axis.
Rows = tuple[np.ndarray, ...]


class ReadAhead:
    """Gives ranges of items in order; the range that probably comes next is read meanwhile.

    That next range is as long as the last. Whatever range is then asked for, what was read of it is cut out and only
    the rest is read; what is left over serves the ranges after it. A range that has been given is forgotten: after an
    error its items are read anew.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` returns arrays with a row for each of the items ``[start, stop)``. It is called on two
        threads, but never on both at once.
    n_items : int
        One past the last item.

    Notes
    -----
    A range that fails on the thread is read again by whoever asks for it, so that its error is raised there, as if
    nothing had been read ahead.
    """

    def __init__(self, read: Callable[[int, int], Rows], n_items: int) -> None:
        """Begin nothing; the first range is read when it is asked for."""
        self._read, self._n_items = read, n_items
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
        self._coming: tuple[int, Future[Rows]] | None = None
        # What was read and not yet given, by its first item.
        self._held: list[tuple[int, Rows]] = []

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until nothing is read any more, and forget what was."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._coming, self._held = None, []

    def take(self, start: int, stop: int) -> Rows:
        """Return items ``[start, stop)`` and begin to read those that follow.

        Parameters
        ----------
        start, stop : int

        Returns
        -------
        tuple of arrays
            A row for each item; views of what was read, where that was one piece.
        """
        self._receive()
        parts, cursor = [], start
        for first, rows in self._held:
            begin, end = max(cursor, first), min(stop, first + len(rows[0]))
            if begin >= end:
                continue
            if cursor < begin:
                parts.append(self._read(cursor, begin))
            parts.append(_cut(rows, begin - first, end - first))
            cursor = end
        if cursor < stop:
            parts.append(self._read(cursor, stop))
        self._held = [
            (max(first, stop), _cut(rows, max(first, stop) - first, len(rows[0])))
            for first, rows in self._held
            if first + len(rows[0]) > stop
        ]
        self._begin(stop, min(self._n_items, 2 * stop - start))
        return _joined(parts)

    def _receive(self) -> None:
        if self._coming is None:
            return
        (first, future), self._coming = self._coming, None
        error = future.exception()
        if error is None:
            self._held = sorted([*self._held, (first, future.result())], key=lambda piece: piece[0])

    def _begin(self, start: int, stop: int) -> None:
        """Read what is missing of a range; of several gaps the first."""
        for first, rows in self._held:
            if first <= start:
                start = first + len(rows[0])
            else:
                stop = min(stop, first)
        if start < stop:
            self._coming = start, self._thread.submit(self._read, start, stop)


def _cut(rows: Rows, begin: int, end: int) -> Rows:
    return tuple(array[begin:end] for array in rows)


def _joined(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
