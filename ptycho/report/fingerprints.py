"""Which files went into a run: names, sizes and digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

_END_BYTES = 2**20
_MOST_FILES = 100


@dataclass(frozen=True)
class InputFile:
    """A file as it was when it was read; without a digest, if it could not be.

    Attributes
    ----------
    role : str
        Name of the argument by which it came in, and the label given with it.
    path : str
    bytes : int or None
        Size.
    changed : str or None
        Time of the last change, ISO 8601 with zone.
    sha256 : str or None
        Hexadecimal.
    hashed : {"whole", "ends"}
        What the digest is of: all of the file, or above 2 MiB its first and last MiB.
    error : str or None
        Why it could not be read.
    """

    role: str
    path: str
    bytes: int | None = None
    changed: str | None = None
    sha256: str | None = None
    hashed: Literal["whole", "ends"] = "whole"
    error: str | None = None


def input_files(inputs: Iterable[tuple[str, Path]]) -> tuple[InputFile, ...]:
    """Return the fingerprint of every file at or below the paths of `inputs`; of very many in a folder, the first.

    Parameters
    ----------
    inputs : iterable of (str, Path)
        Roles and paths.
    """
    return tuple(input_file(file, role) for role, path in inputs for file in _files_of(path))


def input_file(path: Path, role: str = "") -> InputFile:
    """Return the fingerprint of one file.

    Parameters
    ----------
    path : Path
    role : str
        As in `InputFile`.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            is_whole = status.st_size <= 2 * _END_BYTES
            digest = hashlib.sha256(file.read(2 * _END_BYTES if is_whole else _END_BYTES))
            if not is_whole:
                file.seek(-_END_BYTES, os.SEEK_END)
                digest.update(file.read(_END_BYTES))
    except OSError as error:
        return InputFile(role, str(path), error=error.strerror)
    changed = datetime.fromtimestamp(status.st_mtime).astimezone().isoformat(timespec="milliseconds")
    hashed = "whole" if is_whole else "ends"
    return InputFile(role, str(path), status.st_size, changed, digest.hexdigest(), hashed)


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.is_file() or not path.exists() else []
    return sorted(file for file in path.rglob("*") if file.is_file())[:_MOST_FILES]
