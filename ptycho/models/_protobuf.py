"""Protobuf messages read as data: which fields are there and what bytes they hold, without a description of them."""

from __future__ import annotations

from collections.abc import Iterator

from ptycho.models._untrusted import MAX_ENTRIES

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def message_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the fields of a protobuf message that hold bytes."""
    at, n_fields = 0, 0
    while at < len(message):
        n_fields += 1
        if n_fields > MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES} fields")
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, at = _varint(message, at)
        elif wire in (_FIXED_64, _FIXED_32):
            at += 8 if wire == _FIXED_64 else 4
        elif wire == _BYTES:
            length, at = _varint(message, at)
            if length > len(message) - at:
                raise ValueError(f"a field of {length} bytes ends after the file")
            yield number, message[at : at + length]
            at += length
        else:
            raise ValueError(f"a field of kind {wire}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")
