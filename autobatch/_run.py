"""`run_in_batches`: a computation over items in batches that fit into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from autobatch._batch_run import BatchRun
from autobatch._checks import (
    check_callables,
    check_flags,
    check_weights,
    checked_on_error,
    checked_start,
)
from autobatch._driver import Loop, Task
from autobatch._first_size import FirstSize, checked_first_size
from autobatch._guards import GuardedMemo, GuardedStage, guarded_probe
from autobatch._hooks import PROCESS
from autobatch._probe import Device
from autobatch._progress import NoProgress, Progress
from autobatch._sizes import Sizes
from autobatch._types import BatchCost

if TYPE_CHECKING:
    from autobatch._memo import BatchMemo

_REMEDY = "use a device with more memory, free some of it, or make one item smaller"
# So many items of a stream, whose end nobody knows, are waited for at most before they are worked on.
STREAM_BATCH_SIZE = 1024

Compute = Callable[[int, int], Any]
Commit = Callable[[int, int, Any], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the callers of `run_in_batches` and of `map_batches` say about a run.

    The fields are the parameters of `run_in_batches`; `multiple_of` is that of `Sizes`; `supply`, `outputs`,
    `is_repeatable` and `order` are those of `Task`. `adapted` turns functions given to `BatchRun.resume` into
    `compute` and `commit`.
    """

    batch_size: int | Literal["auto"] = "auto"
    cost: BatchCost | None = None
    device: Device = None
    usable_fraction: float = 0.9
    max_batch_size: int | None = None
    recover: bool = True
    progress: Progress | None = None
    memo: BatchMemo | None = None
    weights: Sequence[float] | None = None
    on_error: Literal["raise", "skip"] = "raise"
    check_length: bool = True
    is_oom: Callable[[BaseException], bool] | None = None
    label: str = "batches"
    unit: str = "items"
    remedy: str | None = None
    clock: Callable[[], float] = time.perf_counter
    multiple_of: int = 1
    supply: Callable[[int], int] | None = None
    outputs: Callable[[BatchRun], list[Any]] | None = None
    is_repeatable: bool = False
    order: Any = None
    adapted: Callable[[Any, Any], tuple[Compute | None, Commit | None]] | None = None


