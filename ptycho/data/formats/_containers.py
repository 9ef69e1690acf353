"""The kinds of file that formats lie in, told apart by their first bytes and opened without trust."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.archive import Archive, open_archive, read_npy
from ptycho._io.hdf5 import Hdf5File, open_hdf5
from ptycho._io.regular import open_regular
from ptycho.data.formats._matlab import MatFile
from ptycho.data.formats._series import FrameSeries, is_series
from ptycho.data.formats._tiff import SIGNATURES, TiffStack, open_tiff
from ptycho.errors import DataError

_HDF5 = b"\x89HDF\r\n\x1a\n"
# HDF5 may begin after a block of another program, as MATLAB's files do.
_HDF5_STARTS = (0, 512, 1024, 2048)
_NPY = b"\x93NUMPY"
_MATLAB = b"MATLAB 5.0 MAT-file"
_MAX_TABLE_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class NpyFile:
    """One array of numbers, mapped."""

    name: str
    array: np.ndarray


@dataclass(frozen=True, eq=False)
class TextTable:
    """Rows of numbers in a text file, whether commas divide them, and the names that a header gives its columns."""

    name: str
    rows: np.ndarray
    has_commas: bool
    names: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """What it holds, in words."""
        headed = f" under {', '.join(self.names)}" if self.names else ""
        return (f"{self.rows.shape[0]} rows of {self.rows.shape[1]} numbers{headed}",)

    def column(self, wanted: str) -> int:
        """Return the number of a column, from 0, that is named or numbered.

        Raises
        ------
        DataError
            There is no such column.
        """
        by_name = {name.lower(): number for number, name in enumerate(self.names)}
        number = by_name.get(wanted.lower(), int(wanted) if wanted.isdecimal() else -1)
        if not 0 <= number < self.rows.shape[1]:
            raise DataError(
                f"{self.name} holds {self.keys[0]} and has no column {wanted}; name one, or its number from 0."
            )
        return number


@contextmanager
def open_container(path: Path, *, neighbours: bool = False) -> Iterator[Any]:
    """Open a file as `Archive`, `Hdf5File`, `MatFile`, `NpyFile`, `TiffStack` or `TextTable`.

    A folder, or a pattern that files match, is opened as `FrameSeries`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        It is damaged, or none of these.
    """
    if is_series(path):
        yield FrameSeries.of(path)
        return
    with open_regular(path) as file:
        start = file.read(_HDF5_STARTS[-1] + len(_HDF5))
    if any(start[at : at + len(_HDF5)] == _HDF5 for at in _HDF5_STARTS):
        with open_hdf5(path, neighbours=neighbours) as opened:
            yield opened
    elif start.startswith(_NPY):
        yield NpyFile(str(path), read_npy(path, mapped=True))
    elif start.startswith(_MATLAB):
        yield MatFile(path)
    elif start.startswith(SIGNATURES):
        with open_tiff(path) as stack:
            yield stack
    elif start[:2] == b"PK" or start[:3] == b"BZh":
        with open_archive(path) as archive:
            yield archive
    else:
        yield _table(path, start)


def kind_of(container: Any) -> str:
    """Return what an open container is called."""
    names = {
        Archive: "an NPZ archive",
        Hdf5File: "an HDF5 file",
        NpyFile: "an NPY array",
        TiffStack: "a TIFF file",
        FrameSeries: "a series of files",
        TextTable: "a table",
    }
    return names.get(type(container), "a MATLAB file")


def contents_of(container: Any) -> str:
    """Return what an open container holds, for a message."""
    if isinstance(container, Hdf5File):
        return container.contents()
    if isinstance(container, NpyFile):
        return f"{container.array.dtype} of shape {container.array.shape}"
    if isinstance(container, TiffStack):
        return f"{container.dtype} of shape {container.shape}"
    return ", ".join(container.keys) or "nothing"


def _table(path: Path, start: bytes) -> TextTable:
    if b"\0" in start or not start.strip():
        raise DataError(
            f"{path} is none of the files that are read here (it begins with {start[:8]!r}); pass an NPZ, HDF5, MAT, "
            "NPY, TIFF or CXI file, or a table of positions."
        )
    if path.stat().st_size > _MAX_TABLE_BYTES:
        raise DataError(
            f"{path} is a text of more than {_MAX_TABLE_BYTES} bytes, no table of positions; pass one."
        )
    has_commas = b"," in start
    delimiter = "," if has_commas else None
    names = _header(start, delimiter)
    try:
        rows = np.loadtxt(path, delimiter=delimiter, comments="#", ndmin=2, skiprows=1 if names else 0)
    except (ValueError, UnicodeDecodeError) as error:
        reason = str(error).split(";")[0]
        raise DataError(
            f"{path} is none of the files that are read here: it begins with {start[:8]!r} and is no table of "
            f"numbers either ({reason}); pass an NPZ, HDF5, MAT, NPY, TIFF or CXI file, or a table of positions."
        ) from error
    return TextTable(str(path), rows, has_commas, names if len(names) == rows.shape[1] else ())


def _header(start: bytes, delimiter: str | None) -> tuple[str, ...]:
    """Return the names in the first line of a table; none if it is a comment, or no line of numbers follows."""
    lines = start.decode("utf-8-sig", "replace").splitlines()
    if len(lines) < 2 or lines[0].startswith("#"):
        return ()
    names = tuple(part.strip().strip('"') for part in lines[0].split(delimiter))
    starts_with_number = _is_number((lines[1].split(delimiter) or [""])[0])
    return names if starts_with_number and not any(map(_is_number, names)) else ()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
