"""The size a run starts with: given, remembered, planned from a cost, or from a measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from autobatch import _allocators
from autobatch._measure import PeakMeter
from autobatch._numbers import checked_count, checked_fraction
from autobatch._planner import bucket_below, is_in_one_piece, plan_within
from autobatch._probe import Device, as_probe
from autobatch._types import Attempt, BatchCost, BatchPlan, DeviceMemory
from autobatch._units import format_bytes

if TYPE_CHECKING:
    from autobatch._memo import BatchMemo

# Where neither a cost nor allocator statistics exist there is nothing to plan from. Frameworks are
# reasonably fast at this size, and a mistake is halved away.
FALLBACK_BATCH_SIZE = 32
# TensorFlow runs the branches of a graph side by side or one after the other, as it happens, so that of two batches
# one may take this many times what the other took.
MEASURED_UNCERTAINTY = 1.25
# So networks of two branches peaked, as parts of what the estimate adds up, by which branches happened to run side by
# side: a measurement within these may have been lucky throughout, and the next batch need not be.
BRANCHED_SHARES = (0.67, 1.17)
# On a CPU larger batches gain little and cost memory, unless their items are so small that a batch is mostly the
# overhead of a call, or until it no longer fits into the caches (docs/autobatch.md has the figures).
HOST_BATCH_SIZES = (32, 1024)  # least and most of the limit
HOST_BATCH_SIZE_IN_TURNS = 128  # least where a loop's calls handle a part of each item
HOST_BATCH_BYTES_IN_TURNS = 64 << 20
HOST_BATCH_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class FirstSize:
    """What the caller of `run_in_batches` said about sizes, and how to turn it into a plan.

    `wanted` is the caller's own size, None for ``"auto"``.
    """

    n_items: int
    wanted: int | None
    cost: BatchCost | None
    device: Device
    probe: Callable[[], DeviceMemory]
    usable_fraction: float
    max_batch_size: int | None
    memo: BatchMemo | None

    def known(self) -> BatchPlan | None:
        """Plan without running anything, or return None if a measurement is needed."""
        if self.n_items == 0:
            return BatchPlan(batch_size=0, reason="there are no items", limited_by="items")
        remembered = None if self.memo is None else self._remembered(self.memo)
        if self.wanted is not None:
            given = self._given(self.wanted)
            return given if remembered is None or remembered.batch_size >= given.batch_size else remembered
        if remembered is None and self._counted is not None:
            return self.planned(self._counted)
        return remembered

    @property
    def _counted(self) -> BatchCost | None:
        """The caller's cost, if there is one and it leaves nothing out."""
        return None if self.cost is None or self.cost.not_counted else self.cost

    def without_measuring(self) -> BatchPlan:
        """Return the plan for a dry run: where a run would measure, the size it takes if it cannot."""
        return self.known() or self.fallback("no cost was given; a run would measure its first batches")

    def planned(self, cost: BatchCost) -> BatchPlan:
        """Plan from a cost and what is free at this moment, which only a batch that takes memory has to know."""
        if cost.peak_bytes(1) == 0:
            return self._free_of_charge(cost)
        memory = self.probe()
        if not memory.is_known:
            return replace(self.fallback(f"the free memory of {memory.device} is not known"), memory=memory)
        cost = self._completed(cost)
        plan = self._planned_on(memory, cost)
        host = memory.host
        if host is not None and host.is_known:
            plan = _tighter(plan, self._planned_on(host, _host_part(cost)))
        return replace(plan, memory=memory, cost=cost, predicted_peak_bytes=cost.peak_bytes(plan.batch_size))

    def _planned_on(self, memory: DeviceMemory, cost: BatchCost) -> BatchPlan:
        usable, free = format_bytes(memory.usable_bytes), format_bytes(memory.free_bytes)
        # A caller's own cost is taken as it is: whoever knows it knows whether large batches gain.
        is_modest = memory.is_ordinary_host and cost.source != "given"
        available = f"free {free}" if usable == free else f"usable {usable} of {free} free"
        return plan_within(
            memory.usable_bytes,
            cost,
            available=f"{memory.device} {available}",
            n_items=self.n_items,
            max_batch_size=self.max_batch_size,
            host_limit=_host_limit(cost) if is_modest else None,
            usable_fraction=self.usable_fraction,
            regions=() if is_in_one_piece(self.cost or cost) else memory.regions,
            asked_bytes_per_item=self._asked_for(cost),
        )

    def _completed(self, cost: BatchCost) -> BatchCost:
        """Add to a measured cost what only the estimate, if there is one, can tell: its largest tensor."""
        known = self._counted
        if cost.source != "measured" or known is None:
            return cost
        return replace(
            cost,
            # The estimate of a single tensor is exact, where XLA does not join them.
            largest_tensor_bytes_per_item=min(
                cost.largest_tensor_bytes_per_item, known.largest_tensor_bytes_per_item or cost.bytes_per_item
            ),
            largest_tensor_elements_per_item=known.largest_tensor_elements_per_item,
            host_bytes_per_item=known.host_bytes_per_item,
            uncertainty=max(cost.uncertainty, MEASURED_UNCERTAINTY, _luck(cost, known)),
            in_turns=known.in_turns,
        )

    def _asked_for(self, cost: BatchCost) -> int:
        """Return the most bytes an item that tensors alive together ask for, by the order of branches."""
        if cost.source == "estimated":
            return round(BRANCHED_SHARES[1] * cost.bytes_per_item)
        if cost.source == "measured" and self._counted is not None:
            return round(_luck(cost, self._counted) * cost.bytes_per_item)
        return cost.bytes_per_item

    def fallback(self, reason: str) -> BatchPlan:
        """Take a modest size where too little is known to plan, or less if even what is known takes more."""
        size = self.limited(FALLBACK_BATCH_SIZE)
        cost = self.cost
        if cost is not None and cost.not_counted:
            reason = f"{reason}; the estimate leaves out {' and '.join(cost.not_counted)}"
            memory = self.probe()
            if memory.is_known and cost.peak_bytes(1):
                size = min(size, self._planned_on(memory, cost).batch_size)
        return BatchPlan(batch_size=size, reason=reason, cost=cost, limited_by="no_estimate")

    def remember(self, plan: BatchPlan, attempts: tuple[Attempt, ...]) -> None:
        """Write the sizes that worked and failed into the memo, if there is one."""
        if self.memo is not None and attempts:
            self.memo.record(plan, attempts, plan.memory if plan.memory is not None else self.probe())

    def allocator(self) -> str:
        """Return the name of the device whose allocator counts this run's memory."""
        return _allocators.name(self._named_device())

    def meter(self) -> PeakMeter:
        """Return what notes the peaks of this run's batches."""
        return PeakMeter(self._named_device())

    def on(self, device: str) -> FirstSize:
        """Return the same for the device on which a batch was seen to take memory, if the caller named none."""
        if self.device is not None or device == self.allocator():
            return self
        return replace(self, device=device, probe=as_probe(device))

    def _named_device(self) -> str | None:
        return self.probe().device if callable(self.device) else self.device

    def _given(self, batch_size: int) -> BatchPlan:
        size = self.limited(batch_size)
        return BatchPlan(
            batch_size=size,
            reason="given by the caller",
            limited_by="caller",
            predicted_peak_bytes=None if self.cost is None else self.cost.peak_bytes(size),
            cost=self.cost,
        )

    def _free_of_charge(self, cost: BatchCost) -> BatchPlan:
        size = self.limited(self.n_items)
        return BatchPlan(
            batch_size=size,
            reason="a batch takes no memory of its own",
            limited_by="items" if size == self.n_items else "max_batch_size",
            predicted_peak_bytes=0,
            cost=cost,
        )

    def limited(self, size: int) -> int:
        """Return `size`, or the number of items or the caller's upper limit where that is less."""
        size = min(size, self.n_items)
        return size if self.max_batch_size is None else min(size, self.max_batch_size)

    def _remembered(self, memo: BatchMemo) -> BatchPlan | None:
        memory = self.probe()
        size = memo.recall(memory)
        if size is None:
            return None
        plan = self._given(size)
        return replace(plan, reason=f"remembered in {memo.path}", limited_by="memo", memory=memory)


