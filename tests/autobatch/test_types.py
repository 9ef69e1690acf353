"""Frozen results and their telemetry."""

import json

from autobatch import Attempt, BatchCost, BatchPlan, BatchRun, DeviceMemory
from autobatch._record import AttemptRecord
from autobatch._units import format_bytes


def attempt(start, stop, size, outcome="done", seconds=1.0):
    n_batches = -(-(stop - start) // size)
    return Attempt(
        start=start, stop=stop, batch_size=size, n_batches=n_batches, outcome=outcome, seconds=seconds
    )


def make_run():
    memory = DeviceMemory(
        device="GPU:1", total_bytes=100, free_bytes=60, usable_bytes=50, source="NVML", notes=("x",)
    )
    plan = BatchPlan(
        batch_size=8,
        reason="because",
        limited_by="memory",
        predicted_peak_bytes=41,
        cost=BatchCost(bytes_per_item=5, fixed_bytes=1),
        memory=memory,
    )
    attempts = (
        attempt(0, 16, 8),
        attempt(16, 24, 8, "out_of_memory", 10.5),
        attempt(16, 20, 4),
        attempt(20, 23, 3),
    )
    return BatchRun(n_items=23, plan=plan, attempts=attempts, seconds=14.0, measured_peak_bytes=55)


def test_sizes_are_told_with_and_without_failures():
    run = make_run()
    assert run.batch_sizes == [8, 8, 4, 3]
    assert run.attempted_sizes == [8, 8, 8, 4, 3]
    assert run.final_batch_size == 4
    assert (run.n_oom, run.seconds_lost) == (1, 10.5)


def test_telemetry_is_json_and_complete():
    told = make_run().as_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["limiting_resource"] == "GPU:1 (NVML)"
    assert (told["predicted_peak_bytes"], told["measured_peak_bytes"]) == (41, 55)
    assert told["cost"]["source"] == "given"
    assert told["memory"]["usable_bytes"] == 50
    assert (told["planned_batch_size"], told["final_batch_size"], told["n_batches"]) == (8, 4, 4)


def test_used_memory_is_known_where_the_total_is():
    known = DeviceMemory(device="CPU", total_bytes=10, free_bytes=4, usable_bytes=2, source="test")
    unknown = DeviceMemory(device="CPU", total_bytes=None, free_bytes=4, usable_bytes=2, source="test")
    assert (known.used_bytes, unknown.used_bytes) == (6, None)


def test_the_record_joins_equal_neighbours_and_charges_each_its_time():
    now_s = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    record = AttemptRecord(lambda: next(now_s))
    record.finished(0, 4)
    record.finished(4, 8)
    record.failed(8, 12, "full")
    record.finished(8, 10)
    told = [(a.start, a.stop, a.n_batches, a.outcome, a.seconds) for a in record.attempts()]
    assert told == [(0, 8, 2, "done", 3.0), (8, 12, 1, "out_of_memory", 3.0), (8, 10, 1, "done", 4.0)]


def test_byte_counts_read_well():
    assert [format_bytes(n) for n in (0, 999, 1000, 1023, 20_240_000, 75_269_000_000, 5 << 50)] == [
        "0 B",
        "999 B",
        "0.98 KiB",
        "1.00 KiB",
        "19.3 MiB",
        "70.1 GiB",
        "5120 TiB",
    ]