def run_in_batches(
    compute: Compute,
    n_items: int,
    *,
    commit: Commit | None = None,
    batch_size: int | Literal["auto"] = "auto",
    cost: BatchCost | None = None,
    device: Device = None,
    usable_fraction: float = 0.9,
    max_batch_size: int | None = None,
    recover: bool = True,
    progress: Progress | None = None,
    memo: BatchMemo | None = None,
    start: int = 0,
    weights: Sequence[float] | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    check_length: bool = True,
    is_oom: Callable[[BaseException], bool] | None = None,
    label: str = "batches",
    unit: str = "items",
    remedy: str | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> BatchRun:
    """Run `compute` over ``[start, n_items)`` in batches that fit into memory, each committed exactly once.

    When a batch runs out of memory a smaller size is taken and the work resumes at the item that failed;
    nothing finished is computed again. A size that memory has limited goes down to the next planned size below
    (48, 32, 24, 16 …); one that the caller gave, or all items at once, is halved. Without `weights` it never
    grows back, so that a run of planned size s meets at most ``2 · log2(s) + 2`` such errors.

    Parameters
    ----------
    compute : callable
        ``compute(start, stop)`` returns the result for items ``[start, stop)``. It must be free of side
        effects, for it is called again after an out-of-memory error.
    n_items : int
        Number of items.
    commit : callable, optional
        ``commit(start, stop, result)``, called once per finished batch and in order, with the result as
        `compute` returned it. Without it the results are brought to the host and kept in `BatchRun.outputs`.
    batch_size : int or "auto"
        An integer is the first size and the upper limit. ``"auto"`` plans it from `cost` and the free
        memory.
    cost : BatchCost, optional
        Memory that a batch needs. Without it the first small batches are measured where the allocator
        keeps statistics; where it does not, 32 items are taken.
    device : str or callable, optional
        ``"cpu"``, ``"GPU:1"``, or a function returning a `DeviceMemory`. None is the first GPU visible,
        else the host.
    usable_fraction : float
        Share of the usable memory to plan with, in (0, 1].
    max_batch_size : int, optional
        Upper limit in either mode. None is no limit, except that an estimated cost leads to at most 32
        items on the host, more only of small ones, for more gains little there.
    recover : bool
        False raises the first out-of-memory error as it came.
    progress : Progress, optional
        Shows one stage, named `label`, that counts `unit`.
    memo : BatchMemo, optional
        Sizes remembered between runs.
    start : int
        First item, if those before it are done; they are neither computed nor committed.
    weights : sequence of float, optional
        One number above 0 for each item, for what it costs beside the others: its length, pixels, atoms.
        Every size then counts weight instead of items: `batch_size`, `max_batch_size`, the plan, and
        ``bytes_per_item`` of `cost`. An item that is heavier than the size makes a batch of its own. After an
        error the size grows back, step by step, to what has fitted.
    on_error : {"raise", "skip"}
        ``"skip"`` searches a batch that fails for the item that fails by itself, leaves it out, and names it
        in `BatchRun.skipped`. Errors of `commit` are raised in any case.
    check_length : bool
        Whether each array in a result must have as many rows as the batch has items.
    is_oom : callable, optional
        ``is_oom(error)`` says of errors of other libraries whether they mean that memory ran out.
    label : str
        Names the run in messages.
    unit : str
        What is counted.
    remedy : str, optional
        What the user can do when one item does not fit, as the end of a sentence; for example the name
        of a command-line flag.
    clock : callable
        Returns seconds.

    Returns
    -------
    BatchRun
        Plan, attempts, times and, without `commit`, the outputs.

    Raises
    ------
    DoesNotFitError
        If one item alone does not fit. Everything before it has been committed.
    CommitOutOfMemoryError
        If `commit` itself runs out of memory.
    ResultLengthError
        If an array in a result has more or fewer rows than the batch has items.
    ValueError
        If a count or a fraction is out of range.
    Exception
        Whatever `compute` or `commit` raises. `progress_of` tells of any error what was finished, and its
        ``resume()`` goes on from there.
    """
    settings = Settings(
        batch_size=batch_size,
        cost=cost,
        device=device,
        usable_fraction=usable_fraction,
        max_batch_size=max_batch_size,
        recover=recover,
        progress=progress,
        memo=memo,
        weights=weights,
        on_error=on_error,
        check_length=check_length,
        is_oom=is_oom,
        label=label,
        unit=unit,
        remedy=remedy,
        clock=clock,
    )
    return run_with(settings, compute, n_items, commit=commit, start=start)


def run_with(
    settings: Settings,
    compute: Compute,
    n_items: int | None,
    *,
    commit: Commit | None,
    start: int,
    earlier: BatchRun | None = None,
) -> BatchRun:
    """Do what `run_in_batches` does; `earlier` is the part that was done before an error."""
    check_callables(compute=compute, commit=commit)
    first_size = _first_size(settings, n_items, start)
    sizes = Sizes(n_items, weights=settings.weights, multiple_of=settings.multiple_of)
    task = Task(
        compute=PROCESS.wrapped(compute, settings.label),
        commit=commit,
        n_items=n_items,
        start=start,
        label=settings.label,
        remedy=settings.remedy or _REMEDY,
        recovers=settings.recover,
        skips=settings.on_error == "skip",
        checks_length=settings.check_length,
        is_oom=settings.is_oom,
        supply=settings.supply,
        outputs=settings.outputs,
        is_repeatable=settings.is_repeatable,
        order=settings.order,
        continuation=_Continuation(settings, compute, commit, n_items),
        earlier=earlier,
    )
    progress = settings.progress or NoProgress()
    total = None if n_items is None else n_items - start
    with GuardedStage(progress, settings.label, total, settings.unit) as stage:
        is_watched = not isinstance(progress, NoProgress)
        return Loop(task, first_size, sizes, stage, is_watched=is_watched, clock=settings.clock).run()


def _first_size(settings: Settings, n_items: int | None, start: int) -> FirstSize:
    """Check what was said, and return what the first size depends on."""
    checked_on_error(settings.on_error)
    check_callables(is_oom=settings.is_oom, clock=settings.clock)
    check_flags(recover=settings.recover, check_length=settings.check_length)
    load = STREAM_BATCH_SIZE if n_items is None else n_items
    if n_items is not None:
        load = n_items - checked_start(start, n_items)
        if settings.weights is not None:
            load = check_weights(settings.weights, n_items, settings.memo, start)
    first_size = checked_first_size(
        load,
        settings.batch_size,
        settings.cost,
        settings.device,
        usable_fraction=settings.usable_fraction,
        max_batch_size=settings.max_batch_size,
        memo=settings.memo,
    )
    memo: Any = None if settings.memo is None else GuardedMemo(settings.memo, settings.label)
    return replace(first_size, probe=guarded_probe(first_size.probe, settings.label), memo=memo)


@dataclass(frozen=True)
class _Continuation:
    """Goes on with the rest of a run, with other functions or settings if they are given."""

    settings: Settings
    compute: Compute
    commit: Commit | None
    n_items: int | None

    def __call__(
        self,
        earlier: BatchRun,
        start: int,
        *,
        compute: Compute | None,
        commit: Commit | None,
        batch_size: int | Literal["auto"] | None,
        on_error: Literal["raise", "skip"] | None,
    ) -> BatchRun:
        if self.settings.adapted is not None:
            compute, commit = self.settings.adapted(compute, commit)
        settings = replace(
            self.settings,
            batch_size=self.settings.batch_size if batch_size is None else batch_size,
            on_error=self.settings.on_error if on_error is None else on_error,
        )
        return run_with(
            settings,
            self.compute if compute is None else compute,
            self.n_items,
            commit=self.commit if commit is None else commit,
            start=start,
            earlier=earlier,
        )
