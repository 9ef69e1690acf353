"""`OneLine`: results that hold arrays show themselves in one line, however large they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

LONGEST = 240
_LONGEST_TEXT, _MOST_ENTRIES = 40, 4
LONGEST_LABEL = 28


class OneLine:
    """Base of dataclasses, made with ``repr=False``, whose fields may be large."""

    def __repr__(self) -> str:
        """Return class and fields: arrays by shape and type, other results by their class, at most 240 characters."""
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        shown = (f"{each.name}={in_short(getattr(self, each.name))}" for each in fields if each.repr)
        return bounded(f"{type(self).__name__}({', '.join(shown)})")


def in_short(value: Any) -> str:
    """Return a value in a few words."""
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}(…)"
    if isinstance(value, (str, bytes, float)):
        shown = f"{value:.6g}" if isinstance(value, float) else repr(value)
        return shortened(shown, _LONGEST_TEXT)
    if isinstance(value, (tuple, list)) and len(value) <= _MOST_ENTRIES:
        return f"({', '.join(map(in_short, value))})"
    if isinstance(value, (tuple, list, set, frozenset, Mapping)):
        return f"({len(value)} entries)"
    return shortened(repr(value), _LONGEST_TEXT)


def bounded(text: str) -> str:
    """Return what an object says of itself in one line of at most 240 characters."""
    return shortened(text, LONGEST)


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return `text` in one line of at most `longest` characters; what would begin another line is written out."""
    plain = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return plain if len(plain) <= longest else plain[: longest - 1].rstrip() + "…"
