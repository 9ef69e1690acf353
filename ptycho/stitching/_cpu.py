"""The stitching sum on the CPU: compiled loops, one thread per band of canvas rows."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.stitching._geometry import Placement, crop_start

if TYPE_CHECKING:
    from types import ModuleType

logger = logging.getLogger(__name__)

# Starting a thread costs about as much as adding this many pixels.
_PIXELS_PER_THREAD = 200_000


class CpuSums:
    """Sums of bilinearly shifted crops in host memory; patches are read where they lie, never copied.

    Plain Python threads run the compiled loops (which release the interpreter's lock): unlike numba's own
    thread pools they survive a fork and may be used from several threads at once.
    """

    device = "cpu"

    def __init__(self, shape_yx: tuple[int, int], *, crop_size: int, dtype: np.dtype, n_threads: int | None):
        self._crop_size = crop_size
        self._n_threads = n_threads or available_threads()
        self.values = np.zeros(shape_yx, dtype=dtype)

    def source(self, patches: Any) -> Any:
        """Return an eager tensor as the NumPy array that shares its memory, anything else as it is."""
        return patches if not hasattr(patches, "numpy") else np.asarray(patches)

    def bytes_per_patch(self, patches: Any) -> int:
        """Temporary bytes per patch: a copy of the crop, unless the kernel can read the patches in place."""
        return 0 if _in_place(patches) else 8 * self._crop_size**2

    def stage(self, patches: Any, placement: Placement) -> tuple[np.ndarray, Placement]:
        """Bring the patches into the form that the kernel reads; nothing is added yet."""
        source = self.source(patches)
        if _in_place(source):
            return source, placement
        first = crop_start(source.shape[1], self._crop_size)
        crop = slice(first, first + self._crop_size)
        return np.ascontiguousarray(source[:, crop, crop]), placement

    def commit(self, staged: tuple[np.ndarray, Placement]) -> np.ndarray:
        """Add staged patches and return for each whether it was finite: (n,) uint8, 1 if added, 2 if not."""
        patches, placement = staged
        status = np.zeros(len(placement), np.uint8)
        if len(placement) == 0:
            return status
        kernels = load_kernels()
        reals = self.values.view(_real_of(self.values.dtype))
        floats, bits = _read_only(patches, np.float32), _read_only(patches, np.int32)
        first = crop_start(patches.shape[1], self._crop_size)

        def add_band(begin: int, end: int) -> None:
            kernels.add_band(
                reals,
                floats,
                bits,
                first,
                self._crop_size,
                placement.top_left,
                placement.fraction,
                status,
                begin,
                end,
            )

        pixels = len(placement) * self._crop_size**2
        n_bands = max(1, min(self._n_threads, pixels // _PIXELS_PER_THREAD))
        run_bands(add_band, _equal_work_bands(placement, self.values.shape[0], self._crop_size, n_bands))
        return status


def run_bands(work: Any, edges: list[int]) -> None:
    """Call ``work(edges[i], edges[i + 1])`` for every i, each in a thread of its own, and wait for all."""
    bands = list(itertools.pairwise(edges))
    threads = [threading.Thread(target=work, args=band) for band in bands[1:]]
    for thread in threads:
        thread.start()
    try:
        work(*bands[0])
    finally:
        for thread in threads:
            thread.join()


def available_threads() -> int:
    """Number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.lru_cache(maxsize=1)
def load_kernels() -> ModuleType:
    """Import the compiled loops; the import of numba is put off until something is stitched."""
    from numba.core import event

    from ptycho.stitching import _kernels

    event.register("numba:compile", _compile_announcer(_kernels.__name__))
    return _kernels


def _compile_announcer(module: str) -> Any:
    from numba.core import event

    class Announcer(event.Listener):
        """Tells the user, once, that the first use compiles; later ones load the result from disk."""

        def __init__(self) -> None:
            self.announced = False

        def on_start(self, event: Any) -> None:
            if not self.announced and event.data["dispatcher"].py_func.__module__ == module:
                self.announced = True
                logger.info("Compiling the stitching kernel for this processor; this happens once.")

        def on_end(self, event: Any) -> None:
            """Part of numba's listener interface; there is nothing to say at the end."""

    return Announcer()


def _equal_work_bands(placement: Placement, height: int, crop_size: int, n_bands: int) -> list[int]:
    """Edges of bands of rows that hold about equally many patches each; they need not be equally high."""
    middles = placement.top_left[:, 0] + crop_size // 2
    inner = np.quantile(middles, np.arange(1, n_bands) / n_bands).astype(int).tolist() if n_bands > 1 else []
    return [0, *inner, height]


def _in_place(patches: Any) -> bool:
    return isinstance(patches, np.ndarray) and patches.flags.c_contiguous and patches.flags.aligned


def _read_only(patches: np.ndarray, dtype: type) -> np.ndarray:
    view = patches.view(dtype)
    view.flags.writeable = False
    return view


def _real_of(dtype: np.dtype) -> type:
    return np.float64 if dtype == np.complex128 else np.float32
