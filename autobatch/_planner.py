"""From free memory and the cost of an item to a batch size: arithmetic, and its reason in words."""

from __future__ import annotations

from collections.abc import Sequence

from autobatch._numbers import checked_count, checked_fraction
from autobatch._types import BatchCost, BatchPlan, Limit
from autobatch._units import format_bytes

# Allocators hand out memory in pieces: TensorFlow's grows by regions of doubling size, and a tensor that just
# misses the end of one leaves a gap of up to its own size. So half of the largest tensor is kept free for gaps,
# but no more than a quarter of the memory: rounded down by up to a third, 0.65 of it is still above 1/2.5.
GAP_SHARE = 0.5
LARGEST_GAP = 0.25
# TensorFlow's kernels, and those of the libraries under it, count the elements of a tensor in 32 bits; beyond
# that they abort, or answer wrongly (keras issue 15698, tensorflow issue 9870).
MAX_TENSOR_ELEMENTS = 2**31 - 1


def plan_batch_size(
    *,
    usable_bytes: int,
    cost: BatchCost,
    n_items: int,
    max_batch_size: int | None = None,
    usable_fraction: float = 1.0,
) -> BatchPlan:
    """Plan the largest batch that fits, from a small set of sizes.

    Sizes are 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, from 64 on multiples of an eighth of a power of two, all items at
    once, or `max_batch_size`, so that a framework which compiles once per batch size compiles few times. No tensor
    of a batch has more than 2³¹ − 1 elements, as far as `cost` tells.

    Parameters
    ----------
    usable_bytes : int
        Memory that the batch may use, beyond what is in use now.
    cost : BatchCost
        Peak of a batch as a function of its size.
    n_items : int
        Number of items there are.
    max_batch_size : int, optional
        Upper limit, whatever the memory.
    usable_fraction : float
        Share of `usable_bytes` to plan with, in (0, 1].

    Returns
    -------
    BatchPlan
        At least one item, even if one is predicted not to fit: the prediction may err, and the attempt
        says so with certainty.

    Raises
    ------
    TypeError
        If a count is no integer or `cost` no `BatchCost`.
    ValueError
        If `usable_bytes` or `n_items` is negative, `max_batch_size` below 1 or `usable_fraction` outside (0, 1].
    """
    if not isinstance(cost, BatchCost):
        raise TypeError(
            f"cost is {cost!r} but must be a BatchCost, for example BatchCost(bytes_per_item=1 << 20)."
        )
    usable_bytes = checked_count("usable_bytes", usable_bytes, least=0)
    return plan_within(
        usable_bytes,
        cost,
        available=f"free {format_bytes(usable_bytes)}",
        n_items=checked_count("n_items", n_items, least=0),
        max_batch_size=None
        if max_batch_size is None
        else checked_count("max_batch_size", max_batch_size, least=1),
        host_limit=None,
        usable_fraction=checked_fraction("usable_fraction", usable_fraction),
    )


def plan_within(
    usable_bytes: int,
    cost: BatchCost,
    *,
    available: str,
    n_items: int,
    max_batch_size: int | None,
    host_limit: int | None,
    usable_fraction: float,
    regions: Sequence[int] = (),
    asked_bytes_per_item: int = 0,
) -> BatchPlan:
    """Plan as `plan_batch_size` does.

    `available` names the memory, `host_limit` holds where no limit was given, `regions` are the pieces of the
    memory where it is no single one. `asked_bytes_per_item` is what the tensors of an item that are alive together
    ask for, without what an allocator adds.
    """
    if n_items == 0:
        return BatchPlan(batch_size=0, reason="there are no items", limited_by="items", cost=cost)
    limit = host_limit if max_batch_size is None else max_batch_size
    wanted = n_items if limit is None else min(n_items, limit)  # items
    fits, budget = _how_many_fit(usable_bytes, usable_fraction, cost, wanted)
    placed = _how_many_lie_in_regions(regions, cost, asked_bytes_per_item, fits)
    if placed < fits:
        budget = f"{budget}: {fits:,}, of which the tensors lie in the regions of the pool"
        fits = placed
    countable = _how_many_are_countable(cost)
    size, limited_by, words = _choose(
        fits if countable is None else min(fits, countable), wanted, n_items, by_host=max_batch_size is None
    )
    if countable is not None and countable < min(fits, wanted):
        limited_by = "tensor"
        words = f"{fits:,}, at most {countable:,} for 2³¹ − 1 elements in a tensor: {words}"
    return BatchPlan(
        batch_size=size,
        reason=f"{available} × {usable_fraction:.3g}{budget}: {words}",
        limited_by=limited_by,
        predicted_peak_bytes=cost.peak_bytes(size),
        cost=cost,
    )


# Large planned sizes are cut by less than an eighth, for what rounding leaves is memory that the run could have used;
# from here on an eighth of a power of two is 8 or more, and cards like multiples of 8.
_FINER_FROM, _FINER_PARTS = 64, 8


