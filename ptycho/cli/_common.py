"""What the commands share: parser, display flags, checks of output paths, and the door that errors leave by.

A command is ``run(parser, command, argv)``, where ``command(arguments)`` first checks everything knowable,
then does its work inside ``with working():``. Expected errors end as one line on standard error.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from autobatch import is_out_of_memory
from autobatch.errors import AutobatchError, DeviceNotFoundError
from ptycho._expected_errors import EXPECTED_ERRORS, statement_of
from ptycho._version import __version__
from ptycho.errors import PtychoError

if TYPE_CHECKING:
    from autobatch import Progress

logger = logging.getLogger(__name__)

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130

_LOGGERS = ("ptycho", "autobatch")
_LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
}
_SILENT = logging.CRITICAL + 1
_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EISDIR: "pass a file",
    errno.ENOTDIR: "a part of the path is a file; pass a folder",
    errno.EACCES: "check its permissions",
    errno.EROFS: "write elsewhere",
    errno.EFBIG: "raise the limit on file sizes or write elsewhere",
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
}


class UsageError(PtychoError):
    """The command line asks for something that cannot be done."""


class WorkFailedError(Exception):
    """An expected error after everything knowable had been checked; the cause is the error itself."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def argument_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with ``--version`` that takes no abbreviations and reports errors in one line."""
    parser = _Parser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def add_display_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``, ``--verbose`` and ``--console-level``, of which one may be given."""
    flags = parser.add_argument_group("display").add_mutually_exclusive_group()
    flags.add_argument("--quiet", action="store_true", help="nothing on the console but errors")
    flags.add_argument("--verbose", action="store_true", help="everything, as --console-level DEBUG")
    flags.add_argument("--console-level", choices=_LEVELS, default="INFO", help="least level (default INFO)")


def add_device_flag(parser: argparse._ActionsContainer) -> None:
    """Add ``--device``; its value is None for ``auto``, else TensorFlow's name of the device."""
    parser.add_argument(
        "--device", type=_device, metavar="auto|cpu|GPU:i", help="where to compute (default auto)"
    )


def _device(text: str) -> str | None:
    name = text.upper()
    if name not in ("AUTO", "CPU") and not re.fullmatch(r"GPU:\d+", name):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu and GPU:i (for example GPU:0)")
    return None if name == "AUTO" else name


def positive_int(text: str) -> int:
    """Parse an integer of at least 1; an argparse type."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def auto_or_positive_int(text: str) -> int | str:
    """Parse ``auto`` or an integer of at least 1; an argparse type."""
    if text == "auto":
        return text
    try:
        return positive_int(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither 'auto' nor a whole number of at least 1"
        ) from None


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


def run(
    parser: argparse.ArgumentParser,
    command: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse `argv`, run `command`, and turn expected errors into one line and an exit code.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        From `argument_parser`.
    command : callable
        Takes the parsed arguments and returns the exit code.
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        What `command` returned; 2 after an error before any work, 1 after one inside `working` or one
        for want of memory or disk space, 130 after Ctrl-C. Other errors are bugs and pass.
    """
    arguments = parser.parse_args(argv)
    level = console_level(arguments)
    # TensorFlow reads it when it is first imported, which may be during `command`.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if level > logging.DEBUG else "0")
    with _logging_to(_ConsoleHandler(), level):
        try:
            return command(arguments)
        except KeyboardInterrupt as stop:
            # A command that keeps something says what in the exception.
            code, message = INTERRUPTED, str(stop) or "stopped by Ctrl-C before anything was finished"
        except WorkFailedError as error:
            code, message = FAILED, _in_words(error.__cause__ or error)
        except EXPECTED_ERRORS as error:
            logger.debug("where it failed", exc_info=True)
            code, message = _exit_code(error), _in_words(error)
        except Exception as error:
            # TensorFlow's own class of error, which only a TensorFlow that is loaded can name.
            if not is_out_of_memory(error):
                raise
            logger.debug("where it failed", exc_info=True)
            code, message = FAILED, _out_of_memory(error)
    print(f"{parser.prog}: error: {message}", file=sys.stderr)
    return code


@contextmanager
def working() -> Iterator[None]:
    """Mark the block that begins once everything knowable is checked: its errors exit with 1, not 2."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        logger.debug("where it failed", exc_info=True)
        raise WorkFailedError(str(error)) from error


def console_level(arguments: argparse.Namespace) -> int:
    """Return the logging level that the display flags ask for; INFO for a command without them."""
    if getattr(arguments, "quiet", False):
        return _SILENT
    if getattr(arguments, "verbose", False):
        return logging.DEBUG
    return _LEVELS[getattr(arguments, "console_level", "INFO")]


@contextmanager
def file_log(path: Path) -> Iterator[None]:
    """Write every log record of the block to a new file at `path`, at level DEBUG, errors included."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    try:
        with _logging_to(handler, logging.DEBUG):
            try:
                yield
            except BaseException:
                logger.debug("the run ended early", exc_info=True)
                raise
    finally:
        handler.close()


@contextmanager
def progress_display(arguments: argparse.Namespace) -> Iterator[Progress]:
    """Give live bars on a terminal, and otherwise, or with ``--quiet``, plain log lines."""
    from autobatch import LogProgress, RichProgress

    if sys.stderr.isatty() and not getattr(arguments, "quiet", False):
        with RichProgress() as progress:
            yield progress
    else:
        yield LogProgress()


class _ConsoleHandler(logging.StreamHandler):
    """Standard error as it is when the line is written: a live display puts itself in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(_ConsoleFormatter())

    @property
    def stream(self) -> TextIO:
        return sys.stderr


class _ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"{record.levelname.lower()}: {text}"


@contextmanager
def _logging_to(handler: logging.Handler, level: int) -> Iterator[None]:
    handler.setLevel(level)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for each, old in zip(loggers, before, strict=True):
            each.removeHandler(handler)
            each.setLevel(old)


def _exit_code(error: BaseException) -> int:
    resources = isinstance(error, (AutobatchError, MemoryError)) and not isinstance(
        error, DeviceNotFoundError
    )
    full_disk = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return FAILED if resources or full_disk else BAD_INPUT


def _in_words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0)
        return f"{where}{error.strerror}" + (f"; {remedy}." if remedy else ".")
    return _out_of_memory(error) if isinstance(error, MemoryError) else str(error)


def _out_of_memory(error: BaseException) -> str:
    statement = statement_of(error)
    found = f"out of memory ({statement})" if statement else "out of memory"
    return f"{found}; close other programs or pass fewer frames."