def plan_batches(
    n_items: int,
    *,
    batch_size: int | Literal["auto"] = "auto",
    cost: BatchCost | None = None,
    device: Device = None,
    usable_fraction: float = 0.9,
    max_batch_size: int | None = None,
    memo: BatchMemo | None = None,
) -> BatchPlan:
    """Return the plan that `run_in_batches` would start with, given the same arguments; runs nothing.

    For a dry run. Without a `cost`, or with one that leaves something out, a run would measure its first
    batches instead; this then returns the size it would take if nothing could be measured.

    Parameters
    ----------
    n_items : int
        Number of items.
    batch_size, cost, device, usable_fraction, max_batch_size, memo
        As in `run_in_batches`.

    Returns
    -------
    BatchPlan
        Its reason names the device, what it has free and, for a card, what the host has.

    Raises
    ------
    TypeError
        If an argument is of another kind.
    ValueError
        If a count or a fraction is out of range.
    DeviceNotFoundError
        If there is no such device.
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
    return first_size.without_measuring()


def checked_first_size(
    n_items: int,
    batch_size: int | Literal["auto"],
    cost: BatchCost | None,
    device: Device,
    *,
    usable_fraction: float,
    max_batch_size: int | None,
    memo: BatchMemo | None,
) -> FirstSize:
    """Check what a caller said about sizes; the errors are those of `run_in_batches`."""
    if cost is not None and not isinstance(cost, BatchCost):
        raise TypeError(
            f"cost is {cost!r} but must be a BatchCost, or None to have the first batches measured."
        )
    limit = None if max_batch_size is None else checked_count("max_batch_size", max_batch_size, least=1)
    return FirstSize(
        n_items=checked_count("n_items", n_items, least=0),
        wanted=_checked_batch_size(batch_size),
        cost=cost,
        device=device,
        probe=as_probe(device),
        usable_fraction=checked_fraction("usable_fraction", usable_fraction),
        max_batch_size=limit,
        memo=memo,
    )


def _luck(measured: BatchCost, estimated: BatchCost) -> float:
    """Return how many times what was measured a batch may take if branches ran one after the other in all of them."""
    least, most = BRANCHED_SHARES
    share = measured.bytes_per_item / max(1, estimated.bytes_per_item)
    return most / share if least <= share else 1.0


def _host_part(cost: BatchCost) -> BatchCost:
    """Return what a batch for a card takes in main memory: its inputs and results, or all where that is not known."""
    if cost.host_bytes_per_item is None:
        return replace(cost, source="given")
    return BatchCost(
        bytes_per_item=cost.host_bytes_per_item, largest_tensor_elements_per_item=cost.elements_per_item
    )


def _host_limit(cost: BatchCost) -> int:
    least, most = HOST_BATCH_SIZES
    if cost.in_turns:
        # Large items keep a call busy in each turn of a loop too.
        least = max(
            least, min(HOST_BATCH_SIZE_IN_TURNS, HOST_BATCH_BYTES_IN_TURNS // max(1, cost.bytes_per_item))
        )
    return bucket_below(min(most, max(least, HOST_BATCH_BYTES // max(1, cost.bytes_per_item))))


def _tighter(on_card: BatchPlan, on_host: BatchPlan) -> BatchPlan:
    """Return the plan with the smaller size; its reason names both limits."""
    reason = f"{on_card.reason}; {on_host.reason}"
    if on_host.batch_size >= on_card.batch_size:
        return replace(on_card, reason=reason)
    return replace(on_host, reason=reason, limited_by="host_memory")


def _checked_batch_size(batch_size: int | Literal["auto"]) -> int | None:
    """Return None for "auto"."""
    if isinstance(batch_size, str):
        if batch_size == "auto":
            return None
        raise ValueError(f'batch_size is {batch_size!r} but must be "auto" or an integer of 1 or more.')
    return checked_count("batch_size", batch_size, least=1)
