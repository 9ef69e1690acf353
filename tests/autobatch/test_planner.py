"""The plan is arithmetic; every number here was worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobatch import BatchCost, DeviceMemory, _gpu, _host, _tensorflow, plan_batch_size, plan_batches
from autobatch._first_size import checked_first_size
from autobatch._planner import MAX_TENSOR_ELEMENTS
from autobatch.testing import FixedMemory

GIB, MIB = 1 << 30, 1 << 20


def test_says_its_arithmetic_in_words():
    cost = BatchCost(bytes_per_item=round(19.3 * MIB), fixed_bytes=round(1.2 * GIB))
    plan = plan_batch_size(usable_bytes=round(70.1 * GIB), cost=cost, n_items=100_000, usable_fraction=0.9)
    assert plan.reason == (
        "free 70.1 GiB × 0.9, minus 1.20 GiB fixed, at 19.3 MiB each: 3,283, down to a multiple of 256: 3,072"
    )
    assert (plan.batch_size, plan.limited_by) == (3072, "memory")
    assert plan.predicted_peak_bytes == cost.fixed_bytes + 3072 * cost.bytes_per_item


@pytest.mark.parametrize(
    ("usable", "n_items", "limit", "size", "limited_by"),
    [
        (1000, 500, None, 88, "memory"),
        (1000, 90, None, 90, "items"),
        (1000, 91, None, 88, "memory"),
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
        (63, 48, "63, down to 1.5 × 32: 48"),
        (71, 64, "71, down to a power of two: 64"),
        (95, 88, "95, down to a multiple of 8: 88"),
        (127, 120, "127, down to a multiple of 8: 120"),
        (2047, 1920, "2,047, down to a multiple of 128: 1,920"),
    ],
)
def test_sizes_are_round(fits, size, words):
    plan = plan_batch_size(usable_bytes=fits, cost=BatchCost(bytes_per_item=1), n_items=9999)
    assert plan.batch_size == size
    assert plan.reason.endswith(f"at 1 B each: {words}")


def test_says_when_not_even_one_is_expected_to_fit():
    plan = plan_batch_size(usable_bytes=50, cost=BatchCost(bytes_per_item=51), n_items=9)
    assert plan.reason.endswith("at 51 B each: 0, so not even one item is expected to fit; trying one")


@pytest.mark.parametrize(
    ("largest_tensor_mib", "size", "words"),
    [
        # 720 / 10, 720 / (10 + 2), and what a quarter of 800 leaves of 720.
        (0, 72, "at 10.0 MiB each: 72"),
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
    cost = BatchCost(
        bytes_per_item=1 << 20, largest_tensor_bytes_per_item=largest, largest_tensor_elements_per_item=1
    )
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


@settings(deadline=None)
@given(
    usable=st.integers(0, 1 << 50),
    elements=st.integers(1, 1 << 33),
    element_bytes=st.sampled_from([1, 2, 4, 8, 16]),
    n_items=st.integers(1, 10**9),
)
def test_no_tensor_of_a_plan_has_more_elements_than_kernels_can_count(
    usable, elements, element_bytes, n_items
):
    n_bytes = elements * element_bytes
    cost = BatchCost(
        bytes_per_item=2 * n_bytes,
        largest_tensor_bytes_per_item=n_bytes,
        largest_tensor_elements_per_item=elements,
    )
    size = plan_batch_size(usable_bytes=usable, cost=cost, n_items=n_items).batch_size
    assert size == 1 or size * elements <= MAX_TENSOR_ELEMENTS


def test_a_limit_by_the_elements_of_a_tensor_is_told():
    # 4 MiB of float32 are 2²⁰ elements; 2,047 of them stay below 2³¹.
    cost = BatchCost(bytes_per_item=5 * MIB, largest_tensor_bytes_per_item=4 * MIB)
    plan = plan_batch_size(usable_bytes=141 * GIB, cost=cost, n_items=10**6)
    assert (plan.batch_size, plan.limited_by) == (1920, "tensor")
    assert (
        "at most 2,047 for 2³¹ − 1 elements in a tensor: 2,047, down to a multiple of 128: 1,920"
        in plan.reason
    )


def test_an_uncertain_cost_is_planned_with_what_it_may_be():
    cost = BatchCost(bytes_per_item=10 * MIB, fixed_bytes=20 * MIB, uncertainty=1.5, source="estimated")
    plan = plan_batch_size(usable_bytes=800 * MIB, cost=cost, n_items=999)
    # (800 - 1.5 * 20) / 15 = 51
    assert plan.batch_size == 48
    assert (
        "minus 30.0 MiB fixed, at 15.0 MiB (1.5 × 10.0 MiB, for the estimate is uncertain) each"
        in plan.reason
    )
    assert plan.predicted_peak_bytes == 500 * MIB


def card_on_a_host(*, card_gib, host_gib):
    host = DeviceMemory(
        device="CPU",
        total_bytes=None,
        free_bytes=2 * host_gib * GIB,
        usable_bytes=host_gib * GIB,
        source="fixed",
    )
    card = FixedMemory(card_gib * GIB)()
    return lambda: DeviceMemory(**{**vars(card), "host": host})


def test_the_host_bounds_a_plan_for_a_card_and_both_limits_are_told():
    cost = BatchCost(bytes_per_item=MIB)
    plan = plan_batches(10**6, cost=cost, device=card_on_a_host(card_gib=80, host_gib=12))
    assert (plan.batch_size, plan.limited_by) == (10_240, "host_memory")
    assert plan.reason.startswith("GPU:0 free 80.0 GiB × 0.9, at 1.00 MiB each: 73,728")
    assert "; CPU usable 12.0 GiB of 24.0 GiB free × 0.9, at 1.00 MiB each: 11,059" in plan.reason
    assert plan.memory.device == "GPU:0"


def test_what_is_known_to_stay_on_the_card_is_not_asked_of_the_host():
    cost = BatchCost(bytes_per_item=MIB, host_bytes_per_item=1 << 10, source="estimated")
    plan = plan_batches(10**6, cost=cost, device=card_on_a_host(card_gib=80, host_gib=12))
    assert (plan.batch_size, plan.limited_by) == (73_728, "memory")


def test_a_real_cards_reading_holds_the_hosts(monkeypatch):
    monkeypatch.setattr(_gpu, "n_gpus", lambda: 1)
    monkeypatch.setattr(_gpu, "gpu_memory", lambda index: FixedMemory(80 * GIB)())
    monkeypatch.setattr(_host, "host_memory", FixedMemory(6 * GIB, device="CPU"))
    plan = plan_batches(10**6, cost=BatchCost(bytes_per_item=MIB), device="GPU:0")
    assert (plan.batch_size, plan.limited_by) == (5120, "host_memory")


@pytest.mark.parametrize("source", ["estimated", "measured"])
def test_on_an_ordinary_cpu_32_items_are_the_limit_however_the_cost_is_known(source):
    cost = BatchCost(bytes_per_item=MIB, source=source)
    on_cpu = FixedMemory(8 * GIB, device="CPU")
    plan = plan_batches(1536, cost=cost, device=on_cpu)
    assert (plan.batch_size, plan.limited_by) == (32, "host")
    assert plan_batches(1536, cost=cost, device=on_cpu, max_batch_size=512).batch_size == 512
    assert plan_batches(1536, cost=BatchCost(bytes_per_item=MIB), device=on_cpu).batch_size == 1536


def test_a_pool_of_tensorflows_on_the_cpu_is_no_ordinary_host():
    pool = DeviceMemory(
        device="CPU",
        total_bytes=None,
        free_bytes=400 * MIB,
        usable_bytes=400 * MIB,
        source=DeviceMemory.TENSORFLOW_ON_CPU,
    )
    plan = plan_batches(1536, cost=BatchCost(bytes_per_item=MIB, source="estimated"), device=lambda: pool)
    assert plan.batch_size == 352


def test_figures_that_leave_something_out_are_no_plan_where_a_batch_can_be_measured():
    cost = BatchCost(bytes_per_item=100 * MIB, source="estimated", not_counted=("a loop",))
    plan = plan_batches(999, cost=cost, device=FixedMemory(800 * MIB))
    # Even what is counted allows for 7 only.
    assert (plan.batch_size, plan.limited_by) == (6, "no_estimate")
    assert "the estimate leaves out a loop" in plan.reason


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_items": 1.5}, "n_items is 1.5 but must be an integer"),
        ({"usable_bytes": "4 GiB"}, "usable_bytes is '4 GiB' but must be an integer"),
        ({"usable_bytes": -1}, "usable_bytes is -1 but must be 0 or more"),
        ({"cost": 7}, "cost is 7 but must be a BatchCost"),
        ({"usable_fraction": "most"}, "usable_fraction is 'most' but must be a number"),
        ({"usable_fraction": float("nan")}, "usable_fraction is nan but must be a finite number"),
    ],
)
def test_every_argument_is_checked(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        plan_batch_size(**{"usable_bytes": 1, "cost": BatchCost(bytes_per_item=1), "n_items": 1} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bytes_per_item": 1.5}, "bytes_per_item is 1.5 but must be an integer"),
        ({"largest_tensor_elements_per_item": -1}, "largest_tensor_elements_per_item is -1"),
        ({"host_bytes_per_item": -1}, "host_bytes_per_item is -1"),
        ({"uncertainty": 0.5}, "uncertainty is 0.5 but must be a factor of 1 or more"),
    ],
)
def test_a_cost_checks_itself(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        BatchCost(**{"bytes_per_item": 1} | changes)


def pool(limit_mib, used_mib=0):
    """Return a pool of TensorFlow's on the CPU: its regions are 2, 4, 8 … MiB and what is left."""
    limit, used = limit_mib * MIB, used_mib * MIB
    return DeviceMemory(
        device="CPU",
        total_bytes=limit,
        free_bytes=limit - used,
        usable_bytes=limit - used,
        source=DeviceMemory.TENSORFLOW_ON_CPU,
        regions=_tensorflow.growing_regions(limit, used),
    )


