"""Checks of output paths, before any work; nothing is created."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ptycho.cli._errors import UsageError


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


def _check_writable_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file but the output needs a folder there; pass another path.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"the folder {folder} is not writable; change its permissions or write elsewhere.")


def check_no_results(folder: Path, patterns: Sequence[str], *, overwrite: bool) -> None:
    """Refuse an output folder that cannot be made, or that holds results unless `overwrite`."""
    check_output_folder(folder)
    there = sorted(path.name for pattern in patterns for path in folder.glob(pattern))
    if there and not overwrite:
        raise UsageError(
            f"{folder} already holds results ({', '.join(there)}); pass --overwrite to replace them, "
            "or another --output_dir."
        )
