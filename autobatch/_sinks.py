"""Where the rows of `map_batches` go: gathered in memory, written into the caller's arrays, or handed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from autobatch._batch_run import BatchRun
from autobatch._rows import is_array, joined, n_rows, sliced
from autobatch._structures import leaves, mapped


class Sink(Protocol):
    """Takes rows in the order in which they are computed."""

    is_repeatable: bool

    def write(self, start: int, stop: int, rows: Any) -> None:
        """Take the rows of items ``[start, stop)``, counted in the order of the run."""
        ...

    def outputs(self, run: BatchRun) -> list[Any]:
        """Return what was gathered for `BatchRun.outputs`."""
        ...


class Gathered:
    """Arrays with a row per item; made when the first rows tell their shape.

    Parameters
    ----------
    n_items : int, optional
        One past the last item, None if nobody knows.
    first : int
        First item.
    order : array of int, optional
        The item at each place of the run; rows go back to where the items are.
    """

    is_repeatable = True

    def __init__(self, n_items: int | None, first: int, order: Any) -> None:
        self._n_items, self._first, self._order = n_items, first, order
        self._arrays: Any = None
        self._parts: list[tuple[int, Any]] = []

    def write(self, start: int, stop: int, rows: Any) -> None:
        """Keep the rows."""
        if self._n_items is None:
            # A part that was kept but not counted before an interrupt comes once more.
            self._parts = [part for part in self._parts if part[0] < start]
            self._parts.append((start, rows))
            return
        if self._arrays is None:
            length = self._n_items - self._first
            self._arrays = mapped(lambda leaf: _empty(length, leaf), rows)
        where = slice(start - self._first, stop - self._first)
        where = where if self._order is None else self._order[where]
        self._arrays = mapped(lambda array, leaf: _placed(array, where, leaf), self._arrays, rows)

    def outputs(self, run: BatchRun) -> list[Any]:
        """Return all rows as one structure; of a run that was ended, the finished ones in the order of the run."""
        if self._n_items is None:
            parts = [part for start, part in self._parts if start < run.n_done]
            return [joined(parts)] if parts and run.is_finished else parts
        if self._arrays is None:
            return []
        if run.is_finished:
            for skipped in run.skipped:
                self._blank(skipped.item)
            return [self._arrays]
        n_done = run.n_done - self._first
        if self._order is None:
            return [sliced(self._arrays, 0, n_done)]
        return [mapped(lambda leaf: leaf[self._order[:n_done]], self._arrays)]

    def _blank(self, item: int) -> None:
        for leaf in leaves(self._arrays):
            leaf[item - self._first] = _nothing(leaf.dtype)


class Written:
    """The caller's arrays, memory maps, HDF5 or zarr data sets: whatever takes slices."""

    is_repeatable = True

    def __init__(self, out: Any, n_items: int | None, order: Any) -> None:
        self._out, self._order = out, order
        if not all(map(is_array, leaves(out))):
            raise TypeError(
                "out holds something without a shape; pass arrays, or what takes slices as they do."
            )
        length = n_rows(out, "out")
        if n_items is not None and length != n_items:
            raise ValueError(
                f"out has {length:,} rows but x has {n_items:,} items; pass one row for each item."
            )

    def write(self, start: int, stop: int, rows: Any) -> None:
        """Write the rows to where their items are."""
        mapped(_check_fits, rows, self._out)
        mapped(lambda leaf, target: self._write(leaf, target, start, stop), rows, self._out)

    def outputs(self, run: BatchRun) -> list[Any]:
        """Return nothing: it is the caller's."""
        return []

    def _write(self, rows: Any, target: Any, start: int, stop: int) -> None:
        if stop > target.shape[0]:
            raise ValueError(f"out has {target.shape[0]:,} rows but x has more; pass one row for each item.")
        if self._order is None:
            target[start:stop] = rows
            return
        # Files take slices, but not rows in any order.
        places = self._order[start:stop]
        for row, place in enumerate(places):
            target[int(place) : int(place) + 1] = rows[row : row + 1]


class HandedOver:
    """The caller's function."""

    is_repeatable = False

    def __init__(self, commit: Callable[[int, int, Any], None]) -> None:
        self._commit = commit

    def write(self, start: int, stop: int, rows: Any) -> None:
        """Hand the rows over."""
        self._commit(start, stop, rows)

    def outputs(self, run: BatchRun) -> list[Any]:
        """Return nothing: the caller has them."""
        return []


def _empty(length: int, leaf: Any) -> Any:
    import numpy as np

    return np.zeros((length, *leaf.shape[1:]), leaf.dtype)


def _placed(array: Any, where: Any, rows: Any) -> Any:
    """Write rows into the array, and return it or, if its type cannot hold them, one that can."""
    import numpy as np

    if array.shape[1:] != rows.shape[1:]:
        raise ValueError(
            f"a batch gave rows of shape {rows.shape[1:]} but earlier ones were {array.shape[1:]}; return rows of one "
            "shape, for example padded, or take them with commit=."
        )
    if not np.can_cast(rows.dtype, array.dtype, "safe"):
        array = array.astype(np.result_type(array.dtype, rows.dtype))
    array[where] = rows
    return array


def _check_fits(rows: Any, target: Any) -> None:
    import numpy as np

    shape = tuple(target.shape[1:])
    if shape != tuple(rows.shape[1:]):
        raise ValueError(
            f"out has rows of shape {shape} but the results are {tuple(rows.shape[1:])}; make them equal."
        )
    dtype = getattr(target, "dtype", rows.dtype)
    if isinstance(dtype, np.dtype) and not np.can_cast(rows.dtype, dtype, "same_kind"):
        raise ValueError(f"out is {dtype} but the results are {rows.dtype}; pass an out that can hold them.")


def _nothing(dtype: Any) -> Any:
    import numpy as np

    return np.nan if np.issubdtype(dtype, np.inexact) else np.zeros((), dtype)[()]
