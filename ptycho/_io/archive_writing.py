"""NPZ archives that are written member by member: one array is in memory at a time, and none can be a pickle."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import ArrayLike


class ArchiveWriter:
    """The members of an NPZ that is being written; get one from `writing_archive`."""

    def __init__(self, zipped: zipfile.ZipFile) -> None:
        self._zipped = zipped

    def add(self, key: str, array: ArrayLike) -> None:
        """Write one member."""
        with self.member(key) as member:
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

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
