"""Items that are read on a thread while the caller works on those before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType

import numpy as np

# One array for each thing that is read of an item, all with the items along the first axis.
Rows = tuple[np.ndarray, ...]

# With one range ahead each wait of the reader is one of the caller too; with two the times even out. Large ranges take
# long enough to do so by themselves, and memory.
_SECOND_RANGE_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class _Coming:
    """Items ``[first, stop)``, which the thread reads or will read."""

    first: int
    stop: int
    rows: Future[Rows]


class ReadAhead:
    """Gives ranges of items in order; the range that probably comes next, or two small ones, are read meanwhile.

    They are each as long as the last. Whatever range is then asked for, what was read of it is cut out and only
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
        # In the order in which the thread reads them.
        self._coming: list[_Coming] = []
        # What was read and not yet given, by its first item.
        self._held: list[tuple[int, Rows]] = []

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until nothing is read any more, and forget what was."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._coming, self._held = [], []

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
        self._receive(stop)
        parts, cursor = [], start
        for first, rows in self._held:
            begin, end = max(cursor, first), min(stop, first + len(rows[0]))
            if begin >= end:
                continue
            if cursor < begin:
                parts.append(self._read_here(cursor, begin))
            parts.append(_cut(rows, begin - first, end - first))
            cursor = end
        if cursor < stop:
            parts.append(self._read_here(cursor, stop))
        self._held = [
            (max(first, stop), _cut(rows, max(first, stop) - first, len(rows[0])))
            for first, rows in self._held
            if first + len(rows[0]) > stop
        ]
        rows = _joined(parts)
        is_small = sum(array.nbytes for array in rows) <= _SECOND_RANGE_BYTES
        for first in (stop, 2 * stop - start) if is_small else (stop,):
            self._begin(first, min(self._n_items, first + stop - start))
        return rows

    def _read_here(self, start: int, stop: int) -> Rows:
        wait([coming.rows for coming in self._coming])
        return self._read(start, stop)

    def _receive(self, stop: int) -> None:
        """Hold what the thread has read, and once it has, what begins before `stop`."""
        received = [coming for coming in self._coming if coming.rows.done() or coming.first < stop]
        pieces = [
            (coming.first, coming.rows.result()) for coming in received if coming.rows.exception() is None
        ]
        self._coming = [coming for coming in self._coming if coming not in received]
        self._held = sorted([*self._held, *pieces], key=lambda piece: piece[0])

    def _begin(self, start: int, stop: int) -> None:
        """Read what is missing of a range; of several gaps the first."""
        known = [(first, first + len(rows[0])) for first, rows in self._held]
        known += [(coming.first, coming.stop) for coming in self._coming]
        for first, last in sorted(known):
            if first <= start:
                start = max(start, last)
            else:
                stop = min(stop, first)
        if start < stop:
            self._coming.append(_Coming(start, stop, self._thread.submit(self._read, start, stop)))


def _cut(rows: Rows, begin: int, end: int) -> Rows:
    return tuple(array[begin:end] for array in rows)


def _joined(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
