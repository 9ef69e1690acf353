"""Processor time of the steps that a frame takes through the host, each alone; a part of `benchmarks.host_report`."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from benchmarks.host_work import CROP, N, free_model, scan_of

BATCH = 128
_REPEATS, _ROUNDS = 40, 5


def _processor_us(step: Callable[[], object]) -> float:
    """Return the least processor time of a step, in µs a frame."""
    step()
    times = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(_REPEATS):
            step()
        times.append(time.process_time() - began)
    return min(times) / _REPEATS / BATCH * 1e6


def profile() -> list[tuple[str, float]]:
    """Return the steps and their processor time, in µs a frame."""
    import tensorflow as tf

    from ptycho._compiled.handover import Handover
    from ptycho.evaluation.misfit import MisfitSums
    from ptycho.models.patch_parts import PatchLight, PatchNeeds
    from ptycho.reconstruction import InferenceSettings
    from ptycho.reconstruction._canvases import CanvasSet
    from ptycho.reconstruction.job import InferenceJob

    model, scan = free_model(), scan_of(20 * BATCH)
    job = InferenceJob.of(model, scan, InferenceSettings(crop_size=CROP, self_consistency=True))
    frames, measured = job.read(0, BATCH)
    offsets, needs = np.zeros((BATCH, 1, 2)), PatchNeeds(CROP)
    parts = model.predict_parts(frames, offsets, needs, n_whole=BATCH)
    canvases, light = CanvasSet(job.layout, 0, len(job)), PatchLight(scan.probe, N)
    recomputed = light.frames_of(parts.whole)
    sums = MisfitSums(scan.positions_yx, np.ones((N, N), bool), photon_energy=1.0)
    steps = {
        "read and scaled (on the thread)": lambda: job.read(BATCH, 2 * BATCH),
        "the network, two passes over all pixels": lambda: model._graph(
            tf.convert_to_tensor(Handover(frames), tf.float32)
        ),
        "the same with crops made complex, and brought to the host": lambda: model.predict_parts(
            frames, offsets, needs
        ),
        "the same with whole patches, as the verdict on a CPU wants them": lambda: model.predict_parts(
            frames, offsets, needs, n_whole=BATCH
        ),
        "stitched on four canvases": lambda: canvases.add(0, parts.crops, batch_size="auto"),
        "verdict: frames recomputed from patches": lambda: light.frames_of(parts.whole),
        "verdict: misfit added up": lambda: sums.add(np.arange(BATCH), measured[:, 0], recomputed),
    }
    return [(name, _processor_us(step)) for name, step in steps.items()]


def halves(rounds: int = 25) -> dict[str, float]:
    """Return the wall time of the shipped PINN on a batch, taken whole and in halves in turn, in µs a frame."""
    import tensorflow as tf

    from ptycho.demo import model_folder
    from ptycho.models import load_model
    from ptycho.models._parts_graph import PartsGraph
    from ptycho.models.patch_parts import PatchNeeds

    model, frames = (
        load_model(model_folder("pinn")),
        np.random.default_rng(3).random((32, N, N, 1), np.float32),
    )
    ways = {
        name: PartsGraph(model._graph, model.description.outputs, can_halve=can_halve)
        for name, can_halve in (("whole", False), ("in halves", True))
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):  # the first traces
        for name, graph in ways.items():
            began = time.perf_counter()
            for _ in range(8):
                graph(frames, tf.float32, np.zeros((32, 1, 2)), PatchNeeds(CROP), 0)
            if number >= 0:
                times[name].append(time.perf_counter() - began)
    return {name: median(each) / 8 / 32 * 1e6 for name, each in times.items()}


def halves_table() -> list[str]:
    """One row for each way."""
    rows = ["| a batch is taken | µs a frame |", "|---|---:|"]
    return [*rows, *(f"| {name} | {microseconds:,.0f} |" for name, microseconds in halves().items())]


def profile_table() -> list[str]:
    """One row per step."""
    rows = [f"| step, batches of {BATCH} | processor time / µs a frame |", "|---|---:|"]
    return [*rows, *(f"| {name} | {microseconds:.1f} |" for name, microseconds in profile())]
