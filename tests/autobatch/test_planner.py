"""The plan is arithmetic; every number here was worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobatch import BatchCost, plan_batch_size

GIB, MIB = 1 << 30, 1 << 20


def test_says_its_arithmetic_in_words():
    cost = BatchCost(bytes_per_item=round(19.3 * MIB), fixed_bytes=round(1.2 * GIB))
    plan = plan_batch_size(usable_bytes=round(70.1 * GIB), cost=cost, n_items=100_000, usable_fraction=0.9)
    assert plan.reason == (
        "free 70.1 GiB × 0.9, minus 1.20 GiB fixed, at 19.3 MiB each: 3,283, down to 1.5 × 2,048: 3,072"
    )
    assert (plan.batch_size, plan.limited_by) == (3072, "memory")
    assert plan.predicted_peak_bytes == cost.fixed_bytes + 3072 * cost.bytes_per_item


@pytest.mark.parametrize(
    ("usable", "n_items", "limit", "size", "limited_by"),
    [
        (1000, 500, None, 64, "memory"),
        (1000, 90, None, 90, "items"),
        (1000, 91, None, 64, "memory"),
        (1000, 500, 70, 70, "max_batch_size"),
        (1000, 60, 70, 60, "items"),
        (109, 5, None, 1, "memory"),
        (0, 5, None, 1, "memory"),
        (1000, 0, None, 0, "items"),
    ],
)
def test_takes_what_fits_from_few_sizes(usable, n_items, limit, size, limited_by):
    cost = BatchCost(bytes_per_item=10, fixed_bytes=100)
    plan = plan_batch_size(usable_bytes=usable, cost=cost, n_items=n_items, max_batch_size=limit)
    assert (plan.batch_size, plan.limited_by) == (size, limited_by)


@pytest.mark.parametrize(
    ("fits", "size", "words"),
    [
        (1, 1, "1"),
        (3, 3, "3"),
        (5, 4, "5, down to a power of two: 4"),
        (11, 8, "11, down to a power of two: 8"),
        (12, 12, "12"),
        (95, 64, "95, down to a power of two: 64"),
        (127, 96, "127, down to 1.5 × 64: 96"),
    ],
)
def test_sizes_are_powers_of_two_and_half_more(fits, size, words):
    plan = plan_batch_size(usable_bytes=fits, cost=BatchCost(bytes_per_item=1), n_items=999)
    assert plan.batch_size == size
    assert plan.reason.endswith(f"at 1 B each: {words}")


def test_says_when_not_even_one_is_expected_to_fit():
    plan = plan_batch_size(usable_bytes=50, cost=BatchCost(bytes_per_item=51), n_items=9)
    assert plan.reason.endswith("at 51 B each: 0, so not even one item is expected to fit; trying one")


@pytest.mark.parametrize(
    ("largest_tensor_mib", "size", "words"),
    [
        # 720 / 10, 720 / (10 + 2), and what a quarter of 800 leaves of 720.
        (0, 64, "at 10.0 MiB each: 72, down to a power of two: 64"),
        (4, 48, "at 10.0 MiB and 2.00 MiB for gaps each: 60, down to 1.5 × 32: 48"),
        (9, 48, "minus 200 MiB for gaps, at 10.0 MiB each: 52, down to 1.5 × 32: 48"),
    ],
)
def test_leaves_room_for_the_gaps_that_large_tensors_make(largest_tensor_mib, size, words):
    cost = BatchCost(bytes_per_item=10 * MIB, largest_tensor_bytes_per_item=largest_tensor_mib * MIB)
    plan = plan_batch_size(usable_bytes=800 * MIB, cost=cost, n_items=999, usable_fraction=0.9)
    assert (plan.batch_size, plan.reason) == (size, f"free 800 MiB × 0.9, {words}")


def test_items_that_cost_nothing_are_taken_together():
    assert plan_batch_size(usable_bytes=0, cost=BatchCost(bytes_per_item=0), n_items=7).batch_size == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_items": -1}, "n_items is -1"),
        ({"max_batch_size": 0}, "max_batch_size is 0"),
        ({"usable_fraction": 1.1}, "usable_fraction is 1.1"),
    ],
)
def test_refuses_senseless_numbers(changes, message):
    with pytest.raises(ValueError, match=message):
        plan_batch_size(**{"usable_bytes": 1, "cost": BatchCost(bytes_per_item=1), "n_items": 1} | changes)


def test_a_cost_cannot_be_negative():
    with pytest.raises(ValueError, match="bytes_per_item is -5 but must be a number of bytes"):
        BatchCost(bytes_per_item=-5)


# Of three that fit one may be planned: the room for gaps takes the second.
@given(largest=st.integers(0, 1 << 20), fits=st.integers(4, 1 << 20))
def test_a_plan_from_a_true_cost_takes_at_least_two_fifths_of_what_fits(largest, fits):
    cost = BatchCost(bytes_per_item=1 << 20, largest_tensor_bytes_per_item=largest)
    plan = plan_batch_size(usable_bytes=fits << 20, cost=cost, n_items=1 << 30, usable_fraction=0.9)
    assert plan.batch_size * 2.5 >= fits


@settings(deadline=None)
@given(
    usable=st.integers(0, 1 << 40),
    per_item=st.integers(0, 1 << 34),
    fixed=st.integers(0, 1 << 34),
    n_items=st.integers(1, 10**7),
    limit=st.none() | st.integers(1, 10**5),
)
def test_what_is_planned_fits_unless_it_is_a_single_item(usable, per_item, fixed, n_items, limit):
    cost = BatchCost(bytes_per_item=per_item, fixed_bytes=fixed)
    plan = plan_batch_size(usable_bytes=usable, cost=cost, n_items=n_items, max_batch_size=limit)
    most = min(n_items, limit or n_items)
    assert 1 <= plan.batch_size <= most
    assert plan.batch_size == 1 or cost.peak_bytes(plan.batch_size) <= usable
    half_more = max(plan.batch_size + 1, 3 * plan.batch_size // 2)
    assert half_more > most or cost.peak_bytes(half_more) > usable
