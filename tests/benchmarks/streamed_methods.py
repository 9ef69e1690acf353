"""The methods that can stitch a stream of patches, one batch at a time, and what each run takes."""

from __future__ import annotations

import functools
import time
from typing import Literal, Protocol

import numpy as np
from benchmarks.memory import status_bytes
from benchmarks.methods import add_with_numpy, add_with_ptychodus, ptychodus_stitcher

from ptycho.stitching import Canvas, add_in_batches

# What the CPU path plans by itself for patches of 64 x 64.
BATCH_SIZE = 512
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
        self.n_bytes = ring.nbytes

    def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
        """Return a slice of patches, cropped."""
        items, rows, columns = key
        start, n = items.start % _RING, items.stop - items.start
        if n > _RING:
            # Longer than the ring: copied together, as a file would be read.
            return self._ring[np.arange(items.start, items.stop) % _RING, rows, columns]
        # A slice across the end of the ring starts over: which patches come does not matter, only how many.
        start = start if start + n <= _RING else 0
        return self._ring[start : start + n, rows, columns]


class Streamed(Protocol):
    """A canvas that a method adds to; an entry of STREAMED makes it of its side and the crop size."""

    def add(self, stream: PatchStream, positions_yx: np.ndarray) -> int:
        """Add all patches in batches; returns the largest batch."""
        ...

    def image(self) -> np.ndarray | None:
        """Divide by the weights."""
        ...


class OurCanvas:
    """`Canvas` and `add_in_batches`."""

    def __init__(
        self, side: int, crop_size: int, *, backend: str, batch_size: int | Literal["auto"] = BATCH_SIZE
    ) -> None:
        self._batch_size: int | Literal["auto"] = batch_size
        self._canvas = Canvas((side, side), crop_size=crop_size, backend=backend)
        if backend == "cpu":
            _map_pages(self._canvas.state().values)
        _map_pages(self._canvas.state().corner_weights)

    def add(self, stream: PatchStream, positions_yx: np.ndarray) -> int:
        run = add_in_batches(self._canvas, stream, positions_yx, batch_size=self._batch_size)
        return max(run.batch_sizes)

    def image(self) -> np.ndarray:
        return self._canvas.image()


class PtychodusCanvas:
    """`BarycentricArrayStitcher`, one call per patch."""

    def __init__(self, side: int, crop_size: int) -> None:
        self._stitcher, self._crop_size = ptychodus_stitcher((side, side)), crop_size

    def add(self, stream: PatchStream, positions_yx: np.ndarray) -> int:
        for crops, centres in _batches(stream, positions_yx, self._crop_size):
            add_with_ptychodus(self._stitcher, crops, centres)
        return BATCH_SIZE

    def image(self) -> np.ndarray:
        return self._stitcher.stitch()


class NumpyCanvas:
    """Four weighted additions per patch."""

    def __init__(self, side: int, crop_size: int) -> None:
        self._total, self._weight = np.zeros((side, side), np.complex64), np.zeros((side, side), np.float32)
        self._crop_size = crop_size
        _map_pages(self._total)
        _map_pages(self._weight)

    def add(self, stream: PatchStream, positions_yx: np.ndarray) -> int:
        for crops, centres in _batches(stream, positions_yx, self._crop_size):
            add_with_numpy(self._total, self._weight, crops, centres)
        return BATCH_SIZE

    def image(self) -> np.ndarray:
        return self._total / (self._weight + np.float32(1e-9))


class NoCanvas:
    """Copy every batch and keep none."""

    def __init__(self, side: int, crop_size: int) -> None:
        self._crop_size = crop_size

    def add(self, stream: PatchStream, positions_yx: np.ndarray) -> int:
        for crops, _ in _batches(stream, positions_yx, self._crop_size):
            crops.copy()
        return BATCH_SIZE

    def image(self) -> None:
        return None


STREAMED = {
    "copy": NoCanvas,
    "ours, CPU": functools.partial(OurCanvas, backend="cpu"),
    "ours, TensorFlow": functools.partial(OurCanvas, backend="tensorflow", batch_size="auto"),
    "ptychodus": PtychodusCanvas,
    "NumPy loop": NumpyCanvas,
}


def measure(
    method: str, n: int, canvas_side: int, patch_size: int, crop_size: int, *, start_bytes: int
) -> dict:
    """Stitch n patches at random positions; returns seconds per part and bytes of memory above the start.

    The patches that come round are not counted: a real stream holds one batch of them at a time.
    """
    rng = np.random.default_rng(2)
    _warm_up(method, crop_size)
    imports_bytes = status_bytes("VmHWM") - start_bytes
    stream = PatchStream(n, patch_size)
    positions = rng.uniform(crop_size, canvas_side - crop_size, (n, 2))
    started = time.perf_counter()
    canvas: Streamed = STREAMED[method](canvas_side, crop_size)
    made, made_cpu = time.perf_counter(), time.process_time()
    batch_size = canvas.add(stream, positions)
    added, added_cpu = time.perf_counter(), time.process_time()
    adding_bytes = status_bytes("VmHWM") - start_bytes - stream.n_bytes
    resumed = time.perf_counter()
    image = canvas.image()
    ended = time.perf_counter()
    peak_bytes = status_bytes("VmHWM") - start_bytes - stream.n_bytes
    assert image is None or (np.isfinite(image).all() and image.any())
    return {
        "method": method,
        "n": n,
        "canvas_side": canvas_side,
        "batch_size": batch_size,
        "make_s": made - started,
        "add_s": added - made,
        "add_processor_s": added_cpu - made_cpu,
        "image_s": ended - resumed,
        "total_s": ended - resumed + added - started,
        "imports_bytes": imports_bytes,
        "ring_bytes": stream.n_bytes,
        "adding_bytes": adding_bytes,
        "peak_bytes": peak_bytes,
    }


def _warm_up(method: str, crop_size: int) -> None:
    """Import and compile: stitch two patches."""
    canvas: Streamed = STREAMED[method](3 * crop_size, crop_size)
    canvas.add(_Zeros(2, crop_size), np.full((2, 2), 1.5 * crop_size + 0.25))
    canvas.image()


class _Zeros(PatchStream):
    """A small stream, which takes no memory to speak of."""

    def __init__(self, n: int, patch_size: int) -> None:
        self.shape, self.dtype = (n, patch_size, patch_size), np.dtype(np.complex64)
        self._ring = np.zeros(self.shape, self.dtype)
        self.n_bytes = self._ring.nbytes


def _batches(stream: PatchStream, positions_yx: np.ndarray, crop_size: int):
    """Yield crops and positions of BATCH_SIZE patches at a time."""
    first = stream.shape[1] // 2 - crop_size // 2
    square = slice(first, first + crop_size)
    for start in range(0, len(positions_yx), BATCH_SIZE):
        stop = min(start + BATCH_SIZE, len(positions_yx))
        yield stream[slice(start, stop), square, square], positions_yx[start:stop]


def _map_pages(array: np.ndarray) -> None:
    """Have the system give the memory now: zeros are a promise until they are written."""
    array[:] = 0
