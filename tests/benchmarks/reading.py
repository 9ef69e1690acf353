"""Read crops and do nothing else, as fast as the stitching kernel could: compiled, in vectors, on all threads."""

from __future__ import annotations

import numba
import numpy as np

from ptycho._compiled.bands import even_bands, run_bands
from ptycho.stitching._cpu import _n_bands
from ptycho.stitching._geometry import crop_start
from ptycho.stitching._vectors import _is_finite, _prefetch_row


@numba.njit(nogil=True)
def _count_finite(floats, size, first, side, begin, end):
    """Count the crops of patches `begin` … `end - 1` that hold no infinity or NaN.

    As in the kernel, a crop with gaps is fetched while the one before it is searched.
    """
    found, stride = 0, 2 * size
    for p in range(begin, end):
        start = p * size * stride + first * stride + 2 * first
        if side < size and p + 1 < end:
            for row in range(side):
                _prefetch_row(floats, start + (size + row) * stride, side)
        if _is_finite(floats, start, stride, side):
            found += 1
    return found


def count_finite(patches: np.ndarray, crop_size: int) -> int:
    """Look at every pixel of the crops of (n, N, N) complex64 once, with the kernel's search and its threads."""
    n, size = patches.shape[:2]
    floats, first = patches.view(np.float32).reshape(-1), crop_start(size, crop_size)
    counts = []

    def count(begin: int, end: int) -> None:
        counts.append(_count_finite(floats, size, first, crop_size, begin, end))

    run_bands(count, even_bands(n, _n_bands(n * crop_size**2, None)))
    return sum(counts)
