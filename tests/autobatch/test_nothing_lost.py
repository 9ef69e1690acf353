"""Whatever ends a run, what is finished is at hand, nothing else outlives the error, and the run can go on."""

import copy
import gc
import logging
import os
import signal
import sys
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from autobatch import (
    BatchCost,
    CommitOutOfMemoryError,
    DoesNotFitError,
    ResultLengthError,
    StoppedError,
    _driver,
    progress_of,
    run_in_batches,
    stop_on_signal,
)
from autobatch.testing import FixedMemory, inject_oom


def rows(start, stop):
    return np.arange(start, stop)


def failing_at(item, error, largest=None):
    def compute(start, stop):
        if start <= item < stop and (largest is None or stop - start > largest):
            raise error
        return rows(start, stop)

    return compute


class Tensor:
    """Stands for a tensor on a device."""

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def numpy(self):
        return self.values.copy()


def test_results_without_a_commit_are_brought_to_the_host_batch_by_batch():
    alive = []

    def compute(start, stop):
        assert [tensor() for tensor in alive] == [None] * len(alive)
        tensor = Tensor(rows(start, stop))
        alive.append(weakref.ref(tensor))
        return {"a": tensor, "b": [tensor, 7]}

    run = run_in_batches(compute, 6, batch_size=2)
    assert all(type(part["a"]) is np.ndarray and type(part["b"][0]) is np.ndarray for part in run.outputs)
    assert np.concatenate([part["a"] for part in run.outputs]).tolist() == list(range(6))
    assert run.outputs[0]["b"][1] == 7


def test_tensorflows_memory_is_not_lent_to_the_outputs():
    import tensorflow as tf

    run = run_in_batches(lambda start, stop: np.asarray(tf.range(start, stop)), 4, batch_size=2)
    assert [part.base for part in run.outputs] == [None, None]


def test_with_a_commit_the_result_is_handed_over_as_it_is():
    seen = []
    tensor = Tensor(rows(0, 2))
    run_in_batches(lambda *_: tensor, 2, batch_size=2, commit=lambda start, stop, result: seen.append(result))
    assert seen == [tensor]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("bad"), MemoryError("full"), SystemExit(3)]
)
def test_every_error_tells_what_is_finished(error):
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        run_in_batches(failing_at(5, error), 9, batch_size=2)
    run = progress_of(caught.value)
    assert np.concatenate(run.outputs).tolist() == list(range(run.n_done))
    assert (run.n_done, run.stopped_at, run.is_finished, run.interrupted) == (
        (5, 5, False, None) if isinstance(error, MemoryError) else (4, 4, False, None)
    )
    assert run.as_dict()["stopped_at"] == run.n_done


def test_an_error_that_ended_no_run_tells_nothing():
    assert progress_of(ValueError()) is None


def test_a_run_is_resumed_where_it_ended_and_counts_as_one():
    with pytest.raises(ValueError, match="bad") as caught:
        run_in_batches(failing_at(5, ValueError("bad")), 9, batch_size=2, start=1)
    run = progress_of(caught.value).resume(rows)
    assert np.concatenate(run.outputs).tolist() == list(range(1, 9))
    assert (run.start, run.n_done, run.n_items, run.is_finished) == (1, 9, 9, True)
    assert run.batch_sizes == [2, 2, 2, 2]
    assert run.resume() is run


def test_what_was_finished_before_is_not_lost_when_resuming_fails_too():
    with pytest.raises(ValueError, match="bad") as caught:
        run_in_batches(failing_at(5, ValueError("bad")), 9, batch_size=2)
    with pytest.raises(KeyboardInterrupt) as again:
        progress_of(caught.value).resume(failing_at(7, KeyboardInterrupt()), batch_size=1)
    run = progress_of(again.value)
    assert np.concatenate(run.outputs).tolist() == list(range(7))
    assert np.concatenate(run.resume(rows).outputs).tolist() == list(range(9))


def _interrupted_at_line(number):
    """Return what a run has done when Ctrl-C comes at its `number`-th line in the driver; None if it has fewer."""
    file, seen = _driver.__file__, []

    def trace(frame, event, argument):
        # What begins and ends the run has no results yet, or has handed them over.
        if frame.f_code.co_filename != file or frame.f_code.co_name in ("__init__", "run", "_as_run"):
            return None
        if event == "line":
            seen.append(frame.f_lineno)
            if len(seen) == number:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run_in_batches(rows, 5, batch_size=2)
    except KeyboardInterrupt as error:
        return progress_of(error)
    finally:
        sys.settrace(before)
    return None


