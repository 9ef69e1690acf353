"""The driver: every item committed once and in order, whatever runs out of memory and when."""

import gc
import logging
import weakref
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobatch import (
    BatchCost,
    CommitOutOfMemoryError,
    DeviceMemory,
    DoesNotFitError,
    LogProgress,
    plan_batches,
    run_in_batches,
)
from autobatch.testing import FixedMemory, inject_oom


def squares(start, stop):
    return [item * item for item in range(start, stop)]


def committed_by(compute, n_items, **choices):
    """Run and return what was committed, item by item, with the run."""
    items = []

    def commit(start, stop, result):
        assert start == len(items)
        items.extend(result)

    return items, run_in_batches(compute, n_items, commit=commit, **choices)


class FitsUpTo:
    """A computation that runs out of memory above a size."""

    def __init__(self, largest):
        self.largest = largest
        self.calls = []

    def __call__(self, start, stop):
        self.calls.append((start, stop))
        if stop - start > self.largest:
            raise MemoryError(f"{stop - start} items")
        return squares(start, stop)


def test_runs_everything_in_batches_of_the_given_size():
    items, run = committed_by(squares, 10, batch_size=4)
    assert items == squares(0, 10)
    assert run.batch_sizes == [4, 4, 2]
    assert run.n_oom == 0


def test_keeps_the_results_in_order_without_commit():
    run = run_in_batches(squares, 5, batch_size=2)
    assert run.outputs == [[0, 1], [4, 9], [16]]


def test_halves_until_it_fits_and_resumes_where_it_failed():
    compute = FitsUpTo(32)
    items, run = committed_by(compute, 200, batch_size=128)
    assert items == squares(0, 200)
    assert run.attempted_sizes == [128, 64, 32, 32, 32, 32, 32, 32, 8]
    assert compute.calls[:4] == [(0, 128), (0, 64), (0, 32), (32, 64)]


def test_halves_from_the_real_size_when_the_batch_is_larger_than_the_data():
    _, run = committed_by(FitsUpTo(5), 10, batch_size=1000)
    assert run.plan.batch_size == 10
    assert run.attempted_sizes == [10, 5, 5]


def test_an_oom_in_the_short_last_batch_halves_that_batch():
    with inject_oom(at=[2], form="memory_error"):
        items, run = committed_by(squares, 11, batch_size=4)
    assert items == squares(0, 11)
    assert run.attempted_sizes == [4, 4, 3, 1, 1, 1]


@pytest.mark.spec("CM-5.5")
@pytest.mark.parametrize("failing_call", range(4))
def test_an_oom_in_any_batch_loses_and_repeats_nothing(failing_call):
    with inject_oom(at=[failing_call], form="memory_error") as faults:
        items, run = committed_by(squares, 15, batch_size=4)
    assert items == squares(0, 15)
    assert (run.n_oom, faults.n_injected) == (1, 1)
    finished_before = [4] * failing_call
    assert run.batch_sizes[:failing_call] == finished_before
    assert max(run.batch_sizes[failing_call:]) == (1 if failing_call == 3 else 2)


def test_two_ooms_in_a_row_quarter_the_size():
    with inject_oom(at=[1, 2], form="memory_error"):
        items, run = committed_by(squares, 16, batch_size=8)
    assert items == squares(0, 16)
    assert run.attempted_sizes == [8, 8, 4, 2, 2, 2, 2]


def test_one_item_that_does_not_fit_ends_the_run_with_everything_before_it_committed():
    items = []

    def compute(start, stop):
        if start <= 6 < stop:
            raise MemoryError(f"no room for {stop - start}")
        return squares(start, stop)

    with pytest.raises(DoesNotFitError) as caught:
        run_in_batches(
            compute,
            9,
            commit=lambda start, stop, result: items.extend(result),
            batch_size=4,
            cost=BatchCost(bytes_per_item=3 << 30, fixed_bytes=1 << 30),
            device=FixedMemory(2 << 30),
            label="prediction",
            remedy="lower --tile-size",
        )
    assert items == squares(0, 6)
    assert caught.value.n_committed == 6
    assert str(caught.value.first) == "no room for 4"
    assert str(caught.value.last) == "no room for 1"
    assert caught.value.__cause__ is caught.value.last
    message = str(caught.value)
    for part in (
        "item 6",
        "'prediction'",
        "4.00 GiB",
        "2.00 GiB",
        "GPU:0",
        "lower --tile-size",
        "no room for 4",
    ):
        assert part in message


