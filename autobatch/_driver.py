"""`run_in_batches`: a cursor and a current size; halve when memory runs out, resume, commit once."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from autobatch import _tensorflow
from autobatch._first_size import FirstSize, checked_first_size
from autobatch._measure import LARGER_MEASURED_SHARE, MEASURED_SIZES, PeakMeter
from autobatch._oom import Verdict, failed_allocation_bytes, release_frames, telling_line, verdict
from autobatch._probe import Device
from autobatch._progress import NoProgress, Progress, Stage
from autobatch._record import AttemptRecord
from autobatch._types import BatchCost, BatchPlan, BatchRun
from autobatch._units import format_bytes
from autobatch.errors import CommitOutOfMemoryError, DoesNotFitError

if TYPE_CHECKING:
    from autobatch._memo import BatchMemo

_logger = logging.getLogger(__name__)
_MEMORY_INTERVAL_S = 1.0
_REMEDY = "use a device with more memory, free some of it, or make one item smaller"

Compute = Callable[[int, int], Any]
# Set by autobatch.testing only: wraps `compute`, given the run's label, so that faults can be injected.
WRAP_COMPUTE: ContextVar[Callable[[Callable[[int, int], Any], str], Callable[[int, int], Any]] | None] = (
    ContextVar("wrap_compute", default=None)
)
Commit = Callable[[int, int, Any], None]


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
    label: str = "batches",
    unit: str = "items",
    remedy: str | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> BatchRun:
    """Run `compute` over ``[0, n_items)`` in batches that fit into memory, each committed exactly once.

    When a batch runs out of memory its size is halved and the work resumes at the item that failed;
    nothing finished is computed again. The size never grows back, so that a run of planned size s meets
    at most ``log2(s) + 1`` such errors.

    Parameters
    ----------
    compute : callable
        ``compute(start, stop)`` returns the result for items ``[start, stop)``. It must be free of side
        effects, for it is called again after an out-of-memory error.
    n_items : int
        Number of items.
    commit : callable, optional
        ``commit(start, stop, result)``, called once per finished batch and in order. Without it the
        results are kept in `BatchRun.outputs`.
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
        items on the host, where more gains little.
    recover : bool
        False raises the first out-of-memory error as it came.
    progress : Progress, optional
        Shows one stage, named `label`, that counts `unit`.
    memo : BatchMemo, optional
        Sizes remembered between runs.
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
    ValueError
        If a count or a fraction is out of range.
    """
    first_size = checked_first_size(
        n_items,
        batch_size,
        cost,
        device,
        usable_fraction=usable_fraction,
        max_batch_size=max_batch_size,
        memo=memo,
    )
    wrap = WRAP_COMPUTE.get()
    if wrap is not None:
        compute = wrap(compute, label)
    with (progress or NoProgress()).stage(label, first_size.n_items, unit) as stage:
        loop = _Loop(compute, commit, first_size, stage, clock)
        loop.recover, loop.label, loop.remedy = recover, label, remedy or _REMEDY
        loop.watches_memory = not (progress is None or isinstance(progress, NoProgress))
        return loop.run()


class _OutOfMemoryNet:
    """A ``with`` block that catches out-of-memory errors and lets every other error pass.

    A handler cannot recover while it runs: the frames of the failed call, and the tensors in them, stay
    alive until it ends. Here it has ended before anyone looks at `caught`.
    """

    __slots__ = ("_handled", "_least", "caught", "sureness")

    def __init__(self, handled: BaseException | None, *, least: Verdict = Verdict.SUSPECTED) -> None:
        self._handled, self._least = handled, least
        self.caught: BaseException | None = None
        self.sureness = Verdict.NO

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        self.sureness = verdict(error, handled=self._handled)
        if self.sureness < self._least:
            return False
        self.caught = error
        return True


class _Loop:
    """The cursor, the current size, and what follows from the outcome of a batch."""

    recover: bool = True
    label: str = "batches"
    remedy: str = _REMEDY
    watches_memory: bool = False

    def __init__(
        self,
        compute: Compute,
        commit: Commit | None,
        first_size: FirstSize,
        stage: Stage,
        clock: Callable[[], float],
    ) -> None:
        self._compute, self._first_size, self._stage = compute, first_size, stage
        self._commit = commit
        self._outputs: list[Any] = []
        self._record = AttemptRecord(clock)
        self._handled = sys.exc_info()[1]
        self._first: BaseException | None = None
        self._descent: list[tuple[BaseException, Verdict]] = []
        self._n_items, self._cursor, self._size = first_size.n_items, 0, 1
        self._ceiling: int | None = None
        self._memory_due_s = float("-inf")

    def run(self) -> BatchRun:
        plan = self._first_size.known() or self._measured_plan()
        self._start(plan)
        try:
            while self._cursor < self._n_items:
                self._step(self._compute)
        finally:
            self._first_size.remember(plan, self._record.attempts())
        return self._as_run(plan)

    def _measured_plan(self) -> BatchPlan:
        """Run small batches as real work and plan from their peaks, once more from a somewhat larger one."""
        meter = PeakMeter(self._first_size.allocator())
        compute = meter.measured(self._compute)
        sizes = list(dict.fromkeys(map(self._first_size.limited, MEASURED_SIZES)))
        for size in sizes:
            self._step_measured(compute, size)
            if not meter.has_statistics:
                return self._first_size.fallback("no cost was given and the allocator keeps no statistics")
        plan = self._first_size.planned(meter.cost())
        larger = plan.batch_size // LARGER_MEASURED_SHARE
        if larger <= sizes[-1]:
            return plan
        self._step_measured(compute, larger)
        return self._first_size.planned(meter.cost())

    def _step_measured(self, compute: Compute, size: int) -> None:
        if self._cursor < self._n_items and self._ceiling is None:
            self._size = size
            self._step(compute)

    def _start(self, plan: BatchPlan) -> None:
        self._size = max(1, plan.batch_size)
        if self._ceiling is not None:
            self._size = min(self._size, self._ceiling)
        self._stage.batch_size(self._size, plan.reason)
        _logger.debug("%s: batch size %s: %s", self.label, f"{self._size:,}", plan.reason)
        self._record.restart_clock()

    def _step(self, compute: Compute) -> None:
        start = self._cursor
        stop = min(start + self._size, self._n_items)
        net = _OutOfMemoryNet(self._handled)
        result = None
        if not self.recover:
            result = compute(start, stop)
        else:
            with net:
                result = compute(start, stop)
            if net.caught is not None:
                self._shrink(start, stop, net)
                return
        self._finish(start, stop, result)

    def _finish(self, start: int, stop: int, result: Any) -> None:
        if self._commit is None:
            self._outputs.append(result)
        else:
            net = _OutOfMemoryNet(self._handled, least=Verdict.CERTAIN)
            with net:
                self._commit(start, stop, result)
            if net.caught is not None:
                self._raise_interrupted(start, stop, net.caught)
        self._cursor = stop
        if self._descent:
            self._descent.clear()
        now_s = self._record.finished(start, stop)
        self._stage.advance(stop - start)
        if self.watches_memory and now_s >= self._memory_due_s:
            self._memory_due_s = now_s + _MEMORY_INTERVAL_S
            self._stage.memory(self._first_size.probe())

    def _shrink(self, start: int, stop: int, net: _OutOfMemoryNet) -> None:
        error, size = net.caught, stop - start
        net.caught = None
        assert error is not None
        release_frames(error, handled=self._handled)
        # Keras keeps the converted input of a failed call in reference cycles.
        gc.collect()
        self._record.failed(start, stop, telling_line(error))
        self._first = self._first or error
        self._descent.append((error, net.sureness))
        if size == 1:
            self._raise_at_floor(start)
        self._size = self._ceiling = size // 2
        reason = f"out of memory at {size:,}"
        self._stage.batch_size(self._size, reason)
        _logger.warning(
            "%s: %s; going on from item %s with %s at a time: %s",
            self.label,
            reason,
            f"{start:,}",
            f"{self._size:,}",
            telling_line(error),
        )

    def _raise_at_floor(self, item: int) -> NoReturn:
        first, last = self._first, self._descent[-1][0]
        assert first is not None
        if all(sureness is Verdict.SUSPECTED for _, sureness in self._descent):
            _logger.warning(
                "%s: the same error at every size down to one item: probably not a lack of memory", self.label
            )
            raise self._descent[0][0]
        message = _does_not_fit_message(
            f"item {item:,} of {self.label!r}", self._first_size, first, last, self.remedy
        )
        raise DoesNotFitError(message, first=first, last=last, n_committed=item) from last

    def _raise_interrupted(self, start: int, stop: int, error: BaseException) -> NoReturn:
        release_frames(error, handled=self._handled)
        raise CommitOutOfMemoryError(
            f"memory ran out while items {start:,} to {stop - 1:,} of {self.label!r} were being committed "
            f"({telling_line(error)}); the {start:,} items before them are committed, these {stop - start:,} "
            f"may be in part, and a commit is never repeated: {self.remedy}.",
            n_committed=start,
            interrupted=(start, stop),
        ) from error

    def _as_run(self, plan: BatchPlan) -> BatchRun:
        statistics = _tensorflow.allocator_statistics(self._first_size.allocator())
        return BatchRun(
            n_items=self._n_items,
            plan=plan,
            attempts=self._record.attempts(),
            seconds=self._record.seconds_since_start(),
            measured_peak_bytes=None if statistics is None else statistics.peak_bytes or None,
            outputs=self._outputs,
        )


def _does_not_fit_message(
    what: str, first_size: FirstSize, first: BaseException, last: BaseException, remedy: str
) -> str:
    memory = first_size.probe()
    needed = _needed_by_one(first_size.cost, last)
    free = format_bytes(memory.free_bytes) if memory.is_known else "an unknown amount"
    return (
        f"{what} does not fit into memory by itself: it needs {needed}, and "
        f"{free} is free on {memory.device} ({memory.source}); {remedy}. "
        f"The first failure was {telling_line(first)}"
    )


def _needed_by_one(cost: BatchCost | None, last: BaseException) -> str:
    if cost is not None:
        return f"about {format_bytes(cost.peak_bytes(1))}"
    asked = failed_allocation_bytes(last)
    return "more than there is" if asked is None else f"a single piece of {format_bytes(asked)} among others"
