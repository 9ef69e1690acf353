"""Stream patches onto a canvas in a process of its own and print one line of JSON: time and memory.

``python -m benchmarks.streaming --patches 1000000 --canvas 4000``
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
from benchmarks.memory import status_bytes

from ptycho.stitching import Canvas, add_in_batches

# As many different patches as this are kept; they come round again and again.
_RING = 4096


class PatchStream:
    """n patches of which only one slice at a time exists, like a data set in a file."""

    def __init__(self, n: int, patch_size: int) -> None:
        """Make the patches that come round."""
        rng = np.random.default_rng(1)
        self.shape, self.dtype = (n, patch_size, patch_size), np.dtype(np.complex64)
        ring = rng.standard_normal((_RING, patch_size, 2 * patch_size), dtype=np.float32)
        self._ring = ring.view(np.complex64)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
        """Return a slice of patches, cropped."""
        items, rows, columns = key
        start = items.start % _RING
        # A slice across the end of the ring starts over: which patches come does not matter, only how many.
        start = start if start + items.stop - items.start <= _RING else 0
        return self._ring[start : start + items.stop - items.start, rows, columns]


def measure(n: int, canvas_side: int, patch_size: int, crop_size: int) -> dict:
    """Stitch n patches at random positions; returns seconds per part and bytes of memory."""
    rng = np.random.default_rng(2)
    Canvas((crop_size, crop_size), crop_size=crop_size).add(
        np.zeros((1, crop_size, crop_size), np.complex64), np.full((1, 2), crop_size // 2, np.float64)
    )
    stream = PatchStream(n, patch_size)
    baseline = status_bytes("VmRSS")
    positions = rng.uniform(crop_size, canvas_side - crop_size, (n, 2))
    started = time.perf_counter()
    canvas = Canvas((canvas_side, canvas_side), crop_size=crop_size)
    canvas.state().values[:] = 0
    canvas.state().splats[:] = 0
    made, made_cpu = time.perf_counter(), time.process_time()
    run = add_in_batches(canvas, stream, positions)
    added, added_cpu = time.perf_counter(), time.process_time()
    image = canvas.image()
    ended = time.perf_counter()
    assert np.isfinite(image).all()
    return {
        "n": n,
        "canvas_side": canvas_side,
        "patch_size": patch_size,
        "crop_size": crop_size,
        "batch_size": max(run.batch_sizes),
        "make_s": made - started,
        "add_s": added - made,
        "add_processor_s": added_cpu - made_cpu,
        "image_s": ended - added,
        "peak_growth_bytes": status_bytes("VmHWM") - baseline,
        "tensorflow_imported": "tensorflow" in sys.modules,
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, required=True)
    parser.add_argument("--canvas", type=int, required=True)
    parser.add_argument("--patch-size", type=int, default=64)
    parser.add_argument("--crop-size", type=int, default=64)
    arguments = parser.parse_args()
    result = measure(arguments.patches, arguments.canvas, arguments.patch_size, arguments.crop_size)
    print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main()