def test_recover_false_raises_the_first_oom_as_it_came():
    with pytest.raises(MemoryError, match="8 items"):
        run_in_batches(FitsUpTo(4), 8, batch_size=8, recover=False)


def test_other_errors_pass_untouched():
    error = ValueError("a real mistake")

    def compute(start, stop):
        raise error

    with pytest.raises(ValueError, match="a real mistake") as caught:
        run_in_batches(compute, 8, batch_size=8)
    assert caught.value is error


def test_an_oom_wrapped_by_user_code_is_recognised():
    def compute(start, stop):
        try:
            return FitsUpTo(2)(start, stop)
        except MemoryError as error:
            raise RuntimeError("the step failed") from error

    _, run = committed_by(compute, 4, batch_size=4)
    assert run.attempted_sizes == [4, 2, 2]


def test_works_when_the_caller_is_already_handling_an_oom():
    def compute(start, stop):
        raise ValueError("not memory")

    try:
        raise MemoryError("the whole at once")
    except MemoryError:
        with pytest.raises(ValueError, match="not memory"):
            run_in_batches(compute, 4, batch_size=4)
        _, run = committed_by(FitsUpTo(2), 4, batch_size=4)
    assert run.attempted_sizes == [4, 2, 2]


def test_empty_input_computes_nothing():
    run = run_in_batches(FitsUpTo(0), 0)
    assert (run.batch_sizes, run.outputs, run.plan.batch_size) == ([], [], 0)
    assert run.plan.reason == "there are no items"


def test_interrupting_stops_at_once_and_keeps_what_was_committed():
    items = []

    def compute(start, stop):
        if start == 4:
            try:
                raise MemoryError("waiting ten seconds for memory")
            except MemoryError:
                raise KeyboardInterrupt from None
        return squares(start, stop)

    with pytest.raises(KeyboardInterrupt):
        run_in_batches(compute, 8, commit=lambda start, stop, result: items.extend(result), batch_size=4)
    assert items == squares(0, 4)


def test_an_interrupt_during_the_handling_of_an_oom_is_no_oom():
    def compute(start, stop):
        try:
            raise MemoryError
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_batches(compute, 8, batch_size=4)


def test_an_oom_in_commit_is_never_retried_and_says_what_is_committed():
    starts = []

    def commit(start, stop, result):
        starts.append(start)
        if start == 4:
            raise MemoryError("the canvas is full")

    with pytest.raises(CommitOutOfMemoryError, match=r"items 4 to 7 .* the 4 items before") as caught:
        run_in_batches(squares, 12, commit=commit, batch_size=4)
    assert starts == [0, 4]
    assert (caught.value.n_committed, caught.value.interrupted) == (4, (4, 8))
    assert isinstance(caught.value.__cause__, MemoryError)


def test_a_nested_run_recovers_by_itself():
    stitched = []

    def commit(start, stop, result):
        inner = FitsUpTo(2)
        run_in_batches(
            lambda a, b: inner(start + a, start + b),
            stop - start,
            commit=lambda a, b, part: stitched.extend(part),
            batch_size=3,
        )

    run = run_in_batches(FitsUpTo(6), 12, commit=commit, batch_size=12)
    assert stitched == squares(0, 12)
    assert run.attempted_sizes == [12, 6, 6]


@pytest.mark.parametrize("place", ["compute", "commit"])
def test_an_inner_item_that_does_not_fit_is_no_oom_to_the_outer_run(place):
    calls = []

    def inner(start, stop, result=None):
        calls.append((start, stop))
        run_in_batches(FitsUpTo(0), stop - start, batch_size=1)

    outer = {"compute": inner} if place == "compute" else {"compute": squares, "commit": inner}
    with pytest.raises(DoesNotFitError):
        run_in_batches(outer["compute"], 8, commit=outer.get("commit"), batch_size=8)
    assert calls == [(0, 8)]


@pytest.mark.parametrize("collects", [True, False])
def test_a_failed_batch_is_freed_before_the_retry(collects):
    if not collects:
        gc.disable()
    try:
        pinned = []

        def compute(start, stop):
            assert all(reference() is None for reference in pinned)
            activations = np.zeros(stop - start)
            if stop - start > 2:
                pinned.append(weakref.ref(activations))
                cycle = [activations]
                cycle.append(cycle)
                raise MemoryError
            return 0

        run = run_in_batches(compute, 8, batch_size=8)
    finally:
        gc.enable()
    assert len(pinned) == 2
    assert run.attempted_sizes == [8, 4, 2, 2, 2, 2]


