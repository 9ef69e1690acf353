"""Arrays that are made row by row: in memory, or where they would take much of it, in a temporary file."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike

from ptycho._io.mapped import blocks_of, is_mapped, map_array, rows_of, runs_of
from ptycho._io.stored import StoredRows
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

# Of what is free, and in any case: a scan is read more than once, and other programs' memory comes and goes.
_MOST_SHARE = 1 / 4
_MOST_BYTES = 1 << 30
# What is left free on the disk.
_SPARE_BYTES = 256 << 20
# So much is taken in any case: samples of a scan are looked at from all sides.
_SAMPLE_BYTES = 64 << 20
_ROWS_AT_ONCE = 256
_IN_MEMORY = ("tmpfs", "ramfs")


def largest_in_memory_bytes() -> int:
    """Return how large an array may be to be read into memory as a whole: a quarter of what is free, at most 1 GiB."""
    from autobatch import device_memory

    return min(_MOST_BYTES, int(device_memory("cpu").free_bytes * _MOST_SHARE))


class RowStore:
    """An array whose rows are written in any order.

    Parameters
    ----------
    shape : (n, …)
    dtype : dtype
    what : str
        What it holds, for messages: ``the frames of scan.npz``.

    Raises
    ------
    DataError
        It is large and there is no room for it on the disk.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, what: str) -> None:
        """Make room; what is not written is 0 in a file, and anything in memory."""
        self._shape, self._dtype = shape, np.dtype(dtype)
        n_bytes = math.prod(shape) * self._dtype.itemsize
        if n_bytes <= largest_in_memory_bytes():
            self._array, self._file = np.empty(shape, dtype), None
        else:
            self._array, self._file = None, temporary_file(n_bytes, what)
            # The array that lies in it has a descriptor of its own.
            weakref.finalize(self, self._file.close)

    def write(self, indices: slice | np.ndarray, rows: np.ndarray) -> None:
        """Write the rows at `indices`."""
        if self._array is not None:
            self._array[indices] = rows
            return
        assert self._file is not None
        chosen = np.arange(self._shape[0])[indices]
        given = np.ascontiguousarray(rows, self._dtype)
        for start, stop in runs_of(chosen):
            self._file.seek(int(chosen[start]) * given[0].nbytes)
            self._file.write(given[start:stop].view(np.uint8).data)

    def change(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Put in the place of each row what `change` makes of it; takes rows (k, …) and returns as many."""
        for block, rows in blocks_of(self.array()):
            self.write(block, change(rows))

    def array(self) -> np.ndarray:
        """Return the array; one in a file goes from the disk with it, or with the process, however that ends."""
        if self._array is not None:
            return self._array
        assert self._file is not None
        self._file.flush()
        return map_array(self._file, self._dtype, self._shape, 0)


def made_of(
    shape: tuple[int, ...], dtype: DTypeLike, blocks: Iterable[tuple[slice, np.ndarray]], *, what: str
) -> np.ndarray:
    """Return an array of blocks of rows, each with where it belongs; by the rules of `RowStore`."""
    store = RowStore(shape, dtype, what)
    for block, rows in blocks:
        store.write(block, rows)
    return store.array()


def some_rows(array: np.ndarray, chosen: np.ndarray, *, what: str) -> np.ndarray:
    """Return ``array[chosen]``, numbers or a mask of rows; of what lies in a file, too many for memory stay in one."""
    if not is_mapped(array):
        return array[chosen]
    numbers = np.arange(len(array))[chosen]
    if numbers.size * (array.nbytes // max(1, len(array))) <= max(_SAMPLE_BYTES, largest_in_memory_bytes()):
        return rows_of(array, chosen)
    if isinstance(array, StoredRows):
        return array.taking(numbers)  # pyright: ignore[reportReturnType]
    blocks = (slice(start, start + _ROWS_AT_ONCE) for start in range(0, numbers.size, _ROWS_AT_ONCE))
    some = ((block, rows_of(array, numbers[block])) for block in blocks)
    return made_of((numbers.size, *array.shape[1:]), array.dtype, some, what=what)


def temporary_file(n_bytes: int, what: str) -> IO[bytes]:
    """Open a file without a name for so many bytes, which goes with the process, however that ends.

    Parameters
    ----------
    n_bytes : int
    what : str
        What it will hold, for messages.

    Raises
    ------
    DataError
        There is no room for it.
    """
    folder = _folder()
    free = shutil.disk_usage(folder).free
    if n_bytes + _SPARE_BYTES > free:
        raise DataError(
            f"{what} takes {n_bytes / 1e9:.1f} GB, too much for memory, but {folder} has {free / 1e9:.1f} GB free for "
            "a temporary file; set TMPDIR to a folder on a larger disk."
        )
    logger.info(
        "%s takes %.1f GB, too much for memory: it is written once to a temporary file in %s, which goes when the "
        "program ends",
        what,
        n_bytes / 1e9,
        folder,
    )
    return tempfile.TemporaryFile(dir=folder)


def _folder() -> str:
    """Return where temporary files go: where the user says, else not where files themselves take memory."""
    usual = tempfile.gettempdir()
    if any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")) or not _is_in_memory(usual):
        return usual
    return "/var/tmp" if os.access("/var/tmp", os.W_OK) else usual


def _is_in_memory(folder: str) -> bool:
    """Return whether a folder lies on a file system that is kept in memory, as far as the system says."""
    kinds = dict(_mounts())
    here = Path(folder).resolve()
    return next(
        (kinds[str(path)] in _IN_MEMORY for path in (here, *here.parents) if str(path) in kinds), False
    )


def _mounts() -> Iterator[tuple[str, str]]:
    """Yield where file systems are mounted, and their kinds."""
    try:
        text = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:  # a system without it
        return
    for line in text.splitlines():
        _, place, kind, *_ = line.split()
        yield place, kind
