"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator
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