def test_a_kept_error_does_not_pin_the_memory_of_the_failed_batch():
    pinned = []

    def compute(start, stop):
        activations = np.zeros(8)
        pinned.append(weakref.ref(activations))
        raise MemoryError

    with pytest.raises(DoesNotFitError) as caught:
        run_in_batches(compute, 2, batch_size=2)
    assert [reference() is None for reference in pinned] == [True, True, True]
    assert caught.value.first is not None


def test_an_error_hidden_behind_the_one_raised_does_not_pin_memory_either():
    pinned = []

    def inner():
        activations = np.zeros(8)
        pinned.append(weakref.ref(activations))
        raise OSError("status: not ok")

    def compute(start, stop):
        try:
            inner()
        except OSError:
            raise MemoryError from None

    with pytest.raises(DoesNotFitError) as caught:
        run_in_batches(compute, 1, batch_size=1)
    assert isinstance(caught.value.last.__context__, OSError)
    assert [reference() is None for reference in pinned] == [True, True]


def test_a_traceback_that_was_cut_does_not_pin_memory_either():
    pinned = []

    def innermost():
        raise MemoryError

    def library():
        activations = np.zeros(8)
        pinned.append(weakref.ref(activations))
        innermost()

    def compute(start, stop):
        try:
            library()
        except MemoryError as error:
            # As Keras does: leave out the library's own frame.
            own, _, inner = (frame_of(error, depth) for depth in range(3))
            own.tb_next = inner
            raise error.with_traceback(own) from None

    def frame_of(error, depth):
        trace = error.__traceback__
        for _ in range(depth):
            trace = trace.tb_next
        return trace

    with pytest.raises(DoesNotFitError) as caught:
        run_in_batches(compute, 1, batch_size=1)
    assert caught.value.last is not None
    assert [reference() is None for reference in pinned] == [True, True]


def test_the_frames_of_the_error_that_the_caller_handles_are_left_alone():
    def failing():
        evidence = "for the debugger"
        raise RuntimeError(evidence)

    try:
        failing()
    except RuntimeError as error:
        run_in_batches(FitsUpTo(1), 2, batch_size=2)
        frame = error.__traceback__.tb_next.tb_frame
        assert frame.f_locals["evidence"] == "for the debugger"


@pytest.mark.parametrize("form", ["resource_exhausted", "xla", "dst_tensor", "cudnn", "memory_error"])
def test_every_form_of_oom_halves(form):
    with inject_oom(at=[0], form=form):
        _, run = committed_by(squares, 4, batch_size=4)
    assert run.attempted_sizes == [4, 2, 2]


@pytest.mark.parametrize("form", ["dst_tensor", "cudnn"])
def test_a_suspect_error_that_stays_at_every_size_is_raised_as_it_first_was(form):
    import tensorflow as tf

    errors = []

    def compute(start, stop):
        kinds = {"dst_tensor": tf.errors.InternalError, "cudnn": tf.errors.NotFoundError}
        texts = {"dst_tensor": "Dst tensor is not initialized.", "cudnn": "No algorithm worked!"}
        errors.append(kinds[form](None, None, texts[form]))
        raise errors[-1]

    with pytest.raises(tf.errors.OpError) as caught:
        run_in_batches(compute, 4, batch_size=4)
    assert caught.value is errors[0]
    assert len(errors) == 4


def test_a_suspect_error_after_a_certain_one_still_means_that_it_does_not_fit():
    import tensorflow as tf

    def compute(start, stop):
        if stop - start > 1:
            raise MemoryError
        raise tf.errors.InternalError(None, None, "Dst tensor is not initialized.")

    with pytest.raises(DoesNotFitError):
        run_in_batches(compute, 2, batch_size=2)


def test_exhausted_queues_are_not_memory():
    import tensorflow as tf

    def compute(start, stop):
        raise tf.errors.ResourceExhaustedError(None, None, "queue '_0_fifo' has insufficient elements")

    with pytest.raises(tf.errors.ResourceExhaustedError, match="insufficient elements"):
        run_in_batches(compute, 4, batch_size=4)


