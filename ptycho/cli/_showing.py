"""Text on a terminal: what it cannot show is escaped, and what would steer it is shown."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger

# C0 and C1 but tab and newline, DEL, and the marks that turn the direction of writing.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MISSING_GLYPH = re.compile(r"Glyph (\d+) .*missing from")


def plain(text: str) -> str:
    """Return `text` with its control characters written as Python writes them; tabs and newlines stay."""
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def in_one_line(text: str) -> str:
    """Return `text` as `plain`, its newlines written out too."""
    return plain(text).replace("\n", r"\n")


@contextmanager
def escaping_what_a_stream_lacks() -> Iterator[None]:
    """Let standard output take any text, whatever its encoding: a finished run is no error for want of an ä."""
    stream = sys.stdout
    before = getattr(stream, "errors", None)
    if not hasattr(stream, "reconfigure"):
        yield
        return
    stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        stream.reconfigure(errors=before)  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def telling_missing_glyphs_once(logger: Logger) -> Iterator[None]:
    """Say in one line, not in one for each glyph and picture, what the font of the pictures cannot show."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=_MISSING_GLYPH.pattern)
        yield
    missing = {}
    for each in caught:
        if found := _MISSING_GLYPH.match(str(each.message)):
            missing[chr(int(found[1]))] = None
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if missing:
        logger.warning(
            "the font of the pictures lacks %s, where an empty box stands; tables and arrays have the text",
            " ".join(missing),
        )
