"""NPZ archives and NPY arrays opened without trust: no pickles, no member larger than it says."""

from __future__ import annotations

import bz2
import math
import os
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np

from ptycho._io.believing import are_believed
from ptycho._io.damage import DAMAGE
from ptycho._io.mapped import map_array
from ptycho._io.packing import FRAMES, SINGLE, Packing
from ptycho._io.regular import open_regular
from ptycho._io.row_store import largest_in_memory_bytes, temporary_file
from ptycho._io.zipped import ZipMembers, zip_members
from ptycho.errors import DataError, SettingsError

_BZIP2 = b"BZh"
# A member in a ZIP file is preceded by 30 bytes, the last four of which tell how long the name and the extra
# field are that come next (APPNOTE.TXT 6.3.10, section 4.3.7).
_LOCAL_HEADER = struct.Struct("<26xHH")
_CHUNK_BYTES = 1 << 20
# NumPy itself refuses longer ones, but not before it has read them.
_MAX_HEADER_BYTES = 10_000


class Archive:
    """The members of one open NPZ file; get one from `open_archive`.

    Only headers are read until `read` is called, so that shapes can be checked before gigabytes are
    unpacked, and members that nobody asks for are never decompressed.
    """

    def __init__(self, members: ZipMembers, file: IO[bytes]) -> None:
        self.name = members.name
        self._zipped, self._file = members, file
        self._members = {
            member.removesuffix(".npy"): member for member in members.names() if member.endswith(".npy")
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

    def declared(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return shape and type of a member from its header alone; refuse Python objects."""
        self._refuse_pickled(key)
        return self._header(key)

    def require(self, keys: Sequence[str]) -> None:
        """Refuse the archive, naming what it holds, unless it has every one of `keys`."""
        missing = [key for key in keys if key not in self]
        if missing:
            raise DataError(
                f"{self.name} has no {_listed(missing)}; it holds {_listed(self.keys)} "
                f"and needs {_listed(keys)}."
            )

    def read(self, key: str, packing: Packing = SINGLE) -> np.ndarray:
        """Unpack one member.

        Raises
        ------
        DataError
            The member holds Python objects, is damaged, or declares far more than is stored.
        """
        self._refuse_pickled(key)
        with self._opened(key, packing) as member:
            return np.lib.format.read_array(member, allow_pickle=False)

    def read_mapped(self, key: str) -> np.ndarray:
        """Return one member, read-only, without taking memory for it if it lies in the file as it is.

        So `numpy.savez` stores it: its pages are then read when they are used, and dropped again when memory
        is short. What `numpy.savez_compressed` wrote is unpacked, if it is large to a temporary file.

        Raises
        ------
        DataError
            As `read`; the checksum is compared here too, but for `believing_files`.
        """
        info = self._zipped.info(self._members[key])
        self._refuse_pickled(key)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            is_large = info.file_size > largest_in_memory_bytes()
            return self._read_unpacked(key, info.file_size) if is_large else self.read(key, FRAMES)
        with self._opened(key, FRAMES) as member:
            shape, fortran_order, dtype = _read_layout(member)
            header_bytes = member.tell()
            # To the end, where the checksum is compared.
            while not fortran_order and not are_believed() and member.read(_CHUNK_BYTES):
                pass
        if fortran_order:
            return self.read(key, FRAMES)
        self._file.seek(info.header_offset)
        skipped = _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size)))
        offset = info.header_offset + skipped + header_bytes
        try:
            return map_array(self._file, dtype, shape, offset)
        except (OSError, ValueError):
            # Nothing to map, or a file system that cannot.
            return self.read(key, FRAMES)

    def _read_unpacked(self, key: str, n_bytes: int) -> np.ndarray:
        """Return one member from a temporary file to which it is unpacked."""
        with (
            self._opened(key, FRAMES) as member,
            temporary_file(n_bytes, f"{key} in {self.name}") as unpacked,
        ):
            shape, fortran_order, dtype = _read_layout(member)
            # To the end, where the checksum is compared.
            while piece := member.read(_CHUNK_BYTES):
                unpacked.write(piece)
            unpacked.flush()
            array = map_array(unpacked, dtype, shape[::-1] if fortran_order else shape, 0)
        return array.T if fortran_order else array

    def _refuse_pickled(self, key: str) -> None:
        if self.is_pickled(key):
            raise DataError(
                f"{key} in {self.name} is a pickled Python object, which is never loaded because unpickling "
                "can run code; save it again as a plain numeric or text array."
            )

    def _header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        with self._opened(key, FRAMES) as member:
            shape, _, dtype = _read_layout(member)
            header_bytes = member.tell()
        declared = self._zipped.info(self._members[key]).file_size
        _refuse_wrong_size(f"{key} in {self.name}", shape, dtype, declared - header_bytes)
        return shape, dtype

    @contextmanager
    def _opened(self, key: str, packing: Packing) -> Iterator[IO[bytes]]:
        with self._zipped.opened(self._members[key], packing, called=key) as stream:
            yield stream


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an NPZ file for reading; one compressed as a whole by bzip2 is unpacked to a temporary file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is no NPZ, is truncated, or is no regular file.
    """
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(open_regular(path))
        if file.read(len(_BZIP2)) == _BZIP2:
            n_bytes = file.seek(0, os.SEEK_END)
            # Without a name: it goes with the process, however that ends.
            file = stack.enter_context(tempfile.TemporaryFile())
            _unpack_bzip2(path, file, FRAMES.most(n_bytes))
        yield Archive(stack.enter_context(zip_members(file, str(path), kind="an NPZ")), file)


def read_npy(path: Path, *, mapped: bool = False) -> np.ndarray:
    """Read the one array of an NPY file, or leave it in the file, read-only, until it is used.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        It is no NPY file, is damaged, or holds Python objects.
    """
    try:
        with open_regular(path) as file:
            shape, fortran_order, dtype = _read_layout(file)
            header_bytes = file.tell()
            if not dtype.hasobject:
                stored = os.fstat(file.fileno()).st_size - header_bytes
                _refuse_wrong_size(str(path), shape, dtype, stored)
                if mapped and math.prod(shape):
                    in_file = map_array(file, dtype, shape[::-1] if fortran_order else shape, header_bytes)
                    return in_file.T if fortran_order else in_file
            file.seek(0)
            return np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise
    except (*DAMAGE, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} cannot be read as a NumPy array ({error}); copy or write it again."
        ) from error


def _unpack_bzip2(path: Path, target: IO[bytes], most_bytes: int) -> None:
    try:
        with bz2.open(path) as stream:
            while piece := stream.read(_CHUNK_BYTES):
                if target.tell() + len(piece) > most_bytes:
                    raise DataError(
                        f"{path} unpacks to more than {most_bytes} bytes, far more than it stores; it is not what it "
                        "seems, so it is not unpacked any further."
                    )
                target.write(piece)
    except EOFError as error:
        raise DataError(f"{path} is truncated: its bzip2 stream ends early; copy it again.") from error
    except OSError as error:
        # bz2 reports damage without an errno; a full disk has one.
        if error.errno is not None:
            raise
        raise DataError(f"{path} is damaged ({error}); copy it again.") from error


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
        (1, 0): (np.lib.format.read_array_header_1_0, struct.Struct("<H")),
        (2, 0): (np.lib.format.read_array_header_2_0, struct.Struct("<I")),
    }
    if version not in readers:
        raise ValueError(f"NPY version {version} is not one of {sorted(readers)}")
    read, length = readers[version]
    packed = member.read(length.size)
    (n_bytes,) = length.unpack(packed)
    if n_bytes > _MAX_HEADER_BYTES:
        raise ValueError(f"a header of {n_bytes} bytes, more than {_MAX_HEADER_BYTES}")
    return read(BytesIO(packed + member.read(n_bytes)))


def _refuse_wrong_size(what: str, shape: tuple[int, ...], dtype: np.dtype, n_bytes: int) -> None:
    """Refuse structures and times, and a shape that `n_bytes` do not fill: a forged one would take far more memory."""
    if dtype.kind in "VMm":
        raise DataError(f"{what} has the type {dtype} but must be plain numbers or text; store it so.")
    promised = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and promised != n_bytes:
        raise DataError(
            f"{what} is damaged: shape {shape} of {dtype} needs {promised} bytes but {n_bytes} are stored; copy or "
            "make the file again."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "nothing"
