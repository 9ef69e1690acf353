"""What the parts of one stitch take: finding places, adding, dividing, and reading alone."""

from __future__ import annotations

import time

import numba
import numpy as np
from benchmarks.methods import read_crops
from benchmarks.scans import CASES, patches_of, positions_of

from ptycho.stitching import Canvas, reassemble_position
from ptycho.stitching._adding import _is_finite
from ptycho.stitching._geometry import crop_start

ROUNDS = 7


def best_ms(function) -> float:
    """Best time of a few calls after one that is not counted, in milliseconds."""
    function()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


@numba.njit
def search(floats, n, size, first, side):
    """Look for infinities and NaNs in every crop, on one thread: the first of the two passes of adding."""
    found = 0
    for p in range(n):
        if not _is_finite(floats, 2 * (p * size * size + first * size + first), 2 * size, side):
            found += 1
    return found


def stages() -> list[dict]:
    """Milliseconds of each part for every case, in raster order."""
    return [_stages(case) for case in CASES]


def _stages(case) -> dict:
    patches, positions = patches_of(case), positions_of(case, "raster")
    canvas = Canvas.around(positions, crop_size=case.crop_size)
    placement = canvas.place(patches, positions)
    staged = canvas.stage_placed(patches, placement)
    floats = patches.view(np.float32).reshape(-1)
    crop = len(patches), case.patch_size, crop_start(case.patch_size, case.crop_size), case.crop_size
    return {
        "case": case,
        "place": best_ms(lambda: canvas.place(patches, positions)),
        "search": best_ms(lambda: search(floats, *crop)),
        "add": best_ms(lambda: canvas.commit(staged)),
        "divide": best_ms(canvas.image),
        "read": best_ms(lambda: read_crops(patches, positions, case.crop_size)),
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
