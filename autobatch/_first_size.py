"""The size a run starts with: given, remembered, planned from a cost, or from a measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autobatch import _tensorflow
from autobatch._planner import plan_batch_size
from autobatch._probe import Device
from autobatch._types import Attempt, BatchCost, BatchPlan, DeviceMemory

if TYPE_CHECKING:
    from autobatch._memo import BatchMemo

# Where neither a cost nor allocator statistics exist there is nothing to plan from. Frameworks are
# reasonably fast at this size, and a mistake is halved away.
FALLBACK_BATCH_SIZE = 32
# On a CPU larger batches stop paying long before memory is full.
HOST_MAX_BATCH_SIZE = 256


@dataclass(frozen=True, kw_only=True)
class FirstSize:
    """What the caller of `run_in_batches` said about sizes, and how to turn it into a plan."""

    n_items: int
    cost: BatchCost | None
    device: Device
    probe: Callable[[], DeviceMemory]
    usable_fraction: float
    max_batch_size: int | None
    memo: BatchMemo | None

    def given(self, batch_size: int) -> BatchPlan:
        """Take the caller's size, as far as there are items and no lower limit."""
        size = self._limited(batch_size)
        return BatchPlan(
            batch_size=size,
            reason="given by the caller",
            limited_by="caller",
            predicted_peak_bytes=None if self.cost is None else self.cost.peak_bytes(size),
            cost=self.cost,
        )

    def known(self) -> BatchPlan | None:
        """Plan without running anything, or None if a measurement is needed."""
        if self.n_items == 0:
            return BatchPlan(batch_size=0, reason="there are no items", limited_by="items")
        remembered = None if self.memo is None else self._remembered(self.memo)
        if remembered is None and self.cost is not None:
            return self.planned(self.cost)
        return remembered

    def planned(self, cost: BatchCost) -> BatchPlan:
        """Plan from a cost and what is free at this moment."""
        memory = self.probe()
        limit = self.max_batch_size
        if limit is None and memory.is_host and cost.source == "estimated":
            limit = HOST_MAX_BATCH_SIZE
        plan = plan_batch_size(
            usable_bytes=memory.usable_bytes,
            cost=cost,
            n_items=self.n_items,
            max_batch_size=limit,
            usable_fraction=self.usable_fraction,
        )
        return replace(plan, memory=memory)

    def fallback(self) -> BatchPlan:
        """Take a modest size where nothing is known."""
        return BatchPlan(
            batch_size=self._limited(FALLBACK_BATCH_SIZE),
            reason="no cost was given and the allocator keeps no statistics",
            limited_by="no_estimate",
        )

    def remember(self, plan: BatchPlan, attempts: tuple[Attempt, ...]) -> None:
        """Write the sizes that worked and failed into the memo, if there is one."""
        if self.memo is not None and attempts:
            self.memo.record(plan, attempts, plan.memory if plan.memory is not None else self.probe())

    def allocator(self) -> str:
        """Return TensorFlow's name of the device whose allocator counts this run's memory."""
        return _tensorflow.allocator_name(self.probe().device if callable(self.device) else self.device)

    def _limited(self, size: int) -> int:
        size = min(size, self.n_items)
        return size if self.max_batch_size is None else min(size, self.max_batch_size)

    def _remembered(self, memo: BatchMemo) -> BatchPlan | None:
        memory = self.probe()
        size = memo.recall(memory)
        if size is None:
            return None
        plan = self.given(size)
        return replace(plan, reason=f"remembered in {memo.path}", limited_by="memo", memory=memory)
