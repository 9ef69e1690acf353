"""NPZ archives that are written member by member: one array is in memory at a time, and none can be a pickle."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from ptycho._io.mapped import blocks_of, is_mapped
from ptycho._io.stored import StoredRows


class ArchiveWriter:
    """The members of an NPZ that is being written; get one from `writing_archive`."""

    def __init__(self, zipped: zipfile.ZipFile) -> None:
        self._zipped = zipped

    def add(self, key: str, array: ArrayLike) -> None:
        """Write one member."""
        # What lies in a file is written block by block, and everything else as NumPy does.
        values: Any = array if isinstance(array, StoredRows) else np.asanyarray(array)
        with self.member(key) as member:
            if not is_mapped(values):
                np.lib.format.write_array(member, values, allow_pickle=False)
                return
            descr = np.lib.format.dtype_to_descr(values.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": values.shape}
            np.lib.format.write_array_header_1_0(member, header)
            for _, rows in blocks_of(values):
                member.write(np.ascontiguousarray(rows).view(np.uint8).data)

    def member(self, key: str) -> IO[bytes]:
        """Open a member for an array in NPY format that its writer knows only bit by bit."""
        # Its size is not known when its header is written.
        return self._zipped.open(f"{key}.npy", "w", force_zip64=True)


@contextmanager
def writing_archive(file: Path | BinaryIO) -> Iterator[ArchiveWriter]:
    """Open an NPZ for writing; its members are not compressed, so that they can be mapped."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as zipped:
        yield ArchiveWriter(zipped)


def write_archive(file: Path | BinaryIO, members: Iterable[tuple[str, ArrayLike | None]]) -> None:
    """Write an NPZ of all members that are not None; each is asked for when the one before is written."""
    with writing_archive(file) as archive:
        for key, array in members:
            if array is not None:
                archive.add(key, array)
