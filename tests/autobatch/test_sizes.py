"""Which sizes follow one another: after errors, with weights, with items that differ in cost."""

import numpy as np
import pytest

from autobatch import BatchCost, DoesNotFitError, run_in_batches
from autobatch.testing import FixedMemory, inject_oom


def ranges(start, stop):
    return list(range(start, stop))


class Costly:
    """Runs out of memory where ``cost(weights of the batch)`` exceeds the capacity."""

    def __init__(self, weights, capacity, cost=sum):
        self.weights, self.capacity, self.cost = weights, capacity, cost
        self.loads = []

    def __call__(self, start, stop):
        batch = self.weights[start:stop]
        if self.cost(batch) > self.capacity:
            raise MemoryError
        self.loads.append(float(sum(batch)))
        return ranges(start, stop)


def test_a_planned_size_goes_down_to_the_next_planned_one():
    cost, memory = BatchCost(bytes_per_item=1), FixedMemory(60)
    compute = Costly([1] * 200, 16)
    run = run_in_batches(compute, 200, cost=cost, device=memory)
    assert run.attempted_sizes[:5] == [48, 32, 24, 16, 16]


def test_all_items_at_once_are_halved():
    with inject_oom(at=[0], form="memory_error"):
        run = run_in_batches(ranges, 100, cost=BatchCost(bytes_per_item=1), device=FixedMemory(1000))
    assert run.attempted_sizes == [100, 50, 50]


def test_the_sum_of_the_weights_of_a_batch_is_bounded_and_the_order_kept():
    weights = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
    run = run_in_batches(ranges, 11, batch_size=10, weights=weights)
    batches = [[weights[item] for item in part] for part in run.outputs]
    assert [item for part in run.outputs for item in part] == list(range(11))
    assert batches == [[3, 1, 4, 1], [5], [9], [2, 6], [5, 3], [5]]


def test_an_item_heavier_than_the_size_makes_a_batch_of_its_own():
    run = run_in_batches(ranges, 3, batch_size=10, weights=[50, 60, 1])
    assert [len(part) for part in run.outputs] == [1, 1, 1]


def test_a_plan_counts_weight():
    weights = np.full(100, 7.0)
    run = run_in_batches(
        ranges, 100, weights=weights, cost=BatchCost(bytes_per_item=10), device=FixedMemory(1200)
    )
    assert run.plan.batch_size == 104
    assert max(run.batch_sizes) == 104 // 7


def test_weights_below_one_are_weights_too():
    run = run_in_batches(ranges, 8, weights=[0.25] * 8, batch_size=1)
    assert run.batch_sizes == [4, 4]
    with inject_oom(at=[0], form="memory_error"):
        run = run_in_batches(ranges, 8, weights=[0.25] * 8, batch_size=1)
    assert run.attempted_sizes == [4, 2, 2, 2, 2]


def test_without_statistics_a_batch_has_as_many_items_as_without_weights():
    run = run_in_batches(ranges, 100, weights=[500] * 100, device=FixedMemory(1 << 30))
    assert run.batch_sizes == [1, 32, 32, 32, 3]
    assert "32 items of mean weight" in run.plan.reason


def test_one_long_item_does_not_keep_all_later_batches_small():
    weights = [10] * 300 + [900] + [10] * 4000
    compute = Costly(weights, 1_000_000, lambda batch: sum(batch) * max(batch))
    run = run_in_batches(
        compute, len(weights), weights=weights, cost=BatchCost(bytes_per_item=1), device=FixedMemory(1800)
    )
    assert run.attempts[0].outcome == "done"
    assert run.n_oom == 1
    # 1,536 is planned; the batch with the long item fails, and the size comes back to what had fitted before.
    assert compute.loads[0] == compute.loads[-2] == 1530


def test_a_size_grows_back_to_what_has_fitted_and_no_further():
    weights = [10] * 300 + [900] + [10] * 4000
    compute = Costly(weights, 1_000_000, lambda batch: sum(batch) * max(batch))
    # Halved to 765 it grows to 1,147; half as much again would be more than has ever been tried.
    run = run_in_batches(compute, len(weights), weights=weights, batch_size=1530)
    assert run.n_oom == 1
    assert max(compute.loads) == compute.loads[-2] == compute.loads[0] == 1530


def test_growing_back_fails_ever_more_rarely():
    weights = ([10] * 20 + [30]) * 2000
    compute = Costly(weights, 6000, lambda batch: sum(batch) * max(batch))
    run = run_in_batches(
        compute, len(weights), weights=weights, cost=BatchCost(bytes_per_item=1), device=FixedMemory(600)
    )
    assert sum(map(len, run.outputs)) == len(weights)
    assert run.n_oom <= 3 * np.log2(len(run.batch_sizes))


def test_a_heavy_item_that_does_not_fit_is_named():
    with pytest.raises(DoesNotFitError, match="item 2 "):
        run_in_batches(Costly([1, 1, 90, 1], 50), 4, weights=[1, 1, 90, 1], batch_size=10)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], "weights has 2 entries but there are 3 items"),
        ([1, 0, 2], r"weights\[1\] is 0 but must be a number above 0"),
        ([1, float("nan"), 2], r"weights\[1\] is nan"),
        ([1, 2, float("inf")], r"weights\[2\] is inf"),
    ],
)
def test_senseless_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        run_in_batches(ranges, 3, weights=weights)


def test_weights_and_a_memo_do_not_go_together(tmp_path):
    from autobatch import BatchMemo

    with pytest.raises(ValueError, match="memo was given together with weights"):
        run_in_batches(ranges, 1, weights=[1], memo=BatchMemo(tmp_path / "memo.json", "key"))


def test_on_error_is_one_of_two_words():
    with pytest.raises(ValueError, match="on_error is 'ignore' but must be"):
        run_in_batches(ranges, 3, on_error="ignore")
