"""The sentences of the errors that end a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autobatch._first_size import FirstSize
from autobatch._oom import failed_allocation_bytes, telling_line
from autobatch._types import BatchCost
from autobatch._units import format_bytes

if TYPE_CHECKING:
    from autobatch._driver import Task


def does_not_fit(
    task: Task, first_size: FirstSize, start: int, stop: int, first: BaseException, last: BaseException
) -> str:
    """Return what the smallest batch needs, what is free, and what can be done."""
    memory = first_size.probe()
    free = format_bytes(memory.free_bytes) if memory.is_known else "an unknown amount"
    what = f"item {start:,}" if stop - start == 1 else f"the batch of items {start:,} to {stop - 1:,}"
    return (
        f"{what} of {task.label!r} does not fit into memory by itself: it needs "
        f"{_needed(stop - start, first_size.cost, last)}, and {free} is free on {memory.device} ({memory.source}); "
        f"{task.remedy}. The first failure was {telling_line(first)}"
    )


def commit_interrupted(task: Task, start: int, stop: int, error: BaseException) -> str:
    """Return what is committed for certain and what may be in part."""
    return (
        f"memory ran out while items {start:,} to {stop - 1:,} of {task.label!r} were being committed "
        f"({telling_line(error)}); the {start:,} items before them are committed, these {stop - start:,} "
        f"may be in part, and a commit is never repeated: {task.remedy}."
    )


def _needed(n_items: int, cost: BatchCost | None, last: BaseException) -> str:
    if cost is not None:
        return f"about {format_bytes(cost.peak_bytes(n_items))}"
    asked = failed_allocation_bytes(last)
    return "more than there is" if asked is None else f"a single piece of {format_bytes(asked)} among others"