@pytest.mark.spec("CM-5.2")
def test_plans_from_the_cost_and_the_free_memory():
    memory = FixedMemory(1000)
    _, run = committed_by(squares, 40, cost=BatchCost(bytes_per_item=50, fixed_bytes=100), device=memory)
    assert run.batch_sizes == [16, 16, 8]
    assert run.plan.memory == memory()
    assert run.as_dict()["limiting_resource"] == "GPU:0 (fixed)"


def test_max_batch_size_limits_a_plan_and_a_given_size():
    cost = BatchCost(bytes_per_item=1)
    _, planned = committed_by(squares, 40, cost=cost, device=FixedMemory(1000), max_batch_size=15)
    _, given_size = committed_by(squares, 40, batch_size=20, max_batch_size=15)
    assert planned.batch_sizes == given_size.batch_sizes == [15, 15, 10]


def test_without_cost_or_statistics_takes_a_modest_size():
    items, run = committed_by(squares, 100, device=FixedMemory(1 << 30))
    assert items == squares(0, 100)
    assert run.batch_sizes == [1, 32, 32, 32, 3]
    assert run.plan.limited_by == "no_estimate"


def test_an_unknown_device_memory_takes_a_modest_size():
    def unknown():
        return DeviceMemory(
            device="GPU:0", total_bytes=None, free_bytes=0, usable_bytes=0, source=DeviceMemory.UNKNOWN
        )

    _, run = committed_by(squares, 70, cost=BatchCost(bytes_per_item=1 << 20), device=unknown)
    assert run.batch_sizes == [32, 32, 6]
    assert "GPU:0 is not known" in run.plan.reason


@pytest.mark.parametrize(
    ("bytes_per_item", "size"), [(1 << 20, 32), (64 << 10, 128), (60 << 10, 128), (8 << 10, 1024), (1, 1024)]
)
def test_an_estimated_cost_is_limited_on_the_host_but_a_given_one_is_not(bytes_per_item, size):
    host = FixedMemory(4 << 30, device="CPU")
    _, estimated = committed_by(
        squares, 2500, cost=BatchCost(bytes_per_item=bytes_per_item, source="estimated"), device=host
    )
    _, given_cost = committed_by(squares, 2500, cost=BatchCost(bytes_per_item=bytes_per_item), device=host)
    assert estimated.batch_sizes == [size] * (2500 // size) + [2500 % size]
    assert estimated.plan.limited_by == "host"
    assert f"; {size:,} on a CPU, where larger batches gain little" in estimated.plan.reason
    assert given_cost.batch_sizes == [2500]


@pytest.mark.parametrize(("kib", "size"), [(512, 128), (1024, 64), (4096, 32)])
def test_small_items_that_a_loop_goes_through_are_taken_more_at_a_time_on_the_host(kib, size):
    cost = BatchCost(bytes_per_item=kib << 10, source="estimated", in_turns=True)
    _, run = committed_by(squares, 300, cost=cost, device=FixedMemory(4 << 30, device="CPU"))
    assert run.batch_sizes[0] == size


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size is 0 but must be 1 or more"),
        ({"batch_size": "large"}, ValueError, "batch_size is 'large' but must be \"auto\""),
        ({"batch_size": 2.5}, TypeError, "batch_size is 2.5 but must be an integer"),
        ({"max_batch_size": 0}, ValueError, "max_batch_size is 0"),
        ({"usable_fraction": 1.5}, ValueError, "usable_fraction is 1.5"),
        ({"usable_fraction": 0}, ValueError, "usable_fraction is 0"),
    ],
)
def test_refuses_senseless_settings(changes, kind, message):
    with pytest.raises(kind, match=message):
        run_in_batches(squares, 4, **changes)
    with pytest.raises(ValueError, match="n_items is -1"):
        run_in_batches(squares, -1)


def test_numpy_integers_are_integers():
    _, run = committed_by(squares, np.int64(6), batch_size=np.int32(4))
    assert run.batch_sizes == [4, 2]


