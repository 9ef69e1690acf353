"""`map_batches`: a function of batches over any source of items, into any place that takes rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from autobatch._batch_run import BatchRun
from autobatch._checks import check_callables, check_flags, check_weights, checked_start
from autobatch._numbers import checked_count
from autobatch._padding import Padding
from autobatch._probe import Device
from autobatch._progress import Progress
from autobatch._progress_of import attach
from autobatch._results import completed, on_host
from autobatch._rows import is_array, padded, sliced
from autobatch._run import Commit, Compute, Settings, run_with
from autobatch._sinks import Gathered, HandedOver, Sink, Written
from autobatch._sources import Collate, Elements, Source, StreamSource, source_of
from autobatch._structures import leaves, like
from autobatch._types import BatchCost
from autobatch.errors import ResultLengthError

if TYPE_CHECKING:
    from autobatch._memo import BatchMemo

Function = Callable[[Any], Any]


def map_batches(
    function: Function,
    x: Any,
    *,
    out: Any = None,
    commit: Commit | None = None,
    batch_size: int | Literal["auto"] = "auto",
    cost: BatchCost | None = None,
    device: Device = None,
    usable_fraction: float = 0.9,
    max_batch_size: int | None = None,
    weights: Sequence[float] | None = None,
    sort: bool = False,
    pad: bool = False,
    multiple_of: int = 1,
    elements: Elements = "batches",
    collate: Collate | None = None,
    start: int = 0,
    on_error: Literal["raise", "skip"] = "raise",
    recover: bool = True,
    is_oom: Callable[[BaseException], bool] | None = None,
    progress: Progress | None = None,
    memo: BatchMemo | None = None,
    report: Callable[[BatchRun], None] | None = None,
    label: str = "map",
    unit: str = "items",
    remedy: str | None = None,
) -> Any:
    """Return ``function(x)``, computed in batches that fit into memory, on the host and in order.

    Parameters
    ----------
    function : callable
        Takes a batch, in the nesting of `x`, and returns an array with a row for each item, or lists, tuples and
        dicts of such. It must be free of side effects: it is called again after an out-of-memory error.
    x : array, nested structure, tf.data.Dataset, keras.utils.PyDataset or iterable
        Arrays of any library, memory maps and HDF5 data sets, alone or in lists, tuples and dicts, all with the
        items along the first axis. Data sets and iterables give batches of any size, as they do to
        ``model.predict``; of ``(inputs, targets)`` and ``(inputs, targets, weights)`` the inputs are taken.
    out : array or structure of arrays, optional
        Where the rows are written, in the nesting of the results: arrays, memory maps, HDF5, zarr, whatever takes
        slices. By default they are gathered in memory.
    commit : callable, optional
        ``commit(start, stop, rows)``, called once per finished batch and in order, in place of `out`.
    batch_size : int or "auto"
        As for `run_in_batches`, and so are `cost`, `device`, `usable_fraction`, `max_batch_size`, `on_error`,
        `recover`, `is_oom`, `progress`, `memo`, `label`, `unit` and `remedy`.
    cost : BatchCost, optional
        Memory that a batch needs; by default it is measured, see `run_in_batches`.
    device : str or callable, optional
        Where the function computes.
    usable_fraction : float
        Share of the usable memory to plan with.
    max_batch_size : int, optional
        Upper limit.
    weights : sequence of float, optional
        One number for each item, such as its length; bounds the sum in a batch. All sizes then count weight.
    sort : bool
        Runs the heaviest items first, so that those of a batch are alike, and puts the rows back.
    pad : bool
        Fills a batch smaller than one that has run up to that one's size by repeating its last item, so that a
        function that compiles for each shape sees no size but the planned ones. The rows of the repeated items
        are cut off.
    multiple_of : int
        Batches are filled up to a multiple of this, for example the number of replicas.
    elements : {"batches", "items"}
        What data sets, iterables and lists hold.
    collate : callable, optional
        ``collate(list of items)`` returns a batch, with ``elements="items"``; stacks them by default.
    start : int
        First item; the result has rows for those from it on.
    on_error : {"raise", "skip"}
        What becomes of items that fail by themselves. The rows of skipped ones are NaN, or 0 where the type has no
        NaN; in `out` they are left as they were.
    recover : bool
        False raises the first out-of-memory error as it came.
    is_oom : callable, optional
        Recognises other libraries' out-of-memory errors.
    progress : Progress, optional
        Shows how far it is.
    memo : BatchMemo, optional
        Sizes remembered between runs.
    report : callable, optional
        Called with the `BatchRun` at the end.
    label : str
        Names the run in messages.
    unit : str
        What is counted.
    remedy : str, optional
        What the user can do when one item does not fit.

    Returns
    -------
    array or structure of arrays, or None
        The rows of all items from `start` on; `out` itself if it was given; None with `commit`.

    Raises
    ------
    DoesNotFitError
        If one item alone does not fit.
    ResultLengthError
        If the function returns more or fewer rows than it was given.
    TypeError, ValueError
        If the arguments do not go together.
    Exception
        Whatever the function raises. `progress_of` tells of any error what was finished; its ``resume()`` goes on,
        with another function if one is given.
    """
    check_callables(function=function, commit=commit, collate=collate, report=report)
    check_flags(sort=sort, pad=pad)
    settings = Settings(
        batch_size=batch_size,
        cost=cost,
        device=device,
        usable_fraction=usable_fraction,
        max_batch_size=max_batch_size,
        recover=recover,
        progress=progress,
        memo=memo,
        on_error=on_error,
        check_length=False,
        is_oom=is_oom,
        label=label,
        unit=unit,
        remedy=remedy,
        multiple_of=checked_count("multiple_of", multiple_of, least=1),
    )
    source = source_of(x, elements, collate)
    order, weights = _ordered(weights, source, start, sort=sort, memo=memo)
    mapping = Mapping(
        function=function,
        source=source,
        sink=_sink(out, commit, source, start, order),
        order=order,
        padding=Padding(to_known_sizes=pad, multiple_of=multiple_of),
        label=label,
    )
    run = mapping.run(replace(settings, weights=weights), start)
    if report is not None:
        report(run)
    return out if out is not None else None if commit is not None else mapping.result(run)


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """A function between a source and a sink, as `run_in_batches` wants it.

    Attributes
    ----------
    function : callable
        Takes a batch and returns its rows.
    source, sink
        Where the items come from and the rows go.
    order : array of int, optional
        The item at each place of the run.
    padding : Padding
        How batches are filled up.
    label : str
        For messages.
    """

    function: Function
    source: Source
    sink: Sink
    order: Any
    padding: Padding
    label: str

    def run(self, settings: Settings, start: int) -> BatchRun:
        """Do all batches from `start` on."""
        n_items = self.source.n_items
        first = checked_count("start", start, least=0)
        if n_items is None:
            self._pass_over(first)
        settings = replace(
            settings,
            outputs=self._outputs,
            is_repeatable=self.sink.is_repeatable,
            order=self.order,
            supply=self.source.supply if isinstance(self.source, StreamSource) else None,
            adapted=self._adapted,
        )
        return run_with(settings, self.compute, n_items, commit=self.commit, start=first)

    def compute(self, start: int, stop: int) -> Any:
        """Return the rows of items ``[start, stop)``, on the host."""
        n_items = stop - start
        batch = (
            self.source.take(start, stop) if self.order is None else self.source.pick(self.order[start:stop])
        )
        n_wanted = self.padding.target(n_items)
        if n_wanted != n_items:
            batch = self._padded(batch, n_wanted)
        try:
            rows = on_host(completed(self.function(batch)))
        except BaseException:
            self.padding.failed(n_wanted)
            raise
        self.padding.went_well(n_wanted)
        rows = self._checked(rows, start, stop, n_wanted)
        return rows if n_wanted == n_items else sliced(rows, 0, n_items)

    def commit(self, start: int, stop: int, rows: Any) -> None:
        """Hand the rows to the sink, and let the stream forget the items."""
        self.sink.write(start, stop, rows)
        if isinstance(self.source, StreamSource):
            self.source.drop(start)

    def result(self, run: BatchRun) -> Any:
        """Return the gathered rows; without items, those of an empty batch."""
        if run.outputs:
            return run.outputs[0]
        if run.skipped:
            message = (
                f"{self.label!r}: all {len(run.skipped):,} items failed and were skipped, item {run.skipped[0].item:,} "
                f'by {run.skipped[0].error}; mend that, or pass on_error="raise" to see where it comes from.'
            )
            raise attach(ValueError(message), self.label, run)
        if self.source.n_items is None:
            raise ValueError("x gave no items, so that nobody knows what their results look like; pass some.")
        rows = on_host(completed(self.function(self.source.take(0, 0))))
        return self._checked(rows, 0, 0, 0)

    def _outputs(self, run: BatchRun) -> list[Any]:
        return self.sink.outputs(run)

    def _adapted(
        self, function: Function | None, commit: Commit | None
    ) -> tuple[Compute | None, Commit | None]:
        """Return what `BatchRun.resume` was given as `compute` and `commit` of this mapping."""
        if commit is not None and not isinstance(self.sink, HandedOver):
            raise ValueError("commit was given, but this run gathers its rows; resume it without one.")
        sink = self.sink if commit is None else HandedOver(commit)
        other = replace(self, function=self.function if function is None else function, sink=sink)
        return other.compute, other.commit

    def _padded(self, batch: Any, n_wanted: int) -> Any:
        if not all(map(is_array, leaves(batch))):
            raise ValueError(
                "pad or multiple_of was given, but what collate returns holds no arrays that could be filled up; "
                "leave them out, or return arrays."
            )
        return padded(batch, n_wanted)

    def _checked(self, rows: Any, start: int, stop: int, n_wanted: int) -> Any:
        rows = _as_arrays(rows)
        for leaf in leaves(rows):
            if not is_array(leaf) or leaf.shape[0] != n_wanted:
                came = f"shape {tuple(leaf.shape)}" if hasattr(leaf, "shape") else f"a {type(leaf).__name__}"
                last = max(start, stop - 1)
                raise ResultLengthError(
                    f"{self.label!r}: the batch of items {start:,} to {last:,} has {n_wanted:,} rows, but what came "
                    f"back has {came}; return one row per item (under a tf.distribute strategy call autobatch.predict)."
                )
        return rows

    def _pass_over(self, start: int) -> None:
        assert isinstance(self.source, StreamSource)
        if self.source.supply(start) < start:
            raise ValueError(f"start is {start:,} but x gave fewer items.")
        self.source.drop(start)


def _ordered(
    weights: Sequence[float] | None, source: Source, start: int, *, sort: bool, memo: object
) -> tuple[Any, Sequence[float] | None]:
    """Return the order of the items, None for their own, and the weights in that order."""
    if weights is None:
        if sort:
            raise ValueError("sort=True was given without weights; pass weights to sort by.")
        return None, None
    if source.n_items is None:
        raise ValueError("weights were given, but nobody knows how many items x has; pass arrays or a list.")
    check_weights(weights, source.n_items, memo, checked_start(start, source.n_items))
    if not sort:
        return None, weights
    if start:
        raise ValueError(
            "start was given with sort=True, which runs the items in another order; leave one out."
        )
    import numpy as np

    order = np.argsort(-np.asarray(weights, dtype=np.float64), kind="stable")
    return order, np.asarray(weights, dtype=np.float64)[order].tolist()


def _sink(out: Any, commit: Commit | None, source: Source, start: int, order: Any) -> Sink:
    if out is not None and commit is not None:
        raise ValueError("out and commit were both given; pass one place for the rows.")
    if commit is not None:
        if order is not None:
            raise ValueError("sort=True puts the rows back, which a commit cannot; use out, or no sort.")
        return HandedOver(commit)
    if out is not None:
        return Written(out, source.n_items, order)
    return Gathered(source.n_items, start, order)


def _as_arrays(rows: Any) -> Any:
    """Return rows with each list of plain values, as a function in plain Python returns them, as one array."""
    if isinstance(rows, dict):
        return {name: _as_arrays(value) for name, value in rows.items()}
    if isinstance(rows, list) and not any(hasattr(leaf, "shape") for leaf in leaves(rows)):
        import numpy as np

        return np.asarray(rows)
    if isinstance(rows, (list, tuple)):
        made = [_as_arrays(value) for value in rows]
        return like(rows, made)
    return rows
