"""Sizes remembered between runs."""

import json
import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest

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
    run(memo, at=[0], batch_size=24)
    (entry,) = json.loads((tmp_path / "memo.json").read_text())["entries"].values()
    assert (entry["good"], entry["bad"]) == (16, 24)


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
    assert memo.recall(FixedMemory(usable_bytes)()) == 16


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