class Ticking:
    """A clock that moves on by one second at every reading."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        self.now_s += 1.0
        return self.now_s


def test_telemetry_tells_attempts_and_lost_seconds():
    with inject_oom(at=[1], form="memory_error"):
        run = run_in_batches(squares, 12, batch_size=4, clock=Ticking())
    told = run.as_dict()
    assert [
        (a["start"], a["stop"], a["batch_size"], a["n_batches"], a["outcome"]) for a in told["attempts"]
    ] == [
        (0, 4, 4, 1, "done"),
        (4, 8, 4, 1, "out_of_memory"),
        (4, 12, 2, 4, "done"),
    ]
    assert told["seconds_lost"] == 1.0
    assert (told["n_oom"], told["n_batches"], told["final_batch_size"]) == (1, 5, 2)
    assert told["attempts"][1]["error"].startswith("MemoryError: injected")


def test_any_number_of_equal_batches_takes_one_entry():
    run = run_in_batches(lambda start, stop: None, 200_000, commit=lambda *_: None, batch_size=1)
    assert len(run.attempts) == 1
    assert run.attempts[0].n_batches == 200_000


def test_the_log_tells_the_plan_and_each_halving(caplog):
    with caplog.at_level(logging.INFO), inject_oom(at=[0], form="memory_error"):
        run_in_batches(squares, 8, batch_size=8, label="stitching", progress=LogProgress())
    text = caplog.text
    assert "stitching: batch size 8 (given by the caller)" in text
    assert "stitching: out of memory at 8; going on from item 0 with 4 at a time" in text
    assert "stitching: batch size 8 → 4 (out of memory at 8)" in text
    assert "8/8 items" in text


# A collection takes a tenth of a second once TensorFlow is imported, and no memory is at stake here.
without_collections = mock.patch("autobatch._driver.gc.collect", new=int)


@without_collections
@settings(deadline=None)
@given(
    n_items=st.integers(0, 60),
    batch_size=st.integers(1, 80),
    failing=st.sets(st.integers(0, 40), max_size=12),
)
def test_every_item_is_committed_once_in_order_whatever_fails(n_items, batch_size, failing):
    committed = []
    n_expected = n_items
    with inject_oom(at=failing, form="memory_error"):
        try:
            run = run_in_batches(
                squares,
                n_items,
                commit=lambda start, stop, part: committed.extend(part),
                batch_size=batch_size,
            )
            sizes = run.batch_sizes
        except DoesNotFitError as error:
            n_expected, sizes = error.n_committed, None
    assert committed == squares(0, n_expected)
    assert sizes is None or sum(sizes) == n_items
    assert sizes is None or sorted(sizes, reverse=True) == sizes


@without_collections
@settings(deadline=None)
@given(limits=st.lists(st.integers(0, 9), max_size=40), batch_size=st.integers(1, 50))
def test_items_of_any_size_are_committed_up_to_the_first_that_does_not_fit(limits, batch_size):
    """Item i lets at most limits[i] items into a batch with it; 0 means that it never fits."""
    committed = []

    def compute(start, stop):
        if stop - start > min(limits[start:stop]):
            raise MemoryError
        return squares(start, stop)

    first_unfit = limits.index(0) if 0 in limits else len(limits)
    n_committed = len(limits)
    try:
        run_in_batches(
            compute,
            len(limits),
            commit=lambda start, stop, part: committed.extend(part),
            batch_size=batch_size,
        )
    except DoesNotFitError as error:
        n_committed = error.n_committed
    assert n_committed == first_unfit
    assert committed == squares(0, first_unfit)


def test_a_batch_that_takes_no_memory_is_planned_without_asking_for_any():
    def probe():
        raise AssertionError("nobody has to know what is free")

    plan = plan_batches(100, cost=BatchCost(bytes_per_item=0), device=probe, max_batch_size=64)
    assert (plan.batch_size, plan.limited_by) == (64, "max_batch_size")
    assert plan.reason == "a batch takes no memory of its own"


def test_a_mistake_in_a_handler_of_memory_errors_is_raised_as_itself():
    def compute(start, stop):
        try:
            raise MemoryError
        except MemoryError:
            return {}["spare"]

    with pytest.raises(KeyError, match="spare"):
        run_in_batches(compute, 4, batch_size=4)


def test_a_suspect_error_in_commit_passes_untouched():
    def commit(start, stop, result):
        try:
            raise MemoryError
        except MemoryError:
            return {}["spare"]

    with pytest.raises(KeyError, match="spare"):
        run_in_batches(squares, 4, commit=commit)


def test_the_reason_tells_usable_from_free():
    memory = DeviceMemory(
        device="CPU", total_bytes=None, free_bytes=3 << 30, usable_bytes=3 << 29, source="fixed"
    )
    plan = plan_batches(100, cost=BatchCost(bytes_per_item=1), device=lambda: memory)
    assert plan.reason.startswith("CPU usable 1.50 GiB of 3.00 GiB free × 0.9, at 1 B each")
