"""Cost from allocator peaks, with a counted allocator in place of TensorFlow's."""

import pytest

from autobatch import BatchCost, CannotMeasureError, measure_cost, run_in_batches
from autobatch import _tensorflow as tensorflow_side
from autobatch._measure import fit_cost
from autobatch.testing import FixedMemory

KIB = 1 << 10


def measured(*, bytes_per_item, fixed_bytes):
    return BatchCost(
        bytes_per_item=bytes_per_item,
        fixed_bytes=fixed_bytes,
        largest_tensor_bytes_per_item=bytes_per_item,
        source="measured",
    )


class CountingAllocator:
    """Stands for TensorFlow's allocator: a batch of n peaks at fixed + n * per_item over what is in use."""

    def __init__(self, monkeypatch, *, fixed, per_item, in_use=700 * KIB, capacity=None):
        self.fixed, self.per_item, self.in_use, self.capacity = fixed, per_item, in_use, capacity
        self.peak = 10**9  # what an earlier phase has left behind
        self.calls = []
        monkeypatch.setattr(tensorflow_side, "allocator_statistics", self.statistics)
        monkeypatch.setattr(tensorflow_side, "reset_peak", self.reset)

    def statistics(self, device):
        return tensorflow_side.AllocatorStatistics(current_bytes=self.in_use, peak_bytes=self.peak)

    def reset(self, device):
        self.peak = self.in_use

    def compute(self, start, stop):
        self.calls.append((start, stop))
        needed = self.fixed + (stop - start) * self.per_item
        if self.capacity is not None and needed > self.capacity:
            raise MemoryError
        self.peak = max(self.peak, self.in_use + needed)
        return list(range(start, stop))


def test_measures_slope_and_intercept_on_slices_that_follow_each_other(monkeypatch):
    allocator = CountingAllocator(monkeypatch, fixed=5 * KIB, per_item=36 * KIB)
    kept = []
    cost = measure_cost(allocator.compute, keep=lambda start, stop, result: kept.extend(result))
    assert cost == measured(bytes_per_item=36 * KIB, fixed_bytes=5 * KIB)
    assert allocator.calls == [(0, 1), (1, 3), (3, 7)]
    assert kept == list(range(7))


def test_zeros_mean_that_nothing_is_counted(monkeypatch):
    allocator = CountingAllocator(monkeypatch, fixed=0, per_item=0, in_use=0)
    with pytest.raises(
        CannotMeasureError, match=r"pass a BatchCost, for a Keras model keras_model_cost\(model\)"
    ):
        measure_cost(allocator.compute)


def test_one_size_is_not_enough(monkeypatch):
    with pytest.raises(ValueError, match=r"sizes is \(3, 3\)"):
        measure_cost(lambda start, stop: None, sizes=(3, 3))


def test_the_line_lies_above_every_peak_when_the_first_batch_also_sets_up():
    cost = fit_cost({1: 900, 2: 72, 4: 144})
    assert cost.bytes_per_item == 36
    assert all(cost.peak_bytes(size) >= peak for size, peak in {1: 900, 2: 72, 4: 144}.items())


def test_a_single_peak_is_taken_through_the_origin():
    assert fit_cost({4: 144}) == measured(bytes_per_item=36, fixed_bytes=0)


def test_a_batch_that_peaked_low_by_chance_does_not_hide_what_others_took():
    # Peaks of one graph that doubles its input, as TensorFlow has shown them: in place or not, by chance.
    assert fit_cost({1: 2066176, 2: 4194560, 4: 4194304}).bytes_per_item > 2_000_000


def test_a_run_goes_up_to_its_size_by_way_of_batches_that_would_show_a_low_peak(monkeypatch):
    allocator = CountingAllocator(monkeypatch, fixed=0, per_item=10, in_use=50)
    peak_of_any = allocator.compute

    def compute(start, stop):
        allocator.per_item = 10 if stop - start < 20 else 20
        return peak_of_any(start, stop)

    run = run_in_batches(compute, 300, device=FixedMemory(2000))
    assert run.batch_sizes[:6] == [1, 2, 4, 8, 32, 48]


