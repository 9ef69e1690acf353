"""Which items make the next batch, and how that changes with what happens to it."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from autobatch._planner import bucket_below

# After a failure the size grows by a step each time that this many batches went well, after the next failure each
# time that twice as many did, and so on: an out-of-memory error of TensorFlow costs ten seconds.
_FIRST_PATIENCE = 8
_ROUNDING = 1 + 1e-9


class Sizes:
    """The size in force. It counts items, or their weight where weights are given.

    Parameters
    ----------
    n_items : int, optional
        Number of items, None for a stream whose end is not known.
    weights : sequence of float, optional
        What each item costs beside the others; bounds the sum in a batch instead of the number of items.
    multiple_of : int
        Batches hold a multiple of this many items, but for the last.
    """

    def __init__(
        self, n_items: int | None, *, weights: Sequence[float] | None = None, multiple_of: int = 1
    ) -> None:
        self._n_items, self._least = n_items, multiple_of
        self._sums = None if weights is None else array("d", accumulate(weights, initial=0.0))
        self.size: float = 1
        self.ceiling: float | None = None
        self.halves = True
        self._fitted = 0.0
        self._suspect_stop: int | None = None
        self._patience = _FIRST_PATIENCE  # batches to wait for
        self._n_since = 0  # batches that went well since a failure

    @property
    def mean_weight(self) -> float:
        """Weight of an item on average; 1 without weights."""
        return 1.0 if self._sums is None or len(self._sums) == 1 else self._sums[-1] / (len(self._sums) - 1)

    def load(self, start: int, stop: int) -> float:
        """Return the size of a batch: its items, or their weight."""
        return stop - start if self._sums is None else self._sums[stop] - self._sums[start]

    def begin(self, size: float) -> None:
        """Use `size` from now on, or less if a batch has failed already."""
        self.size = max(1, size) if self._sums is None else size
        if self.ceiling is not None:
            self.size = min(self.size, self.ceiling)
        if self._sums is None:
            self.size = self._in_multiples(int(self.size))

    def stop(self, start: int) -> int:
        """Return one past the last item of the batch that begins at `start`."""
        if self._sums is None:
            stop = start + int(self.size)
        else:
            stop = bisect_right(self._sums, self._sums[start] + self.size * _ROUNDING, start + 1) - 1
            stop = start + self._in_multiples(stop - start)
        if self._suspect_stop is not None:
            stop = min(stop, start + max(1, (self._suspect_stop - start) // 2))
        return stop if self._n_items is None else min(stop, self._n_items)

    def finished(self, start: int, stop: int) -> bool:
        """Note a batch that went well; return whether the size grew back."""
        if self._suspect_stop is not None and stop >= self._suspect_stop:
            self._suspect_stop = None
        if self._sums is None:
            self._fitted = max(self._fitted, stop - start)
            return False
        self._fitted = max(self._fitted, self._sums[stop] - self._sums[start])
        return self.ceiling is not None and self._grows()

    def out_of_memory(self, start: int, stop: int) -> bool:
        """Take a smaller size; return False if the batch was the smallest that there is."""
        if stop - start <= self._least:
            return False
        load = self.load(start, stop)
        lower = _half(load) if self.halves else _bucket_under(load)
        self.size = self.ceiling = self._in_multiples(int(lower)) if self._sums is None else lower
        if self._n_since:
            self._patience *= 2
        self._n_since = 0
        return True

    def suspect(self, start: int, stop: int) -> bool:
        """Search a batch for an item that fails by itself; return False if the batch is that item."""
        self._suspect_stop = stop
        return stop - start > 1

    def skipped(self) -> None:
        """Go on as before, once the item that failed has been left out."""
        self._suspect_stop = None
        self.size = max(self.size, self._fitted)

    def _grows(self) -> bool:
        """Grow by one step towards what has fitted."""
        self._n_since += 1
        if self.size >= self._fitted or self._n_since % self._patience:
            return False
        self.size = min(self._fitted, self.size * 1.5)
        return True

    def _in_multiples(self, n_items: int) -> int:
        return max(self._least, n_items - n_items % self._least)


def _half(load: float) -> float:
    return load // 2 if load >= 2 else load / 2


def _bucket_under(load: float) -> float:
    """Return the largest planned size that is less than `load`."""
    return bucket_below(math.ceil(load) - 1) if load > 2 else load / 2
