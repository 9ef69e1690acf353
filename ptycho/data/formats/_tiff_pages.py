"""The directories of a TIFF file: which images it holds, and where their pixels lie.

The layout is that of "TIFF Revision 6.0", Adobe 1992, with the 64-bit offsets of BigTIFF: a header, then a chain of
directories of tags, one for each image, whose pixels lie in strips or tiles.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

_BIG = 43
# The types of the values of the tags below, by their code.
_VALUES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 16: "u8"}
_NOTHING = np.empty(0, np.uint8)
_SUBFILE, _COLUMNS, _ROWS, _BITS, _COMPRESSION, _DESCRIPTION = 254, 256, 257, 258, 259, 270
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PREDICTOR = 273, 277, 278, 279, 317
_TILE_COLUMNS, _TILE_ROWS, _TILE_OFFSETS, _TILE_BYTES, _FORMAT = 322, 323, 324, 325, 339
_WANTED = {
    *(
        _SUBFILE,
        _COLUMNS,
        _ROWS,
        _BITS,
        _COMPRESSION,
        _DESCRIPTION,
        _STRIP_OFFSETS,
        _SAMPLES,
        _ROWS_PER_STRIP,
    ),
    *(_STRIP_BYTES, _PREDICTOR, _TILE_COLUMNS, _TILE_ROWS, _TILE_OFFSETS, _TILE_BYTES, _FORMAT),
}
_KINDS = {1: "u", 2: "i", 3: "f"}
_DTYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
_IS_PREVIEW = 1
_NO_PREDICTOR, _HORIZONTAL = 1, 2
_MOST_TAGS, _MOST_PAGES, _MOST_DESCRIPTION_BYTES = 4096, 1_000_000, 64 << 10


class BrokenError(Exception):
    """A file contradicts itself; the text says how."""


class UnreadError(Exception):
    """A file holds images that are not read here; the text says which, and what to do."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TiffPage:
    """One image.

    Attributes
    ----------
    shape : (rows, columns)
    dtype : numpy.dtype
        With its order of bytes.
    compression : int
        Code of the specification.
    is_differences : bool
        Whether each pixel is stored as the difference from its left neighbour.
    segment : (rows, columns)
        Of a strip, or a tile, which may reach beyond the image.
    is_tiled : bool
    offsets, sizes : (k,) uint64
        Where strips or tiles lie in the file, row by row, and how many bytes they have there.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    compression: int
    is_differences: bool
    segment: tuple[int, int]
    is_tiled: bool
    offsets: np.ndarray
    sizes: np.ndarray

    @property
    def n_bytes(self) -> int:
        """Return the bytes of its pixels, unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize

    def segments(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield where each strip or tile lies in the file and its bytes there, and its first row and column."""
        rows, columns = self.segment
        corners = (
            (row, column)
            for row in range(0, self.shape[0], rows)
            for column in range(0, self.shape[1], columns)
        )
        for offset, size, (row, column) in zip(self.offsets, self.sizes, corners, strict=True):
            yield int(offset), int(size), row, column


def pages_of(file: BinaryIO, n_bytes: int) -> tuple[list[TiffPage], str]:
    """Return the images of a file of `n_bytes`, without the previews of others, and what its description says.

    Raises
    ------
    BrokenError
        The file is damaged.
    UnreadError
        An image is in colour, or of a type that is none of NumPy's.
    """
    reader = _Reader(file, n_bytes)
    pages, description = [], ""
    for tags in reader.directories():
        if not _one(tags, _SUBFILE, 0) & _IS_PREVIEW:
            description = description or tags.get(_DESCRIPTION, _NOTHING).tobytes().decode("utf-8", "replace")
            pages.append(_page(tags, reader.order, n_bytes))
    if not pages:
        raise BrokenError("it holds no image")
    return pages, description


class _Reader:
    """Bytes and numbers of a file, never beyond its end."""

    def __init__(self, file: BinaryIO, n_bytes: int) -> None:
        self._file, self._n_bytes = file, n_bytes
        self.order = {b"II": "<", b"MM": ">"}[self.stored(0, 2)]
        self._is_big = self.number("H", 2) == _BIG
        self._word = "Q" if self._is_big else "I"

    def stored(self, offset: int, size: int) -> bytes:
        if offset + size > self._n_bytes:
            raise BrokenError(f"it has {self._n_bytes} bytes but {size} are to be read at {offset}")
        self._file.seek(offset)
        found = self._file.read(size)
        if len(found) != size:
            raise BrokenError("it became shorter while it was read")
        return found

    def number(self, code: str, offset: int) -> int:
        return struct.unpack(f"{self.order}{code}", self.stored(offset, struct.calcsize(f"<{code}")))[0]

    def directories(self) -> Iterator[dict[int, np.ndarray]]:
        """Yield the tags of each directory, by number."""
        offset, seen = self.number(self._word, 8 if self._is_big else 4), set()
        while offset:
            if offset in seen or len(seen) == _MOST_PAGES:
                raise BrokenError(f"its chain of images does not end after {len(seen)}")
            seen.add(offset)
            tags, offset = self._directory(offset)
            yield tags

    def _directory(self, offset: int) -> tuple[dict[int, np.ndarray], int]:
        """Return the tags of the directory at `offset`, and where the next one is."""
        count, entry = ("Q", "HHQ8s") if self._is_big else ("H", "HHI4s")
        n_tags = self.number(count, offset)
        if n_tags > _MOST_TAGS:
            raise BrokenError(f"one image has {n_tags} tags")
        start, size = offset + struct.calcsize(f"<{count}"), struct.calcsize(f"<{entry}")
        entries = struct.iter_unpack(f"{self.order}{entry}", self.stored(start, n_tags * size))
        tags = {tag: self._values(tag, *rest) for tag, *rest in entries if tag in _WANTED}
        return tags, self.number(self._word, start + n_tags * size)

    def _values(self, tag: int, kind: int, count: int, field: bytes) -> np.ndarray:
        if kind not in _VALUES:
            raise BrokenError(f"tag {tag} has values of type {kind}")
        dtype = np.dtype(f"{self.order}{_VALUES[kind]}")
        size = count * dtype.itemsize
        if tag == _DESCRIPTION:
            size = min(size, _MOST_DESCRIPTION_BYTES)
        if size > len(field):
            field = self.stored(struct.unpack(f"{self.order}{self._word}", field)[0], size)
        return np.frombuffer(field[:size], dtype)


def _one(tags: dict[int, np.ndarray], tag: int, default: int | None = None) -> int:
    """Return the one number of a tag."""
    values = tags.get(tag, _NOTHING)
    if values.size:
        return int(values[0])
    if default is None:
        raise BrokenError(f"tag {tag} is missing")
    return default


def _page(tags: dict[int, np.ndarray], order: str, n_bytes: int) -> TiffPage:
    rows, columns = _one(tags, _ROWS), _one(tags, _COLUMNS)
    is_tiled = _TILE_OFFSETS in tags
    # Left out, or 2**32 - 1, for a single strip.
    in_strip = min(_one(tags, _ROWS_PER_STRIP, rows), rows)
    segment = (_one(tags, _TILE_ROWS), _one(tags, _TILE_COLUMNS)) if is_tiled else (in_strip, columns)
    page = TiffPage(
        shape=(rows, columns),
        dtype=np.dtype(f"{order}{_number_type(tags)}"),
        compression=_one(tags, _COMPRESSION, 1),
        is_differences=_is_differences(tags),
        segment=segment,
        is_tiled=is_tiled,
        offsets=tags.get(_TILE_OFFSETS if is_tiled else _STRIP_OFFSETS, _NOTHING).astype(np.uint64),
        sizes=tags.get(_TILE_BYTES if is_tiled else _STRIP_BYTES, _NOTHING).astype(np.uint64),
    )
    _refuse_impossible(page, n_bytes)
    return page


def _number_type(tags: dict[int, np.ndarray]) -> str:
    n_samples, bits, sample_format = _one(tags, _SAMPLES, 1), _one(tags, _BITS, 1), _one(tags, _FORMAT, 1)
    if n_samples != 1:
        raise UnreadError(
            f"holds {n_samples} values a pixel, as colour images do, but frames have one; name the file in which the "
            "detector's counts were stored"
        )
    name = f"{_KINDS.get(sample_format, '?')}{bits // 8}"
    if bits % 8 or name not in _DTYPES:
        raise UnreadError(
            f"holds numbers of {bits} bits (sample format {sample_format}), which are not read; save it anew with "
            "whole numbers of 8, 16 or 32 bits, or floats of 32"
        )
    return name


def _is_differences(tags: dict[int, np.ndarray]) -> bool:
    predictor = _one(tags, _PREDICTOR, _NO_PREDICTOR)
    if predictor not in (_NO_PREDICTOR, _HORIZONTAL):
        raise UnreadError(
            f"is packed with predictor {predictor}, which is not read; save it anew without compression"
        )
    return predictor == _HORIZONTAL


def _refuse_impossible(page: TiffPage, n_bytes: int) -> None:
    if 0 in page.shape or 0 in page.segment:
        raise BrokenError(f"an image has {page.shape} pixels in pieces of {page.segment}")
    n_segments = math.prod(
        math.ceil(extent / piece) for extent, piece in zip(page.shape, page.segment, strict=True)
    )
    if not len(page.offsets) == len(page.sizes) == n_segments:
        raise BrokenError(f"an image has {len(page.offsets)} pieces where {n_segments} are needed")
    left = n_bytes - np.minimum(page.offsets, np.uint64(n_bytes))
    if np.any(page.sizes > left):
        raise BrokenError(f"it has {n_bytes} bytes, and an image is said to lie beyond")
