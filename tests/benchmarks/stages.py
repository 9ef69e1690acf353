"""What the parts of one stitch take: finding places, adding, dividing; and reading or copying alone."""

from __future__ import annotations

import time

import numpy as np
from benchmarks.methods import copy_crops, read_crops
from benchmarks.scans import CASES, patches_of, positions_of

from ptycho.stitching import Canvas, reassemble_position

ROUNDS = 15


def best_ms(function) -> float:
    """Best time of a few calls after one that is not counted, in milliseconds."""
    function()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


def stages() -> list[dict]:
    """Milliseconds of each part for every case in raster order, and for the smallest also along a spiral."""
    return [*(_stages(case, "raster") for case in CASES), _stages(CASES[0], "spiral")]


def _stages(case, order: str) -> dict:
    patches, positions = patches_of(case), positions_of(case, order)
    canvas = Canvas.around(positions, crop_size=case.crop_size)
    placement = canvas.place(patches, positions)
    staged = canvas.stage_placed(patches, placement)
    found = {
        "case": case,
        "order": order,
        "place": best_ms(lambda: canvas.place(patches, positions)),
        "add": best_ms(lambda: canvas.commit(staged)),
        "divide": best_ms(canvas.image),
        "read": best_ms(lambda: read_crops(patches, positions, case.crop_size)),
        "copy": best_ms(lambda: copy_crops(patches, positions, case.crop_size)),
        "whole": best_ms(
            lambda: np.asarray(
                reassemble_position(
                    patches[..., None],
                    positions[:, None, None, ::-1],
                    M=case.crop_size,
                    batch_size="auto",
                    backend="cpu",
                )
            )
        ),
    }
    return {**found, "rest": found["whole"] - found["place"] - found["add"] - found["divide"]}