def test_the_regions_of_a_growing_pool_double_and_end_with_what_is_left():
    assert [region >> 20 for region in pool(300).regions] == [128, 64, 46, 32, 16, 8, 4, 2]
    # 20 MiB of weights fill the small ones.
    assert [region >> 20 for region in pool(300, 20).regions] == [128, 64, 46, 32, 10]
    assert sum(pool(300, 20).regions) == 280 * MIB


@pytest.mark.parametrize(
    ("largest_mib", "size"),
    [
        # Two tensors of 64 items lie in the region of 128 MiB; of 96, as many as the sum would allow, none do.
        (1.0, 64),
        # Two of 1.3 MiB would be more than the 2 MiB of an item.
        (1.3, 96),
        # One block of 2 MiB an item, as of XLA: 300 · 0.9, less a quarter for gaps, hold 97.
        (2.0, 96),
    ],
)
def test_tensors_must_lie_in_regions(largest_mib, size):
    cost = BatchCost(
        bytes_per_item=2 * MIB, largest_tensor_bytes_per_item=int(largest_mib * MIB), source="estimated"
    )
    plan = plan_batches(999, cost=cost, device=lambda: pool(300))
    assert plan.batch_size == size


@pytest.mark.parametrize(
    ("each_mib", "source", "size"),
    [
        # Two tensors of 1 MiB and nothing else: two of 224 MiB lie in the regions of 290 and 256.
        (2.0, "given", 224),
        # With half a MiB beside them in the region of 256, one of 170 does.
        (2.5, "given", 160),
        # An estimate may be 1.17 times too low by the order of the branches: two of 144 MiB lie in that of 290.
        (2.5, "estimated", 144),
    ],
)
def test_what_else_is_alive_may_lie_in_the_way(each_mib, source, size):
    cost = BatchCost(
        bytes_per_item=int(each_mib * MIB), largest_tensor_bytes_per_item=MIB, source=source, uncertainty=1.1
    )
    assert plan_batches(999, cost=cost, device=lambda: pool(800, 92)).batch_size == size


@pytest.mark.parametrize(
    ("measured_mib", "uncertainty"),
    [(5, 1.25), (7, 1.17 * 10 / 7), (8, 1.17 * 10 / 8), (10, 1.25), (20, 1.25)],
)
def test_a_measurement_that_branches_side_by_side_explain_is_planned_as_if_they_came_in_turn(
    measured_mib, uncertainty
):
    first_size = checked_first_size(
        1000,
        "auto",
        BatchCost(bytes_per_item=10 * MIB, source="estimated", uncertainty=1.8),
        FixedMemory(4 << 30),
        usable_fraction=0.9,
        max_batch_size=None,
        memo=None,
    )
    plan = first_size.planned(BatchCost(bytes_per_item=measured_mib * MIB, source="measured"))
    assert plan.cost.uncertainty == pytest.approx(uncertainty)