def test_ctrl_c_at_any_line_loses_and_repeats_nothing():
    number = 1
    while (run := _interrupted_at_line(number)) is not None:
        assert sum(len(part) for part in run.outputs) == run.n_done, number
        assert np.concatenate(run.resume(rows).outputs).tolist() == list(range(5)), number
        number += 1
    assert number > 40


@pytest.mark.parametrize(("repeats", "expected"), [(True, [0, 1, 2, 3, 2, 3, 4]), (False, [0, 1, 2, 3, 4])])
def test_an_interrupted_commit_is_repeated_only_if_the_caller_says_so(repeats, expected):
    committed, has_failed = [], []

    def commit(start, stop, result):
        committed.extend(result.tolist())
        if start == 2 and not has_failed:
            has_failed.append(True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_in_batches(rows, 5, commit=commit, batch_size=2)
    run = progress_of(caught.value)
    assert (run.n_done, run.interrupted) == (2, (2, 4))
    with pytest.raises(ValueError, match=r"items 2 to 3 was interrupted .* pass repeat_interrupted=True"):
        run.resume()
    run.resume(repeat_interrupted=repeats)
    assert committed == expected


def test_a_copy_in_another_process_says_where_to_start():
    with pytest.raises(ValueError, match="bad") as caught:
        run_in_batches(failing_at(3, ValueError("bad")), 5, batch_size=1)
    # What is sent to another process goes the same way.
    sent = progress_of(copy.deepcopy(caught.value))
    assert (sent.n_done, sent.outputs) == (3, [])
    with pytest.raises(ValueError, match="start=3"):
        sent.resume()


def test_start_leaves_what_is_done_alone():
    run = run_in_batches(rows, 7, batch_size=100, start=4)
    assert [part.tolist() for part in run.outputs] == [[4, 5, 6]]
    assert run_in_batches(rows, 7, start=7).outputs == []
    with pytest.raises(ValueError, match="start is 8 but there are 7 items"):
        run_in_batches(rows, 7, start=8)


def test_nested_runs_are_told_apart_by_label():
    def commit(start, stop, result):
        run_in_batches(failing_at(1, ValueError("bad")), 3, batch_size=1, label="inner")

    with pytest.raises(ValueError, match="bad") as caught:
        run_in_batches(rows, 4, commit=commit, batch_size=4, label="outer")
    assert progress_of(caught.value).n_items == 4
    assert progress_of(caught.value, label="inner").n_done == 1


def test_items_that_fail_by_themselves_are_skipped_and_named(caplog):
    calls = []

    def compute(start, stop):
        calls.append((start, stop))
        if start <= 11 < stop:
            raise ValueError("bad pixel")
        return rows(start, stop)

    committed = []
    run = run_in_batches(
        compute,
        40,
        commit=lambda start, stop, part: committed.extend(part.tolist()),
        batch_size=16,
        on_error="skip",
    )
    assert committed == [item for item in range(40) if item != 11]
    assert [(skipped.item, skipped.error) for skipped in run.skipped] == [(11, "ValueError: bad pixel")]
    assert run.as_dict()["skipped"] == [{"item": 11, "error": "ValueError: bad pixel"}]
    assert len(calls) <= 11
    assert run.batch_sizes[-2:] == [16, 12]
    assert "item 11 is skipped: ValueError: bad pixel" in caplog.text


def test_an_item_that_does_not_fit_can_be_skipped_and_the_size_comes_back():
    run = run_in_batches(failing_at(10, MemoryError("huge")), 31, batch_size=4, on_error="skip")
    assert np.concatenate(run.outputs).tolist() == [item for item in range(31) if item != 10]
    assert run.batch_sizes[-1] == 4
    assert run.skipped[0].error == "MemoryError: huge"


def test_a_result_of_the_wrong_length_is_no_items_fault():
    with pytest.raises(ResultLengthError):
        run_in_batches(lambda start, stop: np.zeros(3), 8, batch_size=2, on_error="skip")


@pytest.mark.parametrize("commit", [None, lambda *_: None])
def test_a_result_with_twice_the_rows_is_refused(commit):
    with pytest.raises(ResultLengthError, match=r"items 0 to 3 are 4, but what came back has 8 rows"):
        run_in_batches(
            lambda start, stop: [np.zeros((2 * (stop - start), 3))], 9, batch_size=4, commit=commit
        )


def test_results_that_are_not_rows_are_allowed_on_request():
    run = run_in_batches(lambda *_: np.zeros(3), 8, batch_size=4, check_length=False)
    assert len(run.outputs) == 2


def test_nothing_outlives_the_error_without_a_collection():
    outputs, tensors = [], []

    class Array(np.ndarray):
        """Can be referred to weakly."""

    def compute(start, stop):
        result = rows(start, stop).view(Array)
        if start == 4:
            tensors.append(weakref.ref(result))
            raise MemoryError("full")
        outputs.append(weakref.ref(result))
        return result

    def attempt():
        with pytest.raises(DoesNotFitError) as caught:
            run_in_batches(compute, 9, batch_size=2)
        assert [reference() for reference in tensors] == [None] * 3
        assert progress_of(caught.value).n_done == 4
        del caught  # which the frame in the error's traceback would hold

    gc.collect()
    gc.disable()
    try:
        attempt()
        assert [reference() for reference in outputs] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["suspected", "commit"])
