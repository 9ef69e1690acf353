"""What a log file begins with, so that a run that was killed can be reported: versions, command, inputs."""

from __future__ import annotations

import logging
import os
import platform
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path

from ptycho.report.fingerprints import InputFile, input_files
from ptycho.report.run_report import versions, without_home

logger = logging.getLogger(__name__)


def log_start(arguments: Namespace, inputs: Iterable[tuple[str, Path]]) -> None:
    """Log at DEBUG what was run, on what, with which warnings of the parser; may be shown to others.

    Parameters
    ----------
    arguments : Namespace
        With ``command_line`` and ``warnings``.
    inputs : iterable of (str, Path)
        Roles, and files, or folders of which every file counts.
    """
    for line in _lines(arguments, inputs):
        logger.debug("%s", without_home(line))


def _lines(arguments: Namespace, inputs: Iterable[tuple[str, Path]]) -> Iterator[str]:
    yield f"command: {' '.join(map(_quoted, arguments.command_line))}"
    yield f"folder: {_quoted(os.getcwd())}"
    yield ", ".join(f"{name} {version}" for name, version in versions().items())
    yield f"{platform.platform()}, {os.cpu_count()} processors"
    yield from (f"input: {fingerprint(file)}" for file in input_files(inputs))
    yield from (f"warning: {warning}" for warning in arguments.warnings)


def fingerprint(file: InputFile) -> str:
    """Return a file's name, size, time of change and SHA-256: above 2 MiB of its first and last MiB."""
    if file.error is not None:
        return f"{_quoted(file.path)}: {file.error}"
    part = "whole" if file.hashed == "whole" else "first and last MiB"
    return f"{_quoted(file.path)}: {file.bytes:,} bytes, changed {file.changed}, SHA-256 of the {part} {file.sha256}"


def _quoted(word: object) -> str:
    """Return a word as it is if a shell would read it as one word in one line, else as Python writes it."""
    text = str(word)
    return text if text.isprintable() and text and " " not in text else repr(text)
