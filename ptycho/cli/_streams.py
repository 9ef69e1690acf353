"""Standard output and error may end before the work does: a finished run is no error for that."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _MayEnd:
    """A stream that swallows what nobody takes any more: the reader is gone, the disk is full, it is closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, or drop it."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Write what waits, or drop it."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        # What waits in the stream is written once more when the process ends, and would then be an error.
        with suppress(OSError, ValueError, AttributeError):
            descriptor = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
            self._stream.flush()


class _Nowhere(io.TextIOBase):
    """What a closed stream is to whoever asks for its width or writes to it."""

    def write(self, text: str) -> int:
        """Drop `text`."""
        return len(text)

    def writable(self) -> bool:
        """Return True: nothing fails."""
        return True


@contextmanager
def streams_that_may_end() -> Iterator[None]:
    """Let the block print and log whether or not anybody reads it, or a stream is closed."""
    _hold_closed_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Nowhere() if stream is None else _MayEnd(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, _MayEnd):
                stream.flush()
        sys.stdout, sys.stderr = before


def _hold_closed_descriptors() -> None:
    """Let the numbers of closed streams lead nowhere, for good.

    The next file that is opened would have one of them, and would get what native code writes to standard error.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            os.set_inheritable(descriptor, True)
