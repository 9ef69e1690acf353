"""NPZ archives opened without trust: no pickles, no member larger than it says."""

from __future__ import annotations

import bz2
import errno
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from ptycho._io.damage import DAMAGE
from ptycho.errors import DataError, SettingsError

_ZIP = b"PK\x03\x04"
_BZIP2 = b"BZh"
_NPY = b"\x93NUMPY"
# A member in a ZIP file is preceded by 30 bytes, the last four of which tell how long the name and the extra
# field are that come next (APPNOTE.TXT 6.3.10, section 4.3.7).
_LOCAL_HEADER = struct.Struct("<26xHH")
_CHUNK_BYTES = 1 << 20


class Archive:
    """The members of one open NPZ file; get one from `open_archive`.

    Only headers are read until `read` is called, so that shapes can be checked before gigabytes are
    unpacked, and members that nobody asks for are never decompressed.
    """

    def __init__(self, zipped: zipfile.ZipFile, file: IO[bytes], name: str) -> None:
        self.name = name
        self._zipped, self._file = zipped, file
        self._members = {
            info.filename.removesuffix(".npy"): info
            for info in zipped.infolist()
            if info.filename.endswith(".npy")
        }
        self.keys = tuple(self._members)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a member from its header alone."""
        return self._header(key)[0]

    def dtype(self, key: str) -> np.dtype:
        """Return the type of a member from its header alone."""
        return self._header(key)[1]

    def is_pickled(self, key: str) -> bool:
        """Tell whether a member holds Python objects, which are never loaded."""
        return self._header(key)[1].hasobject

    def require(self, keys: Sequence[str]) -> None:
        """Refuse the archive, naming what it holds, unless it has every one of `keys`."""
        missing = [key for key in keys if key not in self]
        if missing:
            raise DataError(
                f"{self.name} has no {_listed(missing)}; it holds {_listed(self.keys)} "
                f"and needs {_listed(keys)}."
            )

    def read(self, key: str) -> np.ndarray:
        """Unpack one member.

        Raises
        ------
        DataError
            The member holds Python objects, or is damaged.
        """
        if self.is_pickled(key):
            raise DataError(
                f"{key} in {self.name} is a pickled Python object, which is never loaded because unpickling "
                "can run code; save it again as a plain numeric or text array."
            )
        with self._damage_named(key), self._zipped.open(self._members[key]) as member:
            return np.lib.format.read_array(member, allow_pickle=False)

    def read_mapped(self, key: str) -> np.ndarray:
        """Return one member, read-only, without taking memory for it if it lies in the file as it is.

        So `numpy.savez` stores it: its pages are then read when they are used, and dropped again when memory
        is short. What `numpy.savez_compressed` wrote is unpacked.

        Raises
        ------
        DataError
            As `read`; the checksum is compared here too.
        """
        info = self._members[key]
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or self.is_pickled(key):
            return self.read(key)
        with self._damage_named(key), self._zipped.open(info) as member:
            shape, fortran_order, dtype = _read_layout(member)
            header_bytes = member.tell()
            # To the end, where the checksum is compared.
            while not fortran_order and member.read(_CHUNK_BYTES):
                pass
        if fortran_order:
            return self.read(key)
        self._file.seek(info.header_offset)
        skipped = _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size)))
        offset = info.header_offset + skipped + header_bytes
        try:
            mapped = np.memmap(self._file, dtype=dtype, mode="r", offset=offset, shape=shape)
        except (OSError, ValueError):
            # Nothing to map, or a file system that cannot.
            return self.read(key)
        # As a plain array: the class shows in no result, and the pages live as long as any view of them.
        return mapped.view(np.ndarray)

    def _header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        with self._damage_named(key), self._zipped.open(self._members[key]) as member:
            shape, _, dtype = _read_layout(member)
            header_bytes = member.tell()
        if dtype.kind == "V":
            raise DataError(
                f"{key} in {self.name} has the structured type {dtype} but must be plain numbers or text; store it so."
            )
        promised = header_bytes + prod(shape) * dtype.itemsize
        # A forged shape would otherwise allocate far more than the file can fill.
        if not dtype.hasobject and promised != self._members[key].file_size:
            raise DataError(
                f"{key} in {self.name} is damaged: shape {shape} of {dtype} needs {promised} bytes but "
                f"{self._members[key].file_size} are stored; copy or make the file again."
            )
        return shape, dtype

    @contextmanager
    def _damage_named(self, key: str) -> Iterator[None]:
        try:
            yield
        except DAMAGE as error:
            raise DataError(
                f"{key} in {self.name} cannot be unpacked ({error}); the file is damaged, "
                "so copy or make it again."
            ) from error
        except OSError as error:
            # What zipfile makes of places that lie outside the file.
            if error.errno not in (None, errno.EINVAL):
                raise
            raise DataError(
                f"{key} in {self.name} cannot be found in the file ({error}); it is cut or damaged, so copy it again."
            ) from error


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an NPZ file for reading; one compressed as a whole by bzip2 is unpacked to a temporary file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is no NPZ, or is truncated.
    """
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        start = file.read(4)
        if start.startswith(_BZIP2):
            file = stack.enter_context(tempfile.TemporaryFile())
            _unpack_bzip2(path, file)
            start = file.read(4)
        try:
            zipped = stack.enter_context(zipfile.ZipFile(file))
        except zipfile.BadZipFile as error:
            if start == _ZIP:
                raise DataError(
                    f"{path} is truncated: it begins as an NPZ but its table of contents, at the end, is "
                    "missing; copy or make the file again."
                ) from error
            raise DataError(
                f"{path} is not an NPZ archive (it begins with {start!r}); pass a file written by numpy.savez."
            ) from error
        except DAMAGE as error:
            raise DataError(
                f"{path} is damaged: its table of contents cannot be read ({error}); copy or make the file again."
            ) from error
        yield Archive(zipped, file, str(path))


def read_npy(path: Path, *, mapped: bool = False) -> np.ndarray:
    """Read the one array of an NPY file, or leave it in the file, read-only, until it is used.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        It is no NPY file, is damaged, or holds Python objects.
    """
    with path.open("rb") as file:
        start = file.read(len(_NPY))
    try:
        if start != _NPY:
            raise ValueError(f"it begins with {start!r}")
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (*DAMAGE, OSError) as error:
        raise DataError(
            f"{path} cannot be read as a NumPy array ({error}); copy or write it again."
        ) from error
    return array.view(np.ndarray)


def _unpack_bzip2(path: Path, target: IO[bytes]) -> None:
    try:
        with bz2.open(path) as stream:
            shutil.copyfileobj(stream, target)
    except EOFError as error:
        raise DataError(f"{path} is truncated: its bzip2 stream ends early; copy it again.") from error
    except OSError as error:
        # bz2 reports damage without an errno; a full disk has one.
        if error.errno is not None:
            raise
        raise DataError(f"{path} is damaged ({error}); copy it again.") from error
    target.seek(0)


@contextmanager
def errors_naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the file's name before what its contents are refused for, and make a `DataError` of it."""
    try:
        yield
    except (DataError, SettingsError) as error:
        raise DataError(f"{path}: {error}") from error


def _read_layout(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an array up to its first byte: shape, Fortran order, type."""
    version = np.lib.format.read_magic(member)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"NPY version {version} is not one of {sorted(readers)}")
    return readers[version](member)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "nothing"
