"""The first batches of a run: small ones that are measured, so that the rest can be planned or a plan be checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from autobatch import _allocators
from autobatch._first_size import FirstSize
from autobatch._measure import MEASURED_SIZES, PeakMeter
from autobatch._types import BatchPlan
from autobatch._units import format_bytes

TrySize = Callable[[float, PeakMeter], bool]
# Neither an estimate nor the peaks of tiny batches are believed at once: a run goes up to the planned size by these
# parts of it, each measured, the first one small enough to fit even if the cost is that many times too low.
_CHECKED_SHARES = (16, 4)
# Allocators give a tensor up to twice what it asks for where a piece happens to be of that size, so that small batches
# may lead to half of what fits. A larger size than they do is worth a new one from here on.
_WORTH_GROWING = 1.25
# A batch that is predicted to take less of the memory than this needs no check.
_CHECKED_FROM = 1 / 8


def opened(first_size: FirstSize, try_size: TrySize, *, mean_weight: float) -> tuple[BatchPlan, FirstSize]:
    """Return the plan for a run, after the batches that had to be run to know it, and where it runs.

    Parameters
    ----------
    first_size : FirstSize
        What the caller said, and how to plan from it.
    try_size : callable
        ``try_size(size, meter)`` runs the next batch as real work with its peak noted, and returns whether there
        was one that went well.
    mean_weight : float
        Size of an item, on average.

    Returns
    -------
    plan : BatchPlan
        The size to go on with.
    first_size : FirstSize
        What was passed, for the device on which the batches were seen to take memory.
    """
    plan = first_size.known()
    if plan is None:
        return _measured(first_size, try_size, mean_weight)
    if _needs_check(plan, first_size):
        plan = _checked(plan, first_size, try_size)
    return plan, first_size


def _measured(first_size: FirstSize, try_size: TrySize, mean_weight: float) -> tuple[BatchPlan, FirstSize]:
    """Run small batches and plan from their peaks, then go up to what they lead to."""
    meter = first_size.meter()
    wanted = [first_size.limited(math.ceil(size * mean_weight)) for size in MEASURED_SIZES]
    for size in dict.fromkeys(wanted):
        try_size(size, meter)
        if not meter.has_statistics:
            return _unmeasured(first_size, mean_weight), first_size
    first_size = first_size.on(meter.device)
    return _approached(first_size.planned(meter.cost()), meter, first_size, try_size), first_size


def _unmeasured(first_size: FirstSize, mean_weight: float) -> BatchPlan:
    plan = first_size.fallback("no cost was given and the allocator keeps no statistics")
    if mean_weight == 1:
        return plan
    size = first_size.limited(math.ceil(plan.batch_size * mean_weight))
    return replace(plan, batch_size=size, reason=f"{plan.reason}; {plan.batch_size:,} items of mean weight")


def _needs_check(plan: BatchPlan, first_size: FirstSize) -> bool:
    """Return whether a plan stands on an estimate, is not far from the limit, and can be checked."""
    if plan.cost is None or plan.cost.source != "estimated" or plan.memory is None:
        return False
    if plan.limited_by in ("caller", "memo", "no_estimate"):
        return False
    predicted = plan.predicted_peak_bytes or 0
    if predicted < _CHECKED_FROM * plan.memory.usable_bytes:
        return False
    statistics = _allocators.statistics(first_size.allocator())
    return statistics is not None and statistics.peak_bytes > 0


def _checked(plan: BatchPlan, first_size: FirstSize, try_size: TrySize) -> BatchPlan:
    """Correct an estimate by what small batches of the planned run take."""
    estimated = plan
    plan = _approached(plan, first_size.meter(), first_size, try_size)
    if estimated.limited_by == "host" and plan.batch_size > estimated.batch_size:
        return replace(plan, batch_size=estimated.batch_size, limited_by="host")
    if plan.limited_by == "memory" and plan.batch_size * _WORTH_GROWING <= estimated.batch_size:
        return _confirmed(plan, estimated, first_size, try_size)
    return plan


def _confirmed(plan: BatchPlan, estimated: BatchPlan, first_size: FirstSize, try_size: TrySize) -> BatchPlan:
    """Run a batch of the size that small ones led to, and take a larger one, no more than estimated, if it may be."""
    meter = first_size.meter()
    if not try_size(plan.batch_size, meter) or not meter.has_statistics:
        return plan
    cost = meter.cost()
    planned = first_size.planned(cost)
    if planned.batch_size > estimated.batch_size:
        planned = estimated
    if planned.batch_size >= _WORTH_GROWING * plan.batch_size:
        return planned
    took = cost.peak_bytes(plan.batch_size)
    return replace(
        plan,
        reason=f"{plan.reason}; a batch of it took {format_bytes(took)}",
        cost=planned.cost,
        predicted_peak_bytes=took,
    )


def _approached(plan: BatchPlan, meter: PeakMeter, first_size: FirstSize, try_size: TrySize) -> BatchPlan:
    """Run parts of the planned size, each larger than what was measured before, and plan anew from each peak."""
    for share in _CHECKED_SHARES:
        size = max(1, plan.batch_size // share)
        if size <= max(meter.peaks, default=0):
            continue
        if not try_size(size, meter) or not meter.has_statistics:
            break
        # Which tensor is the largest is not taken from an estimate, which may have missed it.
        plan = first_size.planned(meter.cost())
    return plan
