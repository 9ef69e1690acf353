"""The loop of a run. What happens to one batch, as a sketch:

    stop = sizes.stop(cursor)                       as many items as the size in force allows
    try:    result = settled(compute(cursor, stop)) finished, of the right length, without a commit on the host
    except: which kind of error?
        out of memory, several items -> drop the frames, collect, take a smaller size, same cursor again
        out of memory, one item      -> collect and try once more; then DoesNotFitError, or skip the item
        other, on_error="skip"       -> halve until the item that fails is alone, skip it, size as before
        any other                    -> let it pass
    commit(cursor, stop, result)                    never repeated: memory running out here ends the run
    cursor = stop                                   from here on the batch is done, whatever happens
    progress, record, memory reading                may fail without consequence

Whatever error leaves the loop carries a `BatchRun` of what is finished (`progress_of`). Nothing that outlives the
loop refers to the frames or the results of a failed batch.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from autobatch import _allocators
from autobatch._batch_run import BatchRun, Continuation, SkippedItem
from autobatch._first_size import FirstSize
from autobatch._guards import GuardedStage
from autobatch._hooks import PROCESS
from autobatch._measure import PeakMeter
from autobatch._oom import Verdict, release_frames, telling_line, verdict
from autobatch._opening import opened
from autobatch._progress_of import attach, joined
from autobatch._record import AttemptRecord
from autobatch._results import check_length, completed, forget_asynchronous_error, on_host
from autobatch._sizes import Sizes
from autobatch._texts import commit_interrupted, does_not_fit
from autobatch._types import BatchPlan
from autobatch.errors import CommitOutOfMemoryError, DoesNotFitError, ResultLengthError, StoppedError

_logger = logging.getLogger(__name__)
_MEMORY_INTERVAL_S = 1.0
# A reading of a card may take tens of milliseconds; readings take at most one part in this many of a run.
_READING_SHARE = 200
# The caller's own size, or all the items: these are halved, planned ones go down to the next planned size.
_NOT_A_PLANNED_SIZE = ("caller", "items", "max_batch_size")
_NO_PLAN = BatchPlan(batch_size=0, reason="the run ended before a size was planned", limited_by="no_estimate")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be done with each batch, and what when it fails.

    Attributes
    ----------
    compute, commit : callable
        As `run_in_batches` takes them.
    n_items : int, optional
        One past the last item; None for a stream whose end is not known.
    start : int
        First item.
    label, remedy : str
        For messages.
    recovers : bool
        Whether an out-of-memory error leads to a smaller size.
    skips : bool
        Whether items that fail by themselves are left out.
    checks_length : bool
        Whether arrays must have a row per item.
    is_oom : callable, optional
        Says of an error of another library whether memory ran out.
    supply : callable, optional
        ``supply(stop)`` makes items ready and returns up to which there are any; for streams.
    outputs : callable, optional
        ``outputs(run)`` returns what the commits have gathered; in place of results kept here.
    is_repeatable : bool
        Whether a commit that was interrupted may be done once more.
    order, continuation : optional
        For `BatchRun`.
    earlier : BatchRun, optional
        The part of the work that a run before this one has done.
    """

    compute: Callable[[int, int], Any]
    commit: Callable[[int, int, Any], None] | None
    n_items: int | None
    start: int
    label: str
    remedy: str
    recovers: bool = True
    skips: bool = False
    checks_length: bool = True
    is_oom: Callable[[BaseException], bool] | None = None
    supply: Callable[[int], int] | None = None
    outputs: Callable[[BatchRun], list[Any]] | None = None
    is_repeatable: bool = False
    order: Any = None
    continuation: Continuation | None = None
    earlier: BatchRun | None = None