def bucket_below(number: int, parts: int = 2) -> int:
    """Return the largest size at most `number` (1 or more) that is whole in `parts` of a power of two.

    For halves these are 1, 2, 3, 4, 6, 8, 12, 16, 24 …
    """
    step = max(1, (1 << (number.bit_length() - 1)) // parts)
    return number // step * step


def _how_many_fit(usable_bytes: int, fraction: float, cost: BatchCost, wanted: int) -> tuple[int, str]:
    """Return a number of items, and how it came from the free memory in words.

    The largest n for which ``u · (fixed + n · each) + gaps(n) <= fraction · usable``, with u the uncertainty of
    the cost and ``gaps(n) = min(n · half of the largest tensor's share, a quarter of usable)``. The minimum makes
    two straight lines; the one with more items is the one that holds.
    """
    fixed = round(cost.uncertainty * cost.fixed_bytes)  # bytes
    each = round(cost.uncertainty * cost.bytes_per_item)  # bytes an item
    room = int(usable_bytes * fraction) - fixed  # bytes
    fixed_words = f", minus {format_bytes(fixed)} fixed" if fixed else ""
    each_words = f"at {format_bytes(each)}"
    if cost.uncertainty > 1:
        each_words += (
            f" ({cost.uncertainty:.3g} × {format_bytes(cost.bytes_per_item)}, for the estimate is uncertain)"
        )
    if each == 0:
        return (wanted if room >= 0 else 0), f"{fixed_words}, {each_words} each"
    gap = int(GAP_SHARE * cost.largest_tensor_bytes_per_item)  # bytes an item
    largest_gap = int(LARGEST_GAP * usable_bytes)  # bytes
    fits = room // (each + gap)  # items
    fits_at_least = (room - largest_gap) // each  # items
    if fits_at_least > fits:
        return (
            max(0, fits_at_least),
            f"{fixed_words}, minus {format_bytes(largest_gap)} for gaps, {each_words} each",
        )
    gaps = f" and {format_bytes(gap)} for gaps" if gap else ""
    return max(0, fits), f"{fixed_words}, {each_words}{gaps} each"


def _how_many_lie_in_regions(
    regions: Sequence[int], cost: BatchCost, asked_bytes_per_item: int, fits: int
) -> int:
    """Return the largest number of items, up to `fits`, of which two of the largest tensors lie in single regions.

    A layer reads one tensor and writes another; what else is alive, at most another such tensor, lies in a region too,
    and may lie in the one where it is most in the way. Where two of the largest would be more than all of an item, they
    are not alive together.
    """
    largest = cost.largest_tensor_bytes_per_item  # bytes an item
    if not regions or not largest or cost.uncertainty * cost.bytes_per_item < 2 * largest:
        return fits
    rest = min(largest, max(0, asked_bytes_per_item - 2 * largest))  # bytes an item
    least, most = 0, fits  # items; `least` are known to find room
    while least < most:
        middle = (least + most + 1) // 2
        if _n_that_lie(regions, middle * largest, middle * rest) >= 2:
            least = middle
        else:
            most = middle - 1
    return least


def _n_that_lie(regions: Sequence[int], tensor: int, rest: int) -> int:
    """Return how many tensors lie in the regions if the rest lies in the worst of them; all are bytes."""
    lost = max(region // tensor - max(0, region - rest) // tensor for region in regions)
    return sum(region // tensor for region in regions) - lost


def is_in_one_piece(cost: BatchCost) -> bool:
    """Return whether one tensor is most of an item's memory, as the block is that XLA takes.

    There is then no second one beside it, and a growing pool takes a region as large as it needs.
    """
    return 3 * cost.largest_tensor_bytes_per_item > 2 * cost.bytes_per_item


def _how_many_are_countable(cost: BatchCost) -> int | None:
    """Return how many items keep the largest tensor within what kernels can count; None for no limit."""
    elements = cost.elements_per_item  # elements an item
    return max(1, MAX_TENSOR_ELEMENTS // elements) if elements else None


def _choose(fits: int, wanted: int, n_items: int, *, by_host: bool) -> tuple[int, Limit, str]:
    if fits < 1:
        return 1, "memory", "0, so not even one item is expected to fit; trying one"
    if fits >= wanted == n_items:
        return n_items, "items", f"{fits:,}, enough for all {n_items:,}"
    if fits >= wanted and by_host:
        return wanted, "host", f"{fits:,}; {wanted:,} on a CPU, where larger batches gain little"
    if fits >= wanted:
        return wanted, "max_batch_size", f"{fits:,}, limited to {wanted:,}"
    parts = 2 if fits < _FINER_FROM else _FINER_PARTS
    size = bucket_below(fits, parts)
    power = 1 << (size.bit_length() - 1)
    if size == power:
        kind = "a power of two"
    else:
        kind = f"1.5 × {power:,}" if parts == 2 else f"a multiple of {power // parts:,}"
    return size, "memory", f"{fits:,}" if size == fits else f"{fits:,}, down to {kind}: {size:,}"
