"""Checks of output paths, before any work; nothing is created."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ptycho._io.atomic import sole_use
from ptycho.cli._errors import UsageError

logger = logging.getLogger(__name__)


def check_output_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be made, or that exists unless `overwrite`; nothing is created."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder but the output must be a file; add a file name.")
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{path} is a device or pipe but the output must be a regular file; pass another path."
        )
    if path.exists() and not overwrite:
        raise UsageError(f"{path} already exists; pass --overwrite to replace it, or another name.")
    if not path.parent.exists():
        raise UsageError(f"the folder {path.parent} does not exist; make it, or write {path.name} elsewhere.")
    _check_writable_folder(path.parent)


def check_output_folder(path: Path) -> None:
    """Refuse a folder that neither exists nor can be made; nothing is created."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    _check_writable_folder(existing)


def check_space(path: Path, n_bytes: int) -> None:
    """Refuse to begin what could not be kept: the disk of a folder, made or not, has less room than it will take.

    Raises
    ------
    OSError
        Of the kind that a full disk gives, with both numbers.
    """
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < n_bytes:
        reason = f"{_megabytes(n_bytes)} will be written but {_megabytes(free_bytes)} are free"
        raise OSError(errno.ENOSPC, reason, str(path))


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.3g} MB"


def _check_writable_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file but the output needs a folder there; pass another path.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"the folder {folder} is not writable; change its permissions or write elsewhere.")


@dataclass(frozen=True)
class OutputFolder:
    """The folder of a run's results, with the one list of what the run will replace in it.

    Attributes
    ----------
    path : Path
    replaces : tuple of str
        Glob patterns, relative to the folder, of every file that the run may write or remove.
    overwrite : bool
        Whether such files may be there already.
    instead : str
        What may be done about them where they may not, beside another folder.
    """

    path: Path
    replaces: tuple[str, ...]
    overwrite: bool
    instead: str = "pass --overwrite to replace them"

    def check(self, inputs: Iterable[Path], *, flag: str = "--output_dir") -> None:
        """Refuse a folder that cannot be made, that holds results unprotected, or in which an input would be lost."""
        check_output_folder(self.path)
        there = {path for pattern in self.replaces for path in self.path.glob(pattern)}
        replaced = {path.resolve() for path in there}
        lost = sorted({str(path) for path in inputs if path.resolve() in replaced})
        if lost:
            raise UsageError(
                f"{', '.join(lost)} would be replaced by a result but is an input of this run; pass another {flag}."
            )
        if there and not self.overwrite:
            names = sorted(str(path.relative_to(self.path)) for path in there)
            raise UsageError(
                f"{self.path} already holds results ({', '.join(names)}); {self.instead}, or another {flag}."
            )

    @contextmanager
    def in_use(self) -> Iterator[Path]:
        """Make the folder and keep other runs out of it for the block."""
        with sole_use(self.path) as left:
            if left:
                logger.warning(
                    "removed from %s what a run that was killed left there: %s", self.path, ", ".join(left)
                )
            yield self.path
