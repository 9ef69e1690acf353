"""What a log file begins with, so that a run that was killed can be reported: versions, command, inputs."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from argparse import Namespace
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from ptycho.report.run_report import versions, without_home

logger = logging.getLogger(__name__)

_END_BYTES = 2**20
_MOST_FILES = 100


def log_start(arguments: Namespace, inputs: Iterable[Path]) -> None:
    """Log at DEBUG what was run, on what, with which warnings of the parser; may be shown to others.

    Parameters
    ----------
    arguments : Namespace
        With ``command_line`` and ``warnings``.
    inputs : iterable of Path
        Files, and folders of which every file counts.
    """
    for line in _lines(arguments, inputs):
        logger.debug("%s", without_home(line))


def _lines(arguments: Namespace, inputs: Iterable[Path]) -> Iterator[str]:
    yield f"command: {' '.join(map(_quoted, arguments.command_line))}"
    yield f"folder: {_quoted(os.getcwd())}"
    yield ", ".join(f"{name} {version}" for name, version in versions().items())
    yield f"{platform.platform()}, {os.cpu_count()} processors"
    for path in inputs:
        yield from (f"input: {fingerprint(file)}" for file in _files_of(path))
    yield from (f"warning: {warning}" for warning in arguments.warnings)


def fingerprint(path: Path) -> str:
    """Return a file's name, size, time of change and SHA-256: above 2 MiB of its first and last MiB."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            is_whole = status.st_size <= 2 * _END_BYTES
            digest = hashlib.sha256(file.read(2 * _END_BYTES if is_whole else _END_BYTES))
            if not is_whole:
                file.seek(-_END_BYTES, os.SEEK_END)
                digest.update(file.read(_END_BYTES))
    except OSError as error:
        return f"{_quoted(path)}: {error.strerror}"
    changed = datetime.fromtimestamp(status.st_mtime).astimezone().isoformat(timespec="milliseconds")
    part = "whole" if is_whole else "first and last MiB"
    return f"{_quoted(path)}: {status.st_size:,} bytes, changed {changed}, SHA-256 of the {part} {digest.hexdigest()}"


def _files_of(path: Path) -> list[Path]:
    """Return the regular files at or below `path`; of very many, the first."""
    if not path.is_dir():
        return [path] if path.is_file() or not path.exists() else []
    return sorted(file for file in path.rglob("*") if file.is_file())[:_MOST_FILES]


def _quoted(word: object) -> str:
    """Return a word as it is if a shell would read it as one word in one line, else as Python writes it."""
    text = str(word)
    return text if text.isprintable() and text and " " not in text else repr(text)
