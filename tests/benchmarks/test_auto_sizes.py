"""Speed of planned batch sizes against fixed ones, and the driver's own cost: a part of docs/benchmarks.md."""

from __future__ import annotations

import math
import time

import pytest
from benchmarks.report import machine, replace_part
from benchmarks.scans import Case, patches_of, positions_of
from capped_work import CROP_SIZE, Prediction

from autobatch import run_in_batches

pytestmark = [
    pytest.mark.benchmark,
    # TensorFlow warns about matters of its own.
    pytest.mark.filterwarnings("default"),
]
LEAST_SHARE_OF_BEST = 0.95
LARGEST_OVERHEAD_S = 20e-6
N_BATCHES = 20_000
N_FRAMES = 256
SCAN = Case(10_304, 64, 20, 84)
FRAME_SIZES = (4, 8, 16, 32, 64, 128, 256)
PATCH_SIZES = (16, 64, 256, 1_024, 4_096, 10_304)


def best_seconds(seconds_of, sizes, *, rounds: int) -> dict:
    """Return the best time of each size; the rounds are interleaved, so that a busy moment hits all sizes alike."""
    best = dict.fromkeys(sizes, math.inf)
    for size in sizes:
        seconds_of(size)  # tracing and first touch
    for _ in range(rounds):
        for size in sizes:
            best[size] = min(best[size], seconds_of(size))
    return best


def inference_seconds(n_frames: int = N_FRAMES):
    """Return a function of the batch size: seconds in the batches of the PINN, stitching included."""
    from ptycho.reconstruction import InferenceSettings, reconstruct

    work = Prediction("pinn", n_frames)

    def seconds_of(size) -> float:
        run = reconstruct(
            work.model, work.scan, InferenceSettings(crop_size=CROP_SIZE, predict_batch_size=size)
        )
        return run.prediction.seconds

    return seconds_of


def stitching_seconds(backend: str, scan: Case = SCAN):
    """Return a function of the batch size: seconds to stitch all patches."""
    from ptycho.stitching import stitch_patches

    patches, offsets_xy = patches_of(scan), positions_of(scan, "random")[:, ::-1]

    def seconds_of(size) -> float:
        began = time.perf_counter()
        stitch_patches(patches, offsets_xy, crop_size=scan.crop_size, batch_size=size, backend=backend)
        return time.perf_counter() - began

    return seconds_of


def overhead_seconds() -> float:
    """Return what the driver takes for a batch that does nothing."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        run_in_batches(
            lambda start, stop: None, N_BATCHES, commit=lambda start, stop, result: None, batch_size=1
        )
        times.append(time.perf_counter() - began)
    return min(times) / N_BATCHES


def share_of_best(seconds: dict) -> float:
    """Return the speed of "auto" in units of the best fixed size's."""
    return min(value for size, value in seconds.items() if size != "auto") / seconds["auto"]


def part(sweeps: dict[str, dict], overhead_s: float) -> str:
    """Return the part of docs/benchmarks.md."""
    lines = ["| work | size | time / s | share of the best fixed speed |", "|---|---:|---:|---:|"]
    for name, seconds in sweeps.items():
        best = min(value for size, value in seconds.items() if size != "auto")
        lines += [
            f"| {name} | {size if size == 'auto' else f'{size:,}'} | {value:.3g} | {best / value:.2f} |"
            for size, value in seconds.items()
        ]
    return "\n\n".join(
        [
            "## Planned sizes and speed",
            f"Made by `make benchmark` on {machine(('tensorflow', 'keras', 'numba'))}. Best of several interleaved "
            f"rounds. The PINN takes {N_FRAMES} frames of 64 × 64 pixels; the stitch is of {SCAN.n:,} patches, "
            f"M = {SCAN.crop_size}. The driver itself takes {overhead_s * 1e6:.1f} µs for a batch that does nothing.",
            "\n".join(lines),
        ]
    )


def test_a_planned_size_is_as_fast_as_the_best_fixed_one():
    sweeps = {
        "PINN": best_seconds(inference_seconds(), (*FRAME_SIZES, "auto"), rounds=3),
        "stitch, CPU": best_seconds(stitching_seconds("cpu"), (*PATCH_SIZES, "auto"), rounds=15),
        "stitch, TensorFlow": best_seconds(stitching_seconds("tensorflow"), (*PATCH_SIZES, "auto"), rounds=5),
    }
    overhead_s = overhead_seconds()
    text = part(sweeps, overhead_s)
    replace_part(text, "<!-- auto sizes: begin -->", "<!-- auto sizes: end -->")
    print(text)  # noqa: T201
    assert overhead_s < LARGEST_OVERHEAD_S
    assert {name: share_of_best(seconds) >= LEAST_SHARE_OF_BEST for name, seconds in sweeps.items()} == (
        dict.fromkeys(sweeps, True)
    )


def test_a_short_run_starts_quickly_so_that_it_can_be_nested_in_another(benchmark):
    benchmark(run_in_batches, lambda start, stop: None, 1, commit=lambda *_: None, batch_size=1, device="cpu")
    assert benchmark.stats.stats.min < 1e-3
