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
        "free 70.1 GiB × 0.9, minus 1.20 GiB fixed, at 19.3 MiB each: 3,283, down to a power of two: 2,048"
    )
    assert (plan.batch_size, plan.limited_by) == (2048, "memory")
    assert plan.predicted_peak_bytes == cost.fixed_bytes + 2048 * cost.bytes_per_item


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


def test_says_when_not_even_one_is_expected_to_fit():
    plan = plan_batch_size(usable_bytes=50, cost=BatchCost(bytes_per_item=51), n_items=9)
    assert plan.reason.endswith("at 51 B each: 0, so not even one item is expected to fit; trying one")


def test_leaves_more_room_when_one_tensor_takes_much_of_the_memory():
    small = BatchCost(bytes_per_item=MIB, largest_tensor_bytes_per_item=MIB // 8)
    large = BatchCost(bytes_per_item=MIB, largest_tensor_bytes_per_item=MIB // 2)
    plans = [plan_batch_size(usable_bytes=64 * MIB, cost=cost, n_items=999) for cost in (small, large)]
    assert [plan.batch_size for plan in plans] == [64, 32]
    assert "× 0.9" in plans[1].reason


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
    twice = 2 * plan.batch_size
    assert twice > most or cost.peak_bytes(twice) > usable