def test_the_other_ends_of_a_run_leave_no_cycle_either(kind):
    import tensorflow as tf

    alive = []

    class Marker:
        pass

    def compute(start, stop):
        marker = Marker()
        alive.append(weakref.ref(marker))
        if kind == "suspected":
            raise tf.errors.InternalError(None, None, "Dst tensor is not initialized.")
        return marker

    def commit(start, stop, result):
        raise MemoryError

    def attempt():
        with pytest.raises((tf.errors.InternalError, CommitOutOfMemoryError)):
            run_in_batches(compute, 2, commit=commit, batch_size=2)

    gc.collect()
    gc.disable()
    try:
        attempt()
        assert [reference() for reference in alive] == [None] * len(alive)
    finally:
        gc.enable()


def test_one_item_is_tried_once_more_after_a_collection():
    tries = []

    def compute(start, stop):
        tries.append((start, stop))
        if len(tries) == 2:
            raise MemoryError("somebody else's, for a moment")
        return rows(start, stop)

    run = run_in_batches(compute, 2, batch_size=1)
    assert tries == [(0, 1), (1, 2), (1, 2)]
    assert run.n_oom == 1


def test_memory_that_runs_out_behind_an_asynchronous_result_leads_to_a_smaller_batch():
    class Lazy:
        def __init__(self, n_items):
            self.n_items = n_items

        def block_until_ready(self):
            if self.n_items > 2:
                raise MemoryError("only now")

    def submitted(start, stop):
        future = Future()
        if stop - start > 2:
            future.set_exception(MemoryError("only now"))
        else:
            future.set_result(None)
        return future

    for compute in (lambda start, stop: Lazy(stop - start), submitted):
        run = run_in_batches(compute, 8, commit=lambda *_: None, batch_size=4)
        assert run.attempted_sizes == [4, 2, 2, 2, 2]


def test_memory_that_runs_out_on_the_way_to_the_host_leads_to_a_smaller_batch():
    class Lazy(Tensor):
        def numpy(self):
            if len(self.values) > 2:
                raise MemoryError("only now")
            return self.values

    run = run_in_batches(lambda start, stop: Lazy(rows(start, stop)), 8, batch_size=4)
    assert run.attempted_sizes == [4, 2, 2, 2, 2]


def test_tensorflow_in_asynchronous_mode_is_waited_for():
    import tensorflow as tf

    def compute(start, stop):
        # An error that TensorFlow raises from the thread that computes.
        tf.debugging.assert_less(tf.constant(stop - start), 3)
        return tf.constant(start)

    tf.config.experimental.set_synchronous_execution(False)
    try:
        run = run_in_batches(
            compute,
            6,
            commit=lambda *_: None,
            batch_size=4,
            is_oom=lambda error: isinstance(error, tf.errors.InvalidArgumentError),
        )
    finally:
        tf.config.experimental.set_synchronous_execution(True)
    assert run.attempted_sizes == [4, 2, 2, 2]


class Broken:
    """A display that fails at a chosen call."""

    def __init__(self, method):
        self.method, self.calls = method, []

    def __getattr__(self, name):
        def call(*_):
            self.calls.append(name)
            if name == self.method:
                raise OSError("the terminal is gone")
            return self

        return call

    def __enter__(self):
        return self.__getattr__("enter")()

    def __exit__(self, *_):
        self.__getattr__("exit")()


