"""Files that appear whole or not at all: one, or all of a folder's."""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` only once the block has ended well.

    The bytes go to a temporary neighbour, so that `path` never holds half a file; after an error the
    neighbour is removed and an older `path` is untouched. A symbolic link stays and its target is replaced.

    Raises
    ------
    OSError
        The file cannot be written; the error carries its name.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        # Renaming over a device or a pipe would remove it.
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(target)
    except OSError as error:
        # An error made of words alone would lose them to the name.
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def staged_files(
    folder: str | os.PathLike[str], *, replaces: Sequence[str] = (), last: str | None = None
) -> Iterator[Path]:
    """Give a hidden folder whose files move into `folder` once the block has ended well.

    Parameters
    ----------
    folder : path
        Where the files go; made if there is none.
    replaces : sequence of str
        Glob patterns of earlier files that go when the new ones come, replaced by one or not.
    last : str, optional
        Name of the file that appears after all others, so that its presence means that all is there.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    # Inside the target, so that a move never crosses from one file system to another.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target) as name:
        stage = Path(name)
        yield stage
        fresh = in_order(stage, last=last)
        for stale in {path for pattern in replaces for path in target.glob(pattern)}:
            if stale.name not in fresh:
                stale.unlink()
        for file_name in fresh:
            (stage / file_name).replace(target / file_name)


def in_order(stage: Path, *, last: str | None = None) -> list[str]:
    """Return the names of the files in a stage in the order in which they appear."""
    return sorted((path.name for path in stage.iterdir()), key=lambda name: (name == last, name))
