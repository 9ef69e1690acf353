"""From free memory and the cost of an item to a batch size: arithmetic, and its reason in words."""

from __future__ import annotations

from autobatch._types import BatchCost, BatchPlan, Limit
from autobatch._units import format_bytes

# A tensor that takes more than this share of the memory has to find it in one piece, and allocators hand
# out pieces that are up to 128 MiB larger than asked: leave more room. Not more than this, though: with the
# rounding to a power of two, 0.9 * 0.9 still plans at least 1/2.5 of what fits.
LARGE_TENSOR_SHARE = 0.25
LARGE_TENSOR_FRACTION = 0.9


def plan_batch_size(
    *,
    usable_bytes: int,
    cost: BatchCost,
    n_items: int,
    max_batch_size: int | None = None,
    usable_fraction: float = 1.0,
) -> BatchPlan:
    """Plan the largest batch that fits, from a small set of sizes.

    Sizes are powers of two, all items at once, or `max_batch_size`, so that a framework which compiles
    once per batch size compiles few times.

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
    ValueError
        If `n_items` is negative, `max_batch_size` below 1 or `usable_fraction` outside (0, 1].
    """
    _check(n_items, max_batch_size, usable_fraction)
    if n_items == 0:
        return BatchPlan(batch_size=0, reason="there are no items", limited_by="items", cost=cost)
    wanted = n_items if max_batch_size is None else min(n_items, max_batch_size)
    fraction = _fraction(usable_bytes, cost, wanted, usable_fraction)
    fits = _how_many_fit(int(usable_bytes * fraction), cost, wanted)
    size, limited_by, words = _choose(fits, wanted, n_items)
    return BatchPlan(
        batch_size=size,
        reason=f"{_budget_in_words(usable_bytes, fraction, cost)}: {words}",
        limited_by=limited_by,
        predicted_peak_bytes=cost.peak_bytes(size),
        cost=cost,
    )


def power_of_two_below(number: int) -> int:
    """Return the largest power of two that is at most `number` (1 or more)."""
    return 1 << (number.bit_length() - 1)


def _check(n_items: int, max_batch_size: int | None, usable_fraction: float) -> None:
    if n_items < 0:
        raise ValueError(f"n_items is {n_items} but must be 0 or more.")
    if max_batch_size is not None and max_batch_size < 1:
        raise ValueError(f"max_batch_size is {max_batch_size} but must be 1 or more, or None for no limit.")
    if not 0 < usable_fraction <= 1:
        raise ValueError(f"usable_fraction is {usable_fraction} but must be above 0 and at most 1.")


def _fraction(usable_bytes: int, cost: BatchCost, wanted: int, usable_fraction: float) -> float:
    """Lower the usable share where one tensor of the batch will take a large part of it."""
    size = max(1, _how_many_fit(int(usable_bytes * usable_fraction), cost, wanted))
    largest = cost.largest_tensor_bytes_per_item * size
    if largest <= LARGE_TENSOR_SHARE * usable_bytes:
        return usable_fraction
    return usable_fraction * LARGE_TENSOR_FRACTION


def _how_many_fit(budget_bytes: int, cost: BatchCost, wanted: int) -> int:
    room = budget_bytes - cost.fixed_bytes
    if cost.bytes_per_item == 0:
        return wanted if room >= 0 else 0
    return max(0, room // cost.bytes_per_item)


def _choose(fits: int, wanted: int, n_items: int) -> tuple[int, Limit, str]:
    if fits < 1:
        return 1, "memory", "0, so not even one item is expected to fit; trying one"
    if fits >= wanted == n_items:
        return n_items, "items", f"{fits:,}, enough for all {n_items:,}"
    if fits >= wanted:
        return wanted, "max_batch_size", f"{fits:,}, limited to {wanted:,}"
    size = power_of_two_below(fits)
    rounded = f", down to a power of two: {size:,}" if size != fits else ""
    return size, "memory", f"{fits:,}{rounded}"


def _budget_in_words(usable_bytes: int, fraction: float, cost: BatchCost) -> str:
    words = [f"free {format_bytes(usable_bytes)} × {fraction:.3g}"]
    if cost.fixed_bytes:
        words.append(f"minus {format_bytes(cost.fixed_bytes)} fixed")
    words.append(f"at {format_bytes(cost.bytes_per_item)} each")
    return ", ".join(words)
