"""Arrays that TensorFlow takes over as they lie in memory, instead of copying them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

_ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an empty array on a 64-byte boundary: TensorFlow copies any other one."""
    kind = np.dtype(dtype)
    n_bytes = kind.itemsize * math.prod(shape)
    raw = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + n_bytes].view(kind).reshape(shape)


class Handover:
    """An array that nobody will change any more: as an `ndarray` TensorFlow would copy it, for fear of that.

    Parameters
    ----------
    array : ndarray
        On a 64-byte boundary; any other one is copied all the same.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._array
