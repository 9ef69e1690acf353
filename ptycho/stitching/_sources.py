"""Patches wherever they lie: slices of an HDF5 data set are read crop by crop, everything else in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ptycho.stitching._checks import numpy_dtype
from ptycho.stitching._geometry import crop_start

_ALIGNMENT = 64


class CropReader:
    """The central crops of patches in a file; indexing with a slice reads that slice and no more.

    Parameters
    ----------
    patches : (n, N, N)
        A data set that reads when it is indexed, such as `h5py.Dataset`.
    crop_size : int
        M; the reader has the shape (n, M, M).
    """

    def __init__(self, patches: Any, crop_size: int) -> None:
        """Wrap `patches`; nothing is read yet."""
        first = crop_start(patches.shape[1], crop_size)
        self._patches, self._crop = patches, slice(first, first + crop_size)
        self.shape = (int(patches.shape[0]), crop_size, crop_size)
        self.dtype = numpy_dtype(patches)

    def __getitem__(self, items: slice) -> np.ndarray:
        """Read the crops of some patches."""
        return self._patches[items, self._crop, self._crop]


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """Return an empty complex64 array on a 64-byte boundary: TensorFlow copies any other one."""
    n_bytes = 8 * math.prod(shape)
    raw = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + n_bytes].view(np.complex64).reshape(shape)


def is_tensor(patches: Any) -> bool:
    """True for an eager TensorFlow tensor."""
    return hasattr(patches, "numpy")


def as_source(patches: Any, crop_size: int) -> Any:
    """Return arrays and tensors as they are, anything else as the reader of its crops."""
    if isinstance(patches, (np.ndarray, CropReader)) or is_tensor(patches):
        return patches
    return CropReader(patches, crop_size)
