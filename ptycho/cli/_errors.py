"""The door that every command leaves by: its exit code, and one line on standard error for an expected error.

A command is ``run(parser, command, argv)``, where ``command(arguments)`` first checks everything knowable,
then does its work inside ``with working():``.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from autobatch import is_out_of_memory
from autobatch.errors import AutobatchError, DeviceNotFoundError
from ptycho._error_wording import EXPECTED_ERRORS, in_words, out_of_memory_in_words
from ptycho._io.atomic import is_full
from ptycho.cli._garbage import search_what_is_new, searched_seldom
from ptycho.cli._logging import console_level, console_log
from ptycho.cli._settings_as_flags import settings_as_flags
from ptycho.cli._showing import escaping_what_a_stream_lacks, in_one_line
from ptycho.cli._signals import stopping_on_signals
from ptycho.cli._streams import streams_that_may_end
from ptycho.errors import PtychoError

if TYPE_CHECKING:
    from ptycho.cli._parser import Parser
    from ptycho.comparison import ComparisonResult

logger = logging.getLogger(__name__)

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130


def _unfinished(arguments: argparse.Namespace) -> str:
    folder = getattr(arguments, "checkpoint", None)
    # Training has a flag of that name that is no folder.
    if not isinstance(folder, Path):
        return "anything was finished"
    return f"there was an image; what {folder} keeps goes on with --resume"


class UsageError(PtychoError):
    """The command line asks for something that cannot be done."""


class WorkFailedError(Exception):
    """An expected error after everything knowable had been checked; the cause is the error itself."""


@escaping_what_a_stream_lacks()
@streams_that_may_end()
def run(
    parser: Parser,
    command: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse `argv`, run `command`, and turn expected errors into one line and an exit code.

    Parameters
    ----------
    parser : ptycho.cli._parser.Parser
    command : callable
        Takes the parsed arguments, with ``command_line`` among them, and returns the exit code.
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        What `command` returned; 2 after an error before any work, 1 after one inside `working` or one
        for want of memory or disk space, 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP. Other errors
        are bugs and pass.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(words)
    arguments.command_line = (*parser.prog.split(), *words)
    level = console_level(arguments)
    # TensorFlow reads it when it is first imported, which may be during `command`. What stops it is raised; what its
    # native code calls an error beside that, such as a kernel that another replaces, is for who looks into it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if level > logging.DEBUG else "0")
    with console_log(level), searched_seldom(), stopping_on_signals() as received:
        for warning in arguments.warnings:
            logger.warning("%s", warning)
        try:
            _check_import_name()
            return command(arguments)
        except KeyboardInterrupt as stop:
            # A command that keeps something says what in the exception.
            message = str(stop) or f"stopped by Ctrl-C before {_unfinished(arguments)}"
            code, message = _stopped(message, received)
        except Exception as raised:
            logger.debug("where it failed", exc_info=True)
            is_late = isinstance(raised, WorkFailedError)
            error = (raised.__cause__ or raised) if is_late else raised
            if received:
                # A library swallowed the stop and tripped over what it had not done.
                told = f"stopped by Ctrl-C; what it fell into failed ({type(error).__name__}: {error})"
                code, message = _stopped(told, received)
            elif is_late:
                code, message = FAILED, in_words(error)
            elif isinstance(error, EXPECTED_ERRORS):
                code, message = _exit_code(error), in_words(error)
            # TensorFlow's own class of error, which only a TensorFlow that is loaded can name.
            elif is_out_of_memory(error):
                code, message = FAILED, out_of_memory_in_words(error)
            else:
                raise
    print(f"{parser.prog}: error: {in_one_line(settings_as_flags(message))}", file=sys.stderr)
    return code


def _stopped(message: str, received: Sequence[int]) -> tuple[int, str]:
    """Return the exit code after a signal, and `message` with its name."""
    if not received or received[0] == signal.SIGINT:
        return INTERRUPTED, message
    return 128 + received[0], message.replace("Ctrl-C", signal.Signals(received[0]).name)


def _check_import_name() -> None:
    # Here, once the arguments are parsed, so that --help does not pay for it.
    from ptycho.cli._import_name import check_import_name

    if (warning := check_import_name()) is not None:
        logger.warning("%s", warning)


@contextmanager
def working() -> Iterator[None]:
    """Mark the block that begins once everything knowable is checked: its errors exit with 1, not 2."""
    search_what_is_new()
    try:
        yield
    except EXPECTED_ERRORS as error:
        logger.debug("where it failed", exc_info=True)
        raise WorkFailedError(str(error)) from error


def raise_failures(result: ComparisonResult, *, kept_in: Path | None) -> None:
    """Raise, with every reason, if something failed, or as Ctrl-C does if that ended the run early.

    Where nothing was written `kept_in` is None.
    """
    labels = {
        kind: [failure.what for failure in result.failures if failure.kind == kind]
        for kind in ("stopped", "not_scored")
    }
    reasons = [
        f"{failure.what} failed: {failure.reason}" for failure in result.failures if failure.kind == "failed"
    ]
    reasons += [
        f"{failure.what} {failure.reason}; the results in {kept_in} are unreliable, so run again."
        for failure in result.failures
        if failure.kind == "unreliable"
    ]
    if any(labels.values()):
        finished = ", ".join(arm.label for arm in result.arms) or "the report"
        kept = " before any image was finished" if kept_in is None else f"; {finished} kept in {kept_in}"
        said = [f"stopped by Ctrl-C{kept}"]
        said += [f"{', '.join(labels['not_scored'])} not scored"] if labels["not_scored"] else []
        said += [f"{', '.join(labels['stopped'])} not finished"] if labels["stopped"] else []
        raise KeyboardInterrupt(" ".join([f"{', '.join(said)}.", *reasons]))
    if reasons:
        raise WorkFailedError(" ".join(reasons))


def _exit_code(error: BaseException) -> int:
    resources = isinstance(error, (AutobatchError, MemoryError)) and not isinstance(
        error, DeviceNotFoundError
    )
    full_disk = isinstance(error, OSError) and is_full(error)
    return FAILED if resources or full_disk else BAD_INPUT
