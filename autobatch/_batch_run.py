"""What a run did, how far it came, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import repeat
from typing import Any, Literal, Protocol

from autobatch._shown_run import as_html, in_one_line
from autobatch._types import Attempt, BatchPlan, Outcome


@dataclass(frozen=True, kw_only=True)
class SkippedItem:
    """An item that was left out because it failed by itself.

    Attributes
    ----------
    item : int
        Its number.
    error : str
        Class and telling line of its error.
    """

    item: int
    error: str


class Continuation(Protocol):
    """What `BatchRun.resume` calls: the functions and settings of a run that did not come to its end."""

    def __call__(
        self,
        earlier: BatchRun,
        start: int,
        *,
        compute: Callable[[int, int], Any] | None,
        commit: Callable[[int, int, Any], None] | None,
        batch_size: int | Literal["auto"] | None,
        on_error: Literal["raise", "skip"] | None,
    ) -> BatchRun:
        """Go on at item `start`; None keeps what the earlier run had."""
        ...


@dataclass(frozen=True, kw_only=True)
class BatchRun:
    """What `run_in_batches` did; of a run that an error ended, `progress_of` tells how far it came.

    Attributes
    ----------
    n_items : int
        Items there are; those seen so far if a stream of unknown length was cut short.
    plan : BatchPlan
        The first planned size with its reason.
    attempts : tuple of Attempt
        Every batch in order, equal neighbours taken together.
    outputs : list
        Results of `compute` in order and on the host, when no `commit` was given; else empty.
    seconds : float
        Wall time of the whole run.
    measured_peak_bytes : int, optional
        The highest that TensorFlow's allocator has counted on the device since its statistics were
        reset, weights and other users included; None where it does not count.
    start : int
        First item of the run.
    stopped_at : int, optional
        The item at which the run was ended by an error; None if it came to its end.
    skipped : tuple of SkippedItem
        Items that failed by themselves and were left out, with ``on_error="skip"``.
    interrupted : tuple of int, optional
        ``(start, stop)`` of a batch whose commit was begun and may be done in part.
    order : sequence of int, optional
        The numbers of the items in the order in which they were run, where they were sorted.
    continuation : callable, optional
        What `resume` calls; None for a copy that came from another process.
    """

    n_items: int
    plan: BatchPlan
    attempts: tuple[Attempt, ...]
    seconds: float
    measured_peak_bytes: int | None = None
    outputs: list[Any] = field(default_factory=list, repr=False)
    start: int = 0
    stopped_at: int | None = None
    skipped: tuple[SkippedItem, ...] = ()
    interrupted: tuple[int, int] | None = None
    order: Any = field(default=None, repr=False, compare=False)
    continuation: Continuation | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        """Return in one line how far the run came."""
        return in_one_line(self)

    def _repr_html_(self) -> str:
        """Return a table with a picture, for notebooks."""
        return as_html(self)

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return self.stopped_at is None

    @property
    def n_done(self) -> int:
        """Up to which item all are finished, from `start` on and but for those skipped."""
        return self.n_items if self.stopped_at is None else self.stopped_at

    def resume(
        self,
        compute: Callable[[int, int], Any] | None = None,
        *,
        commit: Callable[[int, int, Any], None] | None = None,
        batch_size: int | Literal["auto"] | None = None,
        on_error: Literal["raise", "skip"] | None = None,
        repeat_interrupted: bool | None = None,
    ) -> BatchRun:
        """Go on where the run was ended; what is finished is not computed again.

        Parameters
        ----------
        compute, commit : callable, optional
            Take the place of the earlier ones, for example after a mistake was mended.
        batch_size : int or "auto", optional
            Takes the place of the earlier one.
        on_error : {"raise", "skip"}, optional
            Takes the place of the earlier one.
        repeat_interrupted : bool, optional
            Required if a commit was interrupted: whether that batch is computed and committed once more, or
            counts as committed.

        Returns
        -------
        BatchRun
            Both parts together. A run that is finished returns itself.

        Raises
        ------
        ValueError
            If a commit was interrupted and `repeat_interrupted` is not given, or if this is a copy from
            another process, which has no functions.
        """
        if self.stopped_at is None:
            return self
        if self.continuation is None:
            raise ValueError(
                f"this run stopped at item {self.stopped_at:,} but is a copy without its functions; call "
                f"run_in_batches again with start={self.stopped_at}."
            )
        start = self.stopped_at
        if self.interrupted is not None:
            start = self.interrupted[0 if self._repeats(repeat_interrupted) else 1]
        return self.continuation(
            self, start, compute=compute, commit=commit, batch_size=batch_size, on_error=on_error
        )

    def _repeats(self, repeat_interrupted: bool | None) -> bool:
        assert self.interrupted is not None
        if repeat_interrupted is None:
            start, stop = self.interrupted
            raise ValueError(
                f"the commit of items {start:,} to {stop - 1:,} was interrupted and may be done in part; pass "
                "repeat_interrupted=True to commit them once more, or False if they are committed."
            )
        return repeat_interrupted

    def __getstate__(self) -> dict[str, Any]:
        """Leave the functions behind: another process could not use them."""
        return self.__dict__ | {"continuation": None}

    @property
    def batch_sizes(self) -> list[int]:
        """Size of every finished batch, in order."""
        return list(self._sizes("done"))

    @property
    def attempted_sizes(self) -> list[int]:
        """Size of every batch that was tried, failed ones included, in order."""
        return list(self._sizes("done", "out_of_memory"))

    @property
    def n_oom(self) -> int:
        """How often a batch ran out of memory."""
        return sum(attempt.n_batches for attempt in self.attempts if attempt.outcome == "out_of_memory")

    @property
    def seconds_lost(self) -> float:
        """Time spent in batches that ran out of memory."""
        return sum(attempt.seconds for attempt in self.attempts if attempt.outcome == "out_of_memory")

    @property
    def final_batch_size(self) -> int:
        """The size in force at the end: the largest finished after the last failure, 0 without items."""
        largest = 0
        for attempt in self.attempts:
            largest = 0 if attempt.outcome == "out_of_memory" else max(largest, attempt.batch_size)
        return largest

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the outputs as JSON-ready values.

        Returns
        -------
        dict
            By the names of the fields, with those of the plan.
        """
        memory = self.plan.memory
        return {
            "n_items": self.n_items,
            "start": self.start,
            "stopped_at": self.stopped_at,
            "skipped": [asdict(item) for item in self.skipped],
            "interrupted": None if self.interrupted is None else list(self.interrupted),
            "planned_batch_size": self.plan.batch_size,
            "final_batch_size": self.final_batch_size,
            "reason": self.plan.reason,
            "limited_by": self.plan.limited_by,
            "cost": None if self.plan.cost is None else self.plan.cost.as_dict(),
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "n_batches": sum(a.n_batches for a in self.attempts if a.outcome == "done"),
            "n_oom": self.n_oom,
            "seconds": self.seconds,
            "seconds_lost": self.seconds_lost,
            "predicted_peak_bytes": self.plan.predicted_peak_bytes,
            "measured_peak_bytes": self.measured_peak_bytes,
            "limiting_resource": None if memory is None else f"{memory.device} ({memory.source})",
            "memory": None if memory is None else memory.as_dict(),
        }

    def _sizes(self, *outcomes: Outcome) -> Iterator[int]:
        for attempt in self.attempts:
            if attempt.outcome in outcomes:
                yield from repeat(attempt.batch_size, attempt.n_batches)
