"""Files that can be read to their end: no pipes, which would be waited for, and no devices, which may never end."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

from ptycho.errors import DataError

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def refuse_special(path: Path) -> None:
    """Refuse what is there but no regular file and no folder, without opening it.

    Raises
    ------
    FileNotFoundError
        There is nothing.
    DataError
        It is a pipe, a socket or a device.
    """
    mode = path.stat().st_mode
    for is_of_kind, kind in _KINDS:
        if is_of_kind(mode):
            raise DataError(
                f"{path} is {kind} but a regular file is needed; save what it gives as a file and name that."
            )


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading as bytes, by the rules of `refuse_special`."""
    refuse_special(path)
    return path.open("rb")