def test_falling_peaks_still_give_a_cost():
    assert fit_cost({1: 500, 4: 400}).bytes_per_item == 100


def test_a_run_measures_on_its_own_first_items_and_repeats_none(monkeypatch):
    allocator = CountingAllocator(monkeypatch, fixed=100, per_item=10, in_use=50)
    run = run_in_batches(allocator.compute, 300, device=FixedMemory(2000))
    assert [item for part in run.outputs for item in part] == list(range(300))
    # 0.9 * 2000 - 100 - 500 for gaps leaves 1200: 120 items, by way of 120 / 16 and 120 / 4.
    assert run.batch_sizes == [1, 2, 4, 7, 30, 120, 120, 16]
    assert run.plan.cost == measured(bytes_per_item=10, fixed_bytes=100)


def test_a_larger_batch_corrects_what_tiny_ones_hide(monkeypatch):
    allocator = CountingAllocator(monkeypatch, fixed=0, per_item=10, in_use=50)
    peak_of_tiny = allocator.compute

    def compute(start, stop):
        allocator.per_item = 10 if stop - start <= 4 else 25
        return peak_of_tiny(start, stop)

    run = run_in_batches(compute, 300, device=FixedMemory(2000))
    assert run.batch_sizes[:5] == [1, 2, 4, 8, 32]


@pytest.mark.parametrize(
    ("per_item_of_large", "per_item_of_small", "sizes"),
    [
        # 1800 / (1.8 · 10) are 100, down to 96; small batches that take twice their share lead to 48.
        (10, 20, [6, 12, 48, 96, 96, 42]),
        # No more than was estimated.
        (1, 20, [6, 12, 48, 96, 96, 42]),
        # What small batches take, large ones do too.
        (20, 20, [6, 12, 48, 48, 48, 48, 48, 42]),
        # A batch of 80 is near enough to 96.
        (10, 12, [6, 20, 80, 80, 80, 34]),
    ],
)
def test_a_full_batch_corrects_small_ones_that_took_more_than_their_share(
    monkeypatch, per_item_of_large, per_item_of_small, sizes
):
    allocator = CountingAllocator(monkeypatch, fixed=0, per_item=10, in_use=50)
    peak_of_any = allocator.compute

    def compute(start, stop):
        allocator.per_item = per_item_of_large if stop - start > 24 else per_item_of_small
        return peak_of_any(start, stop)

    cost = BatchCost(bytes_per_item=10, source="estimated", uncertainty=1.8)
    run = run_in_batches(compute, 300, cost=cost, device=FixedMemory(2000))
    assert run.batch_sizes == sizes
    if per_item_of_large == per_item_of_small:
        took = sizes[2] * per_item_of_large
        assert (run.plan.predicted_peak_bytes, run.plan.reason.rpartition("; ")[2]) == (
            took,
            f"a batch of it took {took} B",
        )
    assert [item for part in run.outputs for item in part] == list(range(300))


def test_an_oom_while_measuring_sets_the_limit(monkeypatch):
    allocator = CountingAllocator(monkeypatch, fixed=0, per_item=10, in_use=50, capacity=25)
    run = run_in_batches(allocator.compute, 9, device=FixedMemory(1000))
    assert run.attempted_sizes == [1, 2, 4, 2, 2, 2]


def test_few_items_are_done_before_the_measurement_is(monkeypatch):
    allocator = CountingAllocator(monkeypatch, fixed=0, per_item=10)
    run = run_in_batches(allocator.compute, 2, device=FixedMemory(1000))
    assert run.batch_sizes == [1, 1]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 9), (3, [1, 2, 3, 3])])
def test_measured_batches_keep_to_the_upper_limit(monkeypatch, limit, sizes):
    allocator = CountingAllocator(monkeypatch, fixed=0, per_item=10)
    run = run_in_batches(allocator.compute, 9, device=FixedMemory(2000), max_batch_size=limit)
    assert run.batch_sizes == sizes
