"""Patches wherever they lie: slices of an HDF5 data set are read crop by crop, everything else in place."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from autobatch import imported_tensorflow
from ptycho.stitching._checks import numpy_dtype
from ptycho.stitching._geometry import crop_start

# DLPack's numbers of the devices whose memory the host reads in place: the CPU, pinned and managed memory
# (DLDeviceType, https://dmlc.github.io/dlpack/latest/c_api.html).
_READ_BY_THE_HOST = (1, 3, 11, 13)


class CropReader:
    """The central crops of patches in a file; indexing with a slice reads that slice and no more.

    Parameters
    ----------
    patches : (n, N, N) or (n, N, N, 1)
        A data set that reads when it is indexed, such as `h5py.Dataset`.
    crop_size : int, optional
        M; the reader has the shape (n, M, M). Default: the whole patches.
    """

    def __init__(self, patches: Any, crop_size: int | None = None) -> None:
        """Wrap `patches`; nothing is read yet."""
        count, *sides = (int(side) for side in patches.shape[:3])
        self._patches, self._channel = patches, (0,) * (len(patches.shape) - 3)
        self._crop = slice(None)
        if crop_size is not None:
            first = crop_start(sides[0], crop_size)
            self._crop, sides = slice(first, first + crop_size), [crop_size, crop_size]
        self.shape = (count, *sides)
        self.dtype = numpy_dtype(patches)

    def __getitem__(self, items: slice) -> np.ndarray:
        """Read the crops of some patches."""
        return self._patches[(items, self._crop, self._crop, *self._channel)]

    def cropped(self, crop_size: int) -> CropReader:
        """Return a reader of the central M x M pixels of the same patches."""
        return self if crop_size == self.shape[1] else CropReader(self._patches, crop_size)


def mapped_file(patches: Any) -> mmap.mmap | None:
    """Return the map of the file that an array lies in and cannot change, None for any other."""
    unchanged = False
    while isinstance(patches, np.ndarray):
        unchanged = unchanged or (isinstance(patches, np.memmap) and patches.mode == "r")
        patches = patches.base
    return patches if unchanged and isinstance(patches, mmap.mmap) else None


def release_pages(patches: np.ndarray) -> None:
    """Let go of the memory into which a mapped file was read; its pages come again when they are used."""
    file, advice = mapped_file(patches), getattr(mmap, "MADV_DONTNEED", None)
    if file is None or advice is None or not patches.flags.c_contiguous:
        return
    start = patches.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    n_bytes = (start + patches.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - first
    if n_bytes > 0:
        file.madvise(advice, first, n_bytes)


def is_tensor(patches: Any) -> bool:
    """True for an eager TensorFlow tensor."""
    tensorflow = imported_tensorflow()
    return tensorflow is not None and isinstance(patches, tensorflow.Tensor)


def as_array_like(values: Any, name: str) -> Any:
    """Return what stitching reads in place as it is, and anything else in host memory as a NumPy array.

    NumPy arrays, memory maps, TensorFlow tensors and data sets that read when they are indexed stay. Lists, and
    arrays of other frameworks (PyTorch, JAX) whose memory the host can read, become arrays that share it.

    Raises
    ------
    TypeError
        If the values lie on a device, from which they would be copied in silence, or cannot be read at all.
    """
    if isinstance(values, (np.ndarray, CropReader)) or is_tensor(values):
        return values
    device = getattr(values, "__dlpack_device__", None)
    if device is None and hasattr(values, "shape") and hasattr(values, "dtype"):
        return values
    if device is not None and int(device()[0]) not in _READ_BY_THE_HOST:
        raise TypeError(
            f"{name} are a {type(values).__name__} of {type(values).__module__} on a device but must lie in host "
            "memory; copy them first, for example with .cpu() or jax.device_get."
        )
    try:
        array = np.asarray(values)
        # Python's own numbers have one precision; what they are cast to is what stitching takes.
        return (
            array.astype(np.complex64) if isinstance(values, list) and array.dtype == np.complex128 else array
        )
    except (RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name} are a {type(values).__name__} that numpy.asarray does not take ({error}); pass an array."
        ) from error


def sliceable(patches: Any, crop_size: int) -> Any:
    """Return arrays and tensors as they are, anything else as the reader of its crops."""
    if isinstance(patches, CropReader):
        return patches.cropped(crop_size)
    if isinstance(patches, np.ndarray) or is_tensor(patches):
        return patches
    return CropReader(patches, crop_size)
