"""MATLAB files of versions 5 and 6 opened without trust; version 7.3 is HDF5.

The layout is that of "MAT-File Format", MathWorks: a header of 128 bytes, then elements, each a tag of eight bytes
(type, number of bytes) before its content, and each padded to a multiple of eight.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptycho.errors import DataError

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
# Types of plain numbers by their code.
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
}
_STRUCTURE, _FIRST_NUMERIC, _LAST_NUMERIC = 2, 6, 15
_COMPLEX_FLAG = 0x0800
_MAX_ELEMENTS = 20_000
_MAX_DEPTH = 8
# Images of numbers pack far less; what is small may be packed as it likes.
_MAX_RATIO, _SMALL_BYTES = 200, 64 << 20


class MatFile:
    """The variables of one MAT file: arrays of numbers in MATLAB's own order of axes, and structures of such."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        content = path.read_bytes()
        order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
        if order is None:
            raise self._damaged("its header has no mark of byte order")
        try:
            found = [variable for _, variable in self._variables(content, order)]
        except _BrokenError as error:
            raise self._damaged(str(error)) from error
        self._variables_by_name = {variable.name: variable for variable in found if variable is not None}
        self.keys = tuple(self._variables_by_name)

    def __contains__(self, key: str) -> bool:
        return key in self._variables_by_name

    def read(self, key: str) -> np.ndarray:
        """Return the numbers of one variable."""
        found = self._variables_by_name.get(key)
        if found is None or found.values is None:
            raise DataError(
                f"{self.name} has no numbers called {key}; it holds {', '.join(self.keys) or 'nothing'}."
            )
        return found.values

    def values(self, key: str) -> np.ndarray | None:
        """Return the numbers of one variable, None if it holds something else."""
        return self._variables_by_name[key].values

    def field(self, key: str, name: str) -> np.ndarray | None:
        """Return the numbers of field `name` of the structure `key`, None if there are none."""
        found = self._variables_by_name.get(key)
        field = None if found is None else found.fields.get(name)
        return None if field is None else field.values

    def _variables(self, content: bytes, order: str) -> Iterator[tuple[int, _Variable | None]]:
        most = max(_SMALL_BYTES, _MAX_RATIO * len(content))
        for kind, body in _elements(memoryview(content)[_HEADER_BYTES:], order):
            if kind == _COMPRESSED:
                unpacked = _inflated(body, most)
                for inner, inner_body in _elements(memoryview(unpacked), order):
                    yield inner, _matrix(inner_body, order, 0) if inner == _MATRIX else None
            elif kind == _MATRIX:
                yield kind, _matrix(body, order, 0)

    def _damaged(self, reason: str) -> DataError:
        return DataError(f"{self.name} is damaged ({reason}); copy it again.")


@dataclass(frozen=True, eq=False)
class _Variable:
    """A named array of numbers, a structure's fields, or something else, of which only the name is kept."""

    name: str
    values: np.ndarray | None
    fields: dict[str, _Variable]


class _BrokenError(ValueError):
    """The bytes are not laid out as they say."""


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and content of the elements that lie one after the other."""
    at = 0
    for _ in range(_MAX_ELEMENTS):
        if len(content) - at < 8:
            return
        first, second = np.frombuffer(content[at : at + 8], f"{order}u4").tolist()
        if first >> 16:
            # A small element: its size is in the type's upper half, its content in the tag.
            kind, n_bytes, start = first & 0xFFFF, first >> 16, at + 4
            if n_bytes > 4:
                raise _BrokenError(f"a small element of {n_bytes} bytes")
            at += 8
        else:
            kind, n_bytes, start = first, second, at + 8
            # Compressed elements alone are not padded.
            at = start + (n_bytes if kind == _COMPRESSED else -(-n_bytes // 8) * 8)
        if start + n_bytes > len(content):
            raise _BrokenError(f"an element of {n_bytes} bytes where {len(content) - start} are left")
        yield kind, content[start : start + n_bytes]
    raise _BrokenError(f"more than {_MAX_ELEMENTS} elements")


def _inflated(body: memoryview, most: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(body, most)
    except zlib.error as error:
        raise _BrokenError(str(error)) from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise _BrokenError("a compressed element that is cut short or far larger than the file")
    return content


def _matrix(body: memoryview, order: str, depth: int) -> _Variable:
    parts = [(kind, content) for kind, content in _elements(body, order)]
    if not parts and not body:
        # So MATLAB writes an empty entry.
        return _Variable("", None, {})
    if len(parts) < 3 or len(parts[0][1]) < 4:
        raise _BrokenError("a matrix without flags, size or name")
    flags = int(np.frombuffer(parts[0][1][:4], f"{order}u4")[0])
    shape = tuple(_numbers(*parts[1], order).astype(np.int64).tolist())
    name = bytes(parts[2][1]).decode("latin-1")
    if any(extent < 0 for extent in shape) or len(shape) < 2:
        raise _BrokenError(f"{name} of size {shape}")
    kind = flags & 0xFF
    if kind == _STRUCTURE and depth < _MAX_DEPTH:
        return _Variable(name, None, _fields(parts[3:], shape, order, depth))
    if not _FIRST_NUMERIC <= kind <= _LAST_NUMERIC or len(parts) < (5 if flags & _COMPLEX_FLAG else 4):
        return _Variable(name, None, {})
    values = _shaped(parts[3], shape, name, order)
    if flags & _COMPLEX_FLAG:
        values = values + 1j * _shaped(parts[4], shape, name, order)
    return _Variable(name, values, {})


def _fields(
    parts: list[tuple[int, memoryview]], shape: tuple[int, ...], order: str, depth: int
) -> dict[str, _Variable]:
    """Return the fields of a structure; of an array of structures, those of the first."""
    if len(parts) < 2 or not math.prod(shape):
        return {}
    length = int(_numbers(*parts[0], order)[:1].sum())
    listed = bytes(parts[1][1])
    if not 0 < length <= max(1, len(listed)):
        raise _BrokenError(f"names of fields of {length} bytes")
    names = [
        listed[at : at + length].split(b"\0")[0].decode("latin-1") for at in range(0, len(listed), length)
    ]
    matrices = parts[2 : 2 + len(names)]
    return {
        name: _matrix(content, order, depth + 1)
        for name, (kind, content) in zip(names, matrices, strict=False)
        if kind == _MATRIX
    }


def _numbers(kind: int, content: memoryview, order: str) -> np.ndarray:
    if kind not in _NUMBERS:
        raise _BrokenError(f"numbers of the unknown type {kind}")
    dtype = np.dtype(order + _NUMBERS[kind])
    if len(content) % dtype.itemsize:
        raise _BrokenError(f"{len(content)} bytes of {dtype}")
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False)


def _shaped(part: tuple[int, memoryview], shape: tuple[int, ...], name: str, order: str) -> np.ndarray:
    values = _numbers(*part, order)
    if values.size != math.prod(shape):
        raise _BrokenError(f"{name} has {values.size} numbers for the size {shape}")
    return values.reshape(shape, order="F")