@pytest.mark.parametrize("method", ["stage", "enter", "advance", "batch_size", "memory", "exit"])
def test_a_display_that_fails_costs_one_warning_and_not_the_run(method, caplog):
    display = Broken(method)
    run = run_in_batches(rows, 6, batch_size=2, progress=display)
    assert np.concatenate(run.outputs).tolist() == list(range(6))
    warnings = [message for message in caplog.messages if "the terminal is gone" in message]
    assert len(warnings) == 1
    assert display.calls.count(method) == 1 or method == "exit"


def test_a_probe_that_fails_costs_one_warning_and_not_the_run(caplog):
    def probe():
        raise OSError("no such device")

    run = run_in_batches(rows, 70, cost=BatchCost(bytes_per_item=1), device=probe)
    assert run.batch_sizes == [32, 32, 6]
    assert run_in_batches(rows, 70, cost=BatchCost(bytes_per_item=1), device=lambda: None).n_done == 70
    assert sum("cannot be read" in message for message in caplog.messages) == 2


@pytest.mark.parametrize("method", ["recall", "record"])
def test_a_memo_that_fails_costs_one_warning_and_not_the_run(method, caplog):
    def broken(*_):
        raise RuntimeError("the disk is gone")

    memo = SimpleNamespace(recall=lambda *_: None, record=lambda *_: None, path="memo.json")
    setattr(memo, method, broken)
    run = run_in_batches(rows, 6, memo=memo, cost=BatchCost(bytes_per_item=1), device=FixedMemory(100))
    assert run.n_done == 6
    assert sum("the disk is gone" in message for message in caplog.messages) == 1


def test_a_fault_can_be_injected_into_other_threads():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # the thread is older than the fault
        with inject_oom(at=[0], form="memory_error") as faults:
            run = pool.submit(run_in_batches, rows, 4, batch_size=4).result()
    assert (run.attempted_sizes, faults.n_injected) == ([4, 2, 2], 1)


def test_a_fault_can_be_injected_after_the_work():
    calls = []

    def compute(start, stop):
        calls.append((start, stop))
        return rows(start, stop)

    with inject_oom(at=[0], form="memory_error", when="after"):
        run_in_batches(compute, 4, batch_size=4)
    assert calls == [(0, 4), (0, 2), (2, 4)]
    with pytest.raises(ValueError, match="when is 'later'"), inject_oom(at=[0], when="later"):
        pass


def test_a_signal_ends_the_run_after_the_batch_in_hand():
    committed = []
    before = signal.getsignal(signal.SIGTERM)

    def compute(start, stop):
        if start == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return rows(start, stop)

    with pytest.raises(StoppedError) as caught, stop_on_signal():
        run_in_batches(compute, 9, commit=lambda start, stop, part: committed.extend(part), batch_size=2)
    assert committed == list(range(6))
    assert (caught.value.code, progress_of(caught.value).n_done) == (143, 6)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_does_not_wait_and_runs_in_threads_hear_the_first():
    errors = []

    def work():
        os.kill(os.getpid(), signal.SIGUSR1)
        with ThreadPoolExecutor(1) as pool:
            errors.append(pool.submit(run_in_batches, rows, 4).exception())
        os.kill(os.getpid(), signal.SIGUSR1)
        errors.append("the second signal must raise")

    with pytest.raises(StoppedError), stop_on_signal(signal.SIGUSR1):
        work()
    assert [type(error) for error in errors] == [StoppedError]


def test_signals_are_asked_for_in_the_main_thread_only():
    errors = []

    def enter():
        try:
            with stop_on_signal():
                pass
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "main thread only" in errors[0]


def test_the_import_brings_nothing_but_the_door():
    import subprocess

    code = "import sys; n = set(sys.modules); import autobatch; print(*sorted(set(sys.modules) - n))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in run.stdout.split() if name.startswith("autobatch.")] == []


def test_progress_is_logged_without_a_total(caplog):
    from autobatch import LogProgress

    with caplog.at_level(logging.INFO), LogProgress().stage("stream", None) as stage:
        stage.advance(5)
    assert "an unknown number of items to do" in caplog.text
    assert "5 items" in caplog.text
