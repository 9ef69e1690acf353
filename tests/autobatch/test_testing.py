"""The helpers for users' tests do what their documentation says."""

import doctest

import pytest

from autobatch import is_out_of_memory, run_in_batches, testing
from autobatch.testing import FixedMemory, inject_oom


def nothing(start, stop):
    return None


def test_the_example_in_the_documentation_runs():
    failed, attempted = doctest.testmod(testing)
    assert failed == 0
    assert attempted == 4


def test_calls_are_counted_over_all_runs_and_retries():
    with inject_oom(at=[1, 4], form="memory_error") as faults:
        first = run_in_batches(nothing, 8, batch_size=4)
        second = run_in_batches(nothing, 4, batch_size=4)
    assert first.attempted_sizes == [4, 4, 2, 2]
    assert second.attempted_sizes == [4, 2, 2]
    assert (faults.n_calls, faults.n_injected) == (7, 2)


def test_the_first_calls_can_be_left_out():
    with inject_oom(at=[0], skip=2, form="memory_error"):
        run = run_in_batches(nothing, 10, batch_size=4)
    assert run.attempted_sizes == [4, 4, 2, 1, 1]


def test_one_of_two_nested_runs_can_be_chosen():
    inner_sizes = []

    def commit(start, stop, result):
        inner_sizes.append(run_in_batches(nothing, 4, batch_size=4, label="inner").attempted_sizes)

    with inject_oom(at=[1], form="memory_error", label="inner"):
        outer = run_in_batches(nothing, 9, commit=commit, batch_size=3, label="outer")
    assert outer.attempted_sizes == [3, 3, 3]
    assert inner_sizes == [[4], [4, 2, 2], [4]]


def test_blocks_add_up_and_end():
    with (
        inject_oom(at=[0], form="memory_error", label="a"),
        inject_oom(at=[0], form="memory_error", label="b"),
    ):
        assert run_in_batches(nothing, 2, batch_size=2, label="a").n_oom == 1
        assert run_in_batches(nothing, 2, batch_size=2, label="b").n_oom == 1
    assert run_in_batches(nothing, 2, batch_size=2, label="a").n_oom == 0


@pytest.mark.parametrize("form", ["resource_exhausted", "xla", "dst_tensor", "cudnn", "memory_error"])
def test_every_form_is_the_real_class(form):
    error = testing._error_factory(form)(16)
    assert is_out_of_memory(error)
    assert type(error).__module__.startswith("tensorflow") is (form != "memory_error")


def test_an_unknown_form_is_refused():
    with (
        pytest.raises(ValueError, match="form is 'segfault' but must be one of"),
        inject_oom(at=[0], form="segfault"),
    ):
        pass


def test_a_fixed_memory_is_a_device():
    memory = FixedMemory(10, total_bytes=30, device="CPU")()
    assert (memory.free_bytes, memory.usable_bytes, memory.used_bytes, memory.is_host) == (10, 10, 20, True)
