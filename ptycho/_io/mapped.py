"""Arrays that lie in a file and are read when they are used, whatever becomes of the file meanwhile."""

from __future__ import annotations

import math
import mmap
import os
import weakref
from collections.abc import Iterator
from itertools import pairwise
from typing import IO, Any

import numpy as np

from ptycho._io.stored import StoredRows
from ptycho.errors import DataError


def map_array(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...], offset: int) -> np.ndarray:
    """Return an array that lies in an open file, in C order from the byte `offset` on, without reading it.

    It cannot be written to. The file may be closed; `rows_of` reads it as long as any view of the array lives.

    Raises
    ------
    OSError, ValueError
        There is nothing to map, or the file system cannot.
    """
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes == 0:
        raise ValueError(f"an array of shape {shape} has no bytes to map")
    # A mapping begins at a multiple of the system's unit, before the array's first byte.
    begin = offset - offset % mmap.ALLOCATIONGRANULARITY
    mapping = _MappedFile(file.fileno(), offset - begin + n_bytes, access=mmap.ACCESS_READ, offset=begin)
    mapping.own(file, begin)
    return np.ndarray(shape, dtype, mapping, offset - begin)


class _MappedFile(mmap.mmap):
    """The pages of a file, and the file itself, from which the same bytes can be read."""

    descriptor: int
    first_byte: int
    path: str

    def own(self, file: IO[bytes], first_byte: int) -> None:
        """Keep `file` open for as long as this lives; its pages begin with the byte `first_byte`."""
        self.descriptor, self.first_byte = os.dup(file.fileno()), first_byte
        self.path = str(file.name)
        weakref.finalize(self, os.close, self.descriptor)


def rows_of(array: np.ndarray, indices: Any) -> np.ndarray:
    """Return ``array[indices]``; from an array of `map_array`, or `StoredRows`, they are read.

    Reading beyond the end of a mapped file kills the process by SIGBUS, even if the file is cut in the middle of a
    copy. Reading from the file itself ends early, which can be said.

    Parameters
    ----------
    array : (n, …)
    indices : slice, (…) int or (n,) bool
        Of the first axis.

    Returns
    -------
    (…, …)
        In memory if `array` is mapped, and else what NumPy makes of it.

    Raises
    ------
    DataError
        The file has become too short; says which, how long it was and how long it is.
    """
    if isinstance(array, StoredRows):
        return array.rows(indices)
    mapped = _mapping_of(array)
    if not isinstance(mapped, _MappedFile) or not hasattr(os, "preadv") or not _has_whole_rows(array):
        refuse_truncated(array)
        return array[indices]
    chosen = np.arange(len(array))[indices]
    rows = np.empty((chosen.size, *array.shape[1:]), array.dtype)
    # From the first byte of the mapping, whose address says where in the file a view of it begins.
    begin = mapped.first_byte + array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    contiguous = array.strides[0] == rows.strides[0]
    for start, stop in runs_of(chosen.ravel()) if contiguous else ((k, k + 1) for k in range(chosen.size)):
        _read_into(rows[start:stop], mapped, begin + int(chosen.flat[start]) * array.strides[0])
    return rows.reshape(*chosen.shape, *array.shape[1:])


def is_mapped(array: np.ndarray) -> bool:
    """Tell whether an array lies in a file, by `map_array` or as `StoredRows`."""
    return isinstance(array, StoredRows) or isinstance(_mapping_of(array), _MappedFile)


def blocks_of(array: np.ndarray, n_rows: int = 256) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield all rows of an array, so many at once, each time with where they are; by the rules of `rows_of`."""
    for start in range(0, len(array), n_rows):
        block = slice(start, start + n_rows)
        yield block, rows_of(array, block)


def _has_whole_rows(array: np.ndarray) -> bool:
    return array.ndim > 0 and array.size > 0 and array[0].flags.c_contiguous


def runs_of(chosen: np.ndarray) -> list[tuple[int, int]]:
    """Return the ranges of `chosen` (m,) in which each is the one before it and one."""
    breaks = np.flatnonzero(np.diff(chosen) != 1) + 1
    edges = [0, *breaks.tolist(), len(chosen)] if len(chosen) else []
    return list(pairwise(edges))


def _read_into(rows: np.ndarray, mapped: _MappedFile, offset: int) -> None:
    missing = rows.reshape(-1).view(np.uint8).data
    while missing:
        n_bytes = os.preadv(mapped.descriptor, [missing], offset)
        if n_bytes == 0:
            raise _cut_short(mapped.path, mapped.first_byte + len(mapped), mapped.size())
        missing, offset = missing[n_bytes:], offset + n_bytes


def refuse_truncated(array: np.ndarray) -> None:
    """Refuse an array that is mapped from a file which has become too short for it; what is not mapped passes.

    Raises
    ------
    DataError
        Says which file, how long it was, and how long it is.
    """
    mapped = _mapping_of(array)
    if mapped is None:
        return
    if isinstance(mapped, _MappedFile):
        begin, path = mapped.first_byte, mapped.path
    else:
        owner = _memmap_of(array)
        if owner is None:
            return
        begin, path = owner.offset - owner.offset % mmap.ALLOCATIONGRANULARITY, owner.filename
    if mapped.size() < begin + len(mapped):
        raise _cut_short(str(path or "the file of the frames"), begin + len(mapped), mapped.size())


def _cut_short(path: str, needed: int, there: int) -> DataError:
    return DataError(
        f"{path} was cut while it was used: frames lie in its first {needed} bytes, but {there} are left; run again "
        "on a file that stays as it is."
    )


def _mapping_of(array: np.ndarray) -> mmap.mmap | None:
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, mmap.mmap) else None


def _memmap_of(array: np.ndarray) -> np.memmap | None:
    """Return the outermost memory map of NumPy's that `array` is a view of: a view's own offset is not told anew."""
    found = None
    owner: object = array
    while isinstance(owner, np.ndarray):
        found = owner if isinstance(owner, np.memmap) else found
        owner = owner.base
    return found
