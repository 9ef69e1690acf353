"""Files that h5py reads through Python, so that a damaged heap of texts is an error and no wait without end.

Texts of any length, and the sources of virtual datasets, lie in *global heaps* ("HDF5 File Format Specification",
section III.E). The HDF5 library (1.14.6) goes through the objects of a heap one by one, and where one claims to take no
bytes it stays there for ever, inside a call that no signal of Python's ends.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

_SIGNATURE = b"GCOL"
# Index, count of references, four reserved bytes; then the size.
_BEFORE_SIZE = struct.Struct("<HHI")


class _Checked:
    """Checks what is read, if it begins as a heap does: the library reads a heap in one piece."""

    # Bytes of a length in the file; 8 unless somebody set it otherwise.
    length_bytes = 8

    def readinto(self, buffer: Any) -> int | None:
        n_bytes = super().readinto(buffer)  # pyright: ignore[reportAttributeAccessIssue]
        view = memoryview(buffer)[: n_bytes or 0]
        if bytes(view[:4]) == _SIGNATURE:
            refuse_endless_heap(bytes(view), self.length_bytes)
        return n_bytes


class CheckedFile(_Checked, io.FileIO):
    """A file on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r")


class CheckedBytes(_Checked, io.BytesIO):
    """A file in memory."""


def refuse_endless_heap(heap: bytes, length_bytes: int) -> None:
    """Refuse a heap of which an object takes no bytes, or more than there are.

    Parameters
    ----------
    heap : bytes
        From its signature on; what does not fit into them is not looked at.
    length_bytes : int
        Size of a length in the file.

    Raises
    ------
    OSError
        The heap is damaged.
    """
    size = int.from_bytes(heap[8 : 8 + length_bytes], "little")
    header = _aligned(_BEFORE_SIZE.size + length_bytes)
    at = _aligned(8 + length_bytes)
    while at + header <= min(size, len(heap)):
        index = _BEFORE_SIZE.unpack_from(heap, at)[0]
        start = at + _BEFORE_SIZE.size
        taken = int.from_bytes(heap[start : start + length_bytes], "little")
        # Object 0 is the free space, whose size counts its header.
        taken = header + _aligned(taken) if index else taken
        if taken == 0 or at + taken > size:
            raise OSError(f"a heap of texts is damaged: its object {index} takes {taken} of {size} bytes")
        at += taken


def _aligned(n_bytes: int) -> int:
    return (n_bytes + 7) // 8 * 8
