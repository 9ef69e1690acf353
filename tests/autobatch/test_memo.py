"""Sizes remembered between runs."""

import json
import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autobatch import BatchCost, BatchMemo, DeviceMemory, run_in_batches
from autobatch.testing import FixedMemory, inject_oom

MEMORY = FixedMemory(1000)


def nothing(start, stop):
    return None


def run(memo, n_items=64, *, device=MEMORY, at=(), **settings):
    with inject_oom(at=at, form="memory_error"):
        return run_in_batches(nothing, n_items, memo=memo, device=device, **settings)


def test_a_size_that_survived_an_oom_is_taken_the_next_time(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    assert run(memo, at=[0], batch_size=32).attempted_sizes[:2] == [32, 16]
    again = run(memo)
    assert again.batch_sizes == [16] * 4
    assert again.plan.limited_by == "memo"
    assert "memo.json" in again.plan.reason


def test_a_size_planned_against_the_memory_is_remembered_without_planning_again(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    run(memo, cost=BatchCost(bytes_per_item=100))
    assert run(memo).batch_sizes == [8] * 8


def test_a_size_limited_by_the_number_of_items_is_no_limit(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    run(memo, 5, cost=BatchCost(bytes_per_item=1))
    assert memo.recall(MEMORY()) is None


@pytest.mark.parametrize(
    ("free_bytes", "recalled"), [(1000, 16), (960, 16), (900, None), (1400, 16), (1600, None)]
)
def test_nothing_is_recalled_when_the_free_memory_has_changed(tmp_path, free_bytes, recalled):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    run(memo, at=[0], batch_size=32)
    assert memo.recall(FixedMemory(free_bytes)()) == recalled


def test_key_shape_dtype_and_device_are_kept_apart(tmp_path):
    path = tmp_path / "memo.json"
    frames = np.zeros((7, 64, 48, 1), np.float32)
    run(BatchMemo(path, "pinn", items=[frames]), at=[0], batch_size=32)
    assert BatchMemo(path, "pinn", items=[frames[:2]]).recall(MEMORY()) == 16
    for other in (
        BatchMemo(path, "baseline", items=[frames]),
        BatchMemo(path, "pinn", items=[frames.astype(np.float64)]),
        BatchMemo(path, "pinn", items=[frames[:, :32]]),
        BatchMemo(path, "pinn"),
    ):
        assert other.recall(MEMORY()) is None
    card = replace(MEMORY(), uuid="GPU-1234")
    assert BatchMemo(path, "pinn", items=[frames]).recall(card) is None


def test_the_smallest_failure_and_the_largest_success_are_kept(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    run(memo, at=[0], batch_size=32)
    run(memo, batch_size=8)
    assert entry_of(memo) | {"good": 16, "bad": 32, "wanted": 32} == entry_of(memo)


def entry_of(memo):
    (entry,) = json.loads(memo.path.read_text())["entries"].values()
    return entry


def shortage(memo, *, fits, n_items=480, **settings):
    """Run with a device on which `fits` items fit at once; return the sizes that were tried."""

    def compute(start, stop):
        if stop - start > fits:
            raise MemoryError

    return run_in_batches(compute, n_items, memo=memo, device=MEMORY, **settings).attempted_sizes


@pytest.mark.parametrize("settings", [{"batch_size": 48}, {"cost": BatchCost(bytes_per_item=18)}])
def test_a_shortage_that_passes_is_not_kept_for_ever(tmp_path, settings):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    first = shortage(memo, fits=6, **settings)
    assert (first[0], first[-1]) == (48, 6)
    sizes = [shortage(memo, fits=48, **settings)[0] for _ in range(5)]
    assert sizes == [6, 12, 24, 48, 48]


def test_a_shortage_that_stays_is_met_more_and_more_rarely(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    tried = [shortage(memo, fits=6, n_items=12, batch_size=12)[0] for _ in range(20)]
    failed = [run for run, size in enumerate(tried) if size > 6]
    assert failed == [0, 2, 5, 10, 19]


def test_with_a_given_size_what_failed_is_not_tried_at_once_again(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    assert shortage(memo, fits=20, n_items=64, batch_size=32)[:2] == [32, 16]
    assert shortage(memo, fits=20, n_items=64, batch_size=32) == [16] * 4
    # A smaller one is still the upper limit.
    assert set(shortage(memo, fits=20, n_items=64, batch_size=4)) == {4}


ODD_ENTRIES = [
    {"good": 12.5, "bad": None, "usable_bytes": 1000},
    {"good": True, "bad": None, "usable_bytes": 1000},
    {"good": 0, "bad": None, "usable_bytes": 1000},
    {"good": -3, "bad": 5, "usable_bytes": 1000},
    {"good": "16", "bad": None, "usable_bytes": 1000},
    {"good": 16, "bad": [], "usable_bytes": 1000},
    {"good": 16, "bad": None, "usable_bytes": float("nan")},
    {"good": 10**30, "bad": None, "usable_bytes": 1000},
    {"good": 16, "bad": None, "usable_bytes": 1000, "n_waits": -1},
    {"good": 16},
    [],
    None,
]


@pytest.mark.parametrize("entry", ODD_ENTRIES)
def test_an_entry_that_no_run_has_written_counts_as_not_there(tmp_path, entry):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    key = memo._full_key(MEMORY())
    memo.path.write_text(json.dumps({"schema": "autobatch-memo-1", "entries": {key: entry}}))
    assert memo.recall(MEMORY()) is None
    assert sum(run(memo, 10, at=[0], batch_size=4).batch_sizes) == 10
    assert memo.recall(MEMORY()) == 2
    memo.path.write_text(json.dumps({"schema": "autobatch-memo-1", "entries": {key: entry}}))
    with pytest.raises(ValueError, match="is no memo of batch sizes"):
        memo.check()


def test_a_memo_of_an_earlier_version_is_read(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    entry = {"good": 16, "bad": 32, "usable_bytes": 1000}
    entries = {memo._full_key(MEMORY()): entry}
    memo.path.write_text(json.dumps({"schema": "autobatch-memo-1", "entries": entries}))
    assert memo.recall(MEMORY()) == 16


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.integers(0, 99) for name in ("good", "bad", "usable_bytes", "wanted", "n_waits", "x")
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=20)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.tuples(ENTRY, JSON).map(
        lambda pair: json.dumps(
            {"schema": "autobatch-memo-1", "entries": {"KEY": pair[0], "x": pair[1]}}
        ).encode()
    )
    | st.sampled_from([b"[" * 100_000, b'{"schema":' * 50_000, b"9" * 5000, b"\xff\xfe"])
)
def test_whatever_a_memo_holds_nothing_is_raised(tmp_path_factory, content):
    memo = BatchMemo(tmp_path_factory.mktemp("memo") / "memo.json", "pinn")
    memo.path.write_bytes(content.replace(b"KEY", json.dumps(memo._full_key(MEMORY()))[1:-1].encode()))
    recalled = memo.recall(MEMORY())
    assert recalled is None or recalled >= 1
    assert sum(run(memo, 9, at=[0], batch_size=4).batch_sizes) == 9


def test_a_pipe_is_no_memo(tmp_path):
    os.mkfifo(tmp_path / "memo.json")
    assert BatchMemo(tmp_path / "memo.json", "pinn").recall(MEMORY()) is None


def test_a_name_that_no_file_can_have_costs_a_warning(tmp_path, caplog):
    assert run(BatchMemo("memo\0.json", "pinn"), at=[0], batch_size=4).n_oom == 1
    assert "cannot be remembered" in caplog.text


def test_its_arguments_are_checked(tmp_path):
    with pytest.raises(TypeError, match="key is 7 but must be a text"):
        BatchMemo(tmp_path / "memo.json", 7)
    with pytest.raises(TypeError, match="items holds a list but must hold arrays"):
        BatchMemo(tmp_path / "memo.json", "pinn", items=[[1, 2]])


def test_a_newer_failure_below_a_remembered_size_wins(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    run(memo, at=[0], batch_size=32)
    run(memo, at=[0, 1], batch_size=16)
    assert memo.recall(MEMORY()) == 4


def test_a_file_that_is_something_else_is_left_alone(tmp_path, caplog):
    path = tmp_path / "results.json"
    path.write_text('{"precious": 1}')
    assert run(BatchMemo(path, "pinn"), at=[0], batch_size=32).n_oom == 1
    assert path.read_text() == '{"precious": 1}'
    assert "it is no memo of batch sizes" in caplog.text


@pytest.mark.parametrize("content", ['{"precious": 1}', "[]", "\x93NUMPY", '{"schema": "other"}'])
def test_a_check_names_a_file_that_is_something_else(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"results\.json is no memo of batch sizes .*; pass a new name"):
        BatchMemo(path, "pinn").check()
    assert path.read_text(encoding="latin-1") == content


def test_a_check_passes_a_new_and_a_used_file(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    memo.check()
    run(memo, at=[0], batch_size=32)
    memo.check()


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
    memo = BatchMemo(tmp_path / "missing" / "memo.json", "pinn")
    assert run(memo, at=[0], batch_size=32).n_oom == 1
    assert "cannot be remembered" in caplog.text


def test_sizes_of_a_run_that_ended_with_an_error_are_remembered(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")

    def compute(start, stop):
        if stop - start > 4:
            raise MemoryError
        if start >= 8:
            raise ValueError("bad frame")

    with pytest.raises(ValueError, match="bad frame"):
        run_in_batches(compute, 64, batch_size=8, memo=memo, device=MEMORY)
    assert memo.recall(MEMORY()) == 4


def record_many(path, name):
    memory = DeviceMemory(device="GPU:0", total_bytes=9, free_bytes=9, usable_bytes=9, source="fixed")
    for index in range(20):
        run(BatchMemo(path, f"{name}-{index}"), 8, at=[0], batch_size=4, device=lambda: memory)


def test_two_processes_lose_none_of_each_others_entries(tmp_path):
    path = tmp_path / "memo.json"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=record_many, args=(path, name)) for name in ("left", "right")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(json.loads(path.read_text())["entries"]) == 40
    assert sorted(file.name for file in tmp_path.iterdir()) == ["memo.json", "memo.json.lock"]


def test_small_runs_do_not_keep_a_large_size_alive_while_memory_shrinks(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    run(memo, at=[0], batch_size=32)
    usable_bytes = 1000
    for _ in range(3):
        usable_bytes = int(usable_bytes * 0.97)
        run(memo, 2, device=FixedMemory(usable_bytes), cost=BatchCost(bytes_per_item=1))
    assert memo.recall(FixedMemory(usable_bytes)()) is None
    run(memo, device=FixedMemory(955))
    # 16 went well once more, so that a larger one is tried.
    assert memo.recall(FixedMemory(usable_bytes)()) == 32


def test_the_file_has_the_mode_of_any_new_file_and_then_keeps_its_own(tmp_path):
    memo = BatchMemo(tmp_path / "memo.json", "pinn")
    before = os.umask(0o027)
    try:
        run(memo, at=[0], batch_size=32)
        modes = [memo.path.stat().st_mode & 0o777]
        memo.path.chmod(0o604)
        run(memo, at=[0], batch_size=24)
        modes.append(memo.path.stat().st_mode & 0o777)
    finally:
        os.umask(before)
    assert modes == [0o640, 0o604]
