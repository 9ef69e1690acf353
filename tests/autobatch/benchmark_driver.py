"""What the driver itself costs: run with ``pytest -m benchmark tests/autobatch/benchmark_driver.py``."""

import pytest

from autobatch import run_in_batches

N_BATCHES = 20_000
LARGEST_OVERHEAD_S = 20e-6


def nothing(start, stop):
    return None


def keep(start, stop, result):
    return None


@pytest.mark.benchmark
def test_the_driver_adds_less_than_20_microseconds_a_batch(benchmark):
    run = benchmark(run_in_batches, nothing, N_BATCHES, commit=keep, batch_size=1)
    assert run.attempts[0].n_batches == N_BATCHES
    per_batch_s = benchmark.stats.stats.min / N_BATCHES
    benchmark.extra_info["microseconds_per_batch"] = round(per_batch_s * 1e6, 2)
    assert per_batch_s < LARGEST_OVERHEAD_S


@pytest.mark.benchmark
def test_a_short_run_starts_quickly_so_that_it_can_be_nested_in_another(benchmark):
    benchmark(run_in_batches, nothing, 1, commit=keep, batch_size=1, device="cpu")
    assert benchmark.stats.stats.min < 1e-3