class Loop:
    """The cursor, the current size, and what follows from the outcome of a batch."""

    def __init__(
        self,
        task: Task,
        first_size: FirstSize,
        sizes: Sizes,
        stage: GuardedStage,
        *,
        is_watched: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._task, self._first_size, self._sizes, self._stage = task, first_size, sizes, stage
        self._is_watched = is_watched
        self._record, self._clock = AttemptRecord(clock), clock
        self._plan = _NO_PLAN
        self._handled = sys.exc_info()[1]
        self._cursor = self._committing = task.start
        self._has_ended = False
        # With its end, so that one step both keeps a result and counts it as done.
        self._kept: list[tuple[int, Any]] = []
        self._skipped: list[SkippedItem] = []
        self._caught: BaseException | None = None
        self._sureness = Verdict.NO
        self._first: BaseException | None = None
        self._descent: list[tuple[BaseException, Verdict]] = []
        self._has_tried_again = False
        self._memory_due_s = float("-inf") if is_watched else float("inf")

    def run(self) -> BatchRun:
        """Do all batches; return what happened, or let an error pass that carries it."""
        try:
            self._run()
            return self._as_run()
        except BaseException as error:
            attach(error, self._task.label, self._as_run())
            raise
        finally:
            self._kept, self._descent = [], []
            self._first = self._caught = self._handled = None

    def _run(self) -> None:
        self._plan, self._first_size = opened(
            self._first_size, self._try_size, mean_weight=self._sizes.mean_weight
        )
        self._sizes.halves = self._plan.limited_by in _NOT_A_PLANNED_SIZE
        self._sizes.begin(self._plan.batch_size)
        self._stage.batch_size(int(self._sizes.size), self._plan.reason)
        if self._is_watched:
            # One that nobody watches may be one of thousands inside another, such as a stitching in every batch.
            _logger.debug(
                "%s: batch size %s: %s", self._task.label, f"{self._sizes.size:,}", self._plan.reason
            )
        self._record.restart_clock()
        try:
            compute = self._task.compute
            while self._has_items():
                self._step(compute)
        finally:
            self._first_size.remember(self._plan, self._record.attempts())

    def _has_items(self) -> bool:
        if self._has_ended or self._cursor == self._task.n_items:
            return False
        for request in PROCESS.stop_requests:
            if request.signal_number is not None:
                raise StoppedError(request.signal_number)
        return True

    def _try_size(self, size: float, meter: PeakMeter) -> bool:
        """Run one batch and note its peak; return whether there was one that went well."""
        if self._sizes.ceiling is not None or not self._has_items():
            return False
        self._sizes.begin(size)
        compute = self._task.compute

        def measured(start: int, stop: int) -> Any:
            load = max(1, round(self._sizes.load(start, stop)))
            return meter.measured(lambda _start, _stop: compute(start, stop))(0, load)

        self._step(measured)
        return self._sizes.ceiling is None

    def _step(self, compute: Callable[[int, int], Any]) -> None:
        start = self._cursor
        stop = self._sizes.stop(start)
        if self._task.supply is not None:
            stop = self._task.supply(stop)
            if stop <= start:
                self._has_ended = True
                return
        try:
            result = self._settled(compute(start, stop), start, stop)
        except BaseException as error:
            # A handler cannot recover while it runs: the frames of the failed call, and the tensors in
            # them, stay alive until it ends.
            if not self._catches(error):
                raise
            self._caught = error
        else:
            self._finish(start, stop, result)
            return
        self._recover(start, stop)

    def _settled(self, result: Any, start: int, stop: int) -> Any:
        """Return the result once it is there; until then an error can still lead to a smaller size."""
        result = completed(result) if self._task.commit is not None else on_host(completed(result))
        if self._task.checks_length:
            check_length(result, start, stop, self._task.label)
        return result

    def _catches(self, error: BaseException) -> bool:
        self._sureness = self._judged(error)
        if self._sureness is not Verdict.NO:
            return self._task.recovers
        is_an_items_own = isinstance(error, Exception) and not isinstance(error, ResultLengthError)
        return self._task.skips and is_an_items_own

    def _judged(self, error: BaseException) -> Verdict:
        return verdict(error, handled=self._handled, is_oom=self._task.is_oom)

    def _finish(self, start: int, stop: int, result: Any) -> None:
        if self._task.commit is None:
            self._kept.append((stop, result))
        else:
            self._committing = stop
            try:
                self._task.commit(start, stop, result)
            except BaseException as error:
                if self._judged(error) < Verdict.CERTAIN:
                    raise
                self._caught = error
            if self._caught is not None:
                self._raise_interrupted(start, stop)
        self._cursor = stop
        if self._descent:
            self._descent.clear()
        self._has_tried_again = False
        if self._sizes.finished(start, stop):
            self._stage.batch_size(int(self._sizes.size), "grown back")
        now_s = self._record.finished(start, stop)
        self._stage.advance(stop - start)
        if now_s >= self._memory_due_s:
            self._stage.memory(self._first_size.probe())
            took_s = self._clock() - now_s
            self._memory_due_s = now_s + max(_MEMORY_INTERVAL_S, _READING_SHARE * took_s)

    def _recover(self, start: int, stop: int) -> None:
        """Make room and choose what is tried next."""
        error, self._caught = self._caught, None
        assert error is not None
        if self._sureness is Verdict.NO:
            if not self._sizes.suspect(start, stop):
                self._skip(start, stop, error)
            return
        release_frames(error, handled=self._handled)
        forget_asynchronous_error()
        # Keras keeps the converted input of a failed call in reference cycles.
        gc.collect()
        self._record.failed(start, stop, telling_line(error))
        self._first = self._first or error
        self._descent.append((error, self._sureness))
        if self._sizes.out_of_memory(start, stop):
            self._tell_smaller(start, stop, telling_line(error))
        elif not self._has_tried_again:
            self._has_tried_again = True
        elif self._task.skips:
            self._skip(start, stop, error)
        else:
            del error
            self._raise_at_floor(start, stop)

    def _tell_smaller(self, start: int, stop: int, line: str) -> None:
        reason = f"out of memory at {self._sizes.load(start, stop):,.12g}"
        size = self._sizes.size
        self._stage.batch_size(int(size), reason)
        _logger.warning(
            "%s: %s; going on from item %s with %s at a time: %s",
            self._task.label,
            reason,
            f"{start:,}",
            f"{size:,.12g}",
            line,
        )

    def _skip(self, start: int, stop: int, error: BaseException) -> None:
        """Leave out items that fail by themselves."""
        line, order = telling_line(error), self._task.order
        for place in range(start, stop):
            item = place if order is None else int(order[place])
            _logger.warning("%s: item %s is skipped: %s", self._task.label, f"{item:,}", line)
            self._skipped.append(SkippedItem(item=item, error=line))
        self._cursor = stop
        self._has_tried_again = False
        self._descent.clear()
        self._sizes.skipped()
        self._stage.advance(stop - start)

    def _raise_at_floor(self, start: int, stop: int) -> NoReturn:
        descent, first = self._descent, self._first
        self._descent, self._first = [], None
        assert first is not None
        try:
            if all(sureness is Verdict.SUSPECTED for _, sureness in descent):
                _logger.warning(
                    "%s: the same error at every size down to one item: probably not a lack of memory",
                    self._task.label,
                )
                raise descent[0][0]
            message = does_not_fit(self._task, self._first_size, start, stop, first, descent[-1][0])
            raise DoesNotFitError(message, first=first, last=descent[-1][0], n_committed=start) from descent[
                -1
            ][0]
        finally:
            # Or the frame, which the error's traceback holds, would hold the error.
            del first
            descent.clear()

    def _raise_interrupted(self, start: int, stop: int) -> NoReturn:
        error, self._caught = self._caught, None
        assert error is not None
        release_frames(error, handled=self._handled)
        try:
            raise CommitOutOfMemoryError(
                commit_interrupted(self._task, start, stop, error),
                n_committed=start,
                interrupted=(start, stop),
            ) from error
        finally:
            del error

    def _as_run(self) -> BatchRun:
        """Tell what was done until now."""
        done = max(self._cursor, self._kept[-1][0] if self._kept else 0)
        is_finished = self._has_ended or done == self._task.n_items
        is_in_doubt = self._committing > done and not self._task.is_repeatable
        run = BatchRun(
            n_items=done if self._task.n_items is None else self._task.n_items,
            plan=self._plan,
            attempts=self._record.attempts(),
            seconds=self._record.seconds_since_start(),
            measured_peak_bytes=_highest_peak(self._first_size),
            outputs=[result for _, result in self._kept],
            start=self._task.start,
            stopped_at=None if is_finished else done,
            skipped=tuple(self._skipped),
            interrupted=(done, self._committing) if is_in_doubt else None,
            order=self._task.order,
            continuation=None if is_finished else self._task.continuation,
        )
        return joined(self._task.earlier, run, self._task.outputs)


def _highest_peak(first_size: FirstSize) -> int | None:
    statistics = _allocators.statistics(first_size.allocator())
    return None if statistics is None else statistics.peak_bytes or None
