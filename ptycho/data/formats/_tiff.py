"""TIFF files opened without trust: images of one size and type, unpacked one by one."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ptycho._io.packing import FRAMES
from ptycho._io.regular import open_regular
from ptycho.data.formats._tiff_pages import BrokenError, TiffPage, UnreadError, pages_of
from ptycho.errors import DataError

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NONE, _DEFLATE = 1, (8, 32946)
# What another package unpacks, if it is installed: its name for it, by the code of the specification.
_CODECS = {5: "lzw", 32773: "packbits", 50000: "zstd"}
# How ImageJ says how many images a file with one directory holds, one after the other.
_IMAGEJ = re.compile(r"ImageJ=.*?\nimages=(\d{1,9})\b", re.DOTALL)


@contextmanager
def open_tiff(path: Path) -> Iterator[TiffStack]:
    """Open a TIFF file.

    Raises
    ------
    DataError
        It is damaged, in colour, or holds images of several sizes.
    """
    with open_regular(path) as file:
        yield TiffStack(path, file)


class TiffStack:
    """The images of one TIFF file, which stays open; get one from `open_tiff`.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
    shape : (n, rows, columns)
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.name, self._file = str(path), file
        n_bytes = os.fstat(file.fileno()).st_size
        try:
            pages, description = pages_of(file, n_bytes)
        except BrokenError as error:
            raise self._damaged(str(error)) from error
        except UnreadError as error:
            raise DataError(f"{self.name} is a TIFF image that {error}.") from error
        self._pages = pages if len(pages) > 1 else _one_after_the_other(pages[0], description, n_bytes)
        self.dtype = pages[0].dtype.newbyteorder("=")
        self.shape = (len(self._pages), *pages[0].shape)
        self._refuse_mixture()
        self._refuse_bomb(n_bytes)

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return images ``start … stop - 1`` as they are stored, (m, rows, columns).

        Raises
        ------
        DataError
            One is damaged, or packed in a way that is not read here.
        """
        wanted = self._pages[start:stop]
        images = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        for number, page in enumerate(wanted):
            try:
                self._read_page(page, images[number])
            except (BrokenError, zlib.error) as error:
                raise self._damaged(f"image {start + number}: {error}") from error
        return images

    def _read_page(self, page: TiffPage, image: np.ndarray) -> None:
        rows, columns = page.segment
        for offset, size, row, column in page.segments():
            # The last strip ends with the image; a tile is always whole.
            height = rows if page.is_tiled else min(rows, page.shape[0] - row)
            self._file.seek(offset)
            content = self._unpacked(self._file.read(size), page, height * columns * page.dtype.itemsize)
            piece = np.frombuffer(content, page.dtype).astype(self.dtype).reshape(height, columns)
            if page.is_differences:
                # Of the bits, whatever number they stand for.
                bits = piece.view(f"u{piece.itemsize}")
                piece = np.cumsum(bits, axis=1, dtype=bits.dtype).view(self.dtype)
            inside = image[row : row + height, column : column + columns]
            inside[...] = piece[: inside.shape[0], : inside.shape[1]]

    def _unpacked(self, packed: bytes, page: TiffPage, n_bytes: int) -> bytes:
        """Return the `n_bytes` that are packed, never more."""
        if n_bytes > FRAMES.most(len(packed)):
            raise BrokenError(f"{len(packed)} bytes are said to hold {n_bytes}")
        if page.compression == _NONE:
            content = packed[:n_bytes]
        elif page.compression in _DEFLATE:
            content = zlib.decompressobj().decompress(packed, n_bytes)
        else:
            content = self._by_codec(packed, page.compression, n_bytes)
        if len(content) != n_bytes:
            raise BrokenError(f"{len(content)} bytes where {n_bytes} are needed")
        return content

    def _by_codec(self, packed: bytes, compression: int, n_bytes: int) -> bytes:
        name = _CODECS.get(compression)
        if name is None:
            raise DataError(
                f"{self.name} is packed by method {compression} of TIFF, which is not read; save it anew without "
                "compression."
            )
        try:
            import imagecodecs  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise DataError(
                f"{self.name} is packed by {name.upper()}, which needs another package; pip install "
                "imagecodecs (the extra formats of this package), or save the file anew without compression."
            ) from error
        try:
            return bytes(getattr(imagecodecs, f"{name}_decode")(packed, out=n_bytes))
        except (RuntimeError, ValueError) as error:
            raise BrokenError(str(error)) from error

    def _refuse_mixture(self) -> None:
        first = self._pages[0]
        for number, page in enumerate(self._pages):
            if (page.shape, page.dtype) != (first.shape, first.dtype):
                raise DataError(
                    f"image {number} of {self.name} has {page.shape[0]}x{page.shape[1]} pixels of {page.dtype} but the "
                    f"first has {first.shape[0]}x{first.shape[1]} of {first.dtype}; name a file of frames alone."
                )

    def _refuse_bomb(self, n_bytes: int) -> None:
        declared = sum(page.n_bytes for page in self._pages)
        if declared > FRAMES.most(n_bytes):
            raise DataError(
                f"{self.name} declares {declared} bytes but has {n_bytes}; it is not what it seems, so it is not read."
            )

    def _damaged(self, reason: str) -> DataError:
        return DataError(
            f"{self.name} is a damaged TIFF file ({reason}); copy it again or name another file."
        )


def _one_after_the_other(page: TiffPage, description: str, n_bytes: int) -> list[TiffPage]:
    """Return the images of a file of ImageJ's with one directory, which are stored without gaps."""
    match = _IMAGEJ.match(description)
    n_images, start = int(match[1]) if match else 1, int(page.offsets[0])
    fits = start + n_images * page.n_bytes <= n_bytes
    if n_images <= 1 or page.compression != _NONE or page.is_tiled or not fits:
        return [page]
    starts = start + page.n_bytes * np.arange(n_images, dtype=np.uint64)[:, np.newaxis]
    sizes = np.array([page.n_bytes], np.uint64)
    return [replace(page, segment=page.shape, offsets=offsets, sizes=sizes) for offsets in starts]
