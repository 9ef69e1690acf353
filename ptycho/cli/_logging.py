"""Where a command's log goes: the console, a file, bars on a terminal."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ptycho.cli._both_displays import BothDisplays
from ptycho.cli._settings_as_flags import settings_as_flags
from ptycho.cli._showing import in_one_line, plain

if TYPE_CHECKING:
    from autobatch import Progress

logger = logging.getLogger(__name__)

LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
}
_LOGGERS = ("ptycho", "autobatch")
_SILENT = logging.CRITICAL + 1
_LOG_INTERVAL_S = 60.0


def console_level(arguments: argparse.Namespace) -> int:
    """Return the logging level that the display flags ask for; INFO for a command without them."""
    if getattr(arguments, "quiet", False):
        return _SILENT
    if getattr(arguments, "verbose", False):
        return logging.DEBUG
    return LEVELS[getattr(arguments, "console_level", "INFO")]


@contextmanager
def console_log(level: int) -> Iterator[None]:
    """Show the log records of the block from `level` on, and of TensorFlow's own what a user can act upon."""
    tensorflow = logging.getLogger("tensorflow")
    before = tensorflow.level
    # Its warnings are about tracing and the like; with --verbose they may be of use.
    tensorflow.setLevel(logging.WARNING if level <= logging.DEBUG else logging.ERROR)
    try:
        with _logging_to(_ConsoleHandler(), level):
            yield
    finally:
        tensorflow.setLevel(before)


@contextmanager
def file_log(path: Path) -> Iterator[None]:
    """Write every log record of the block to a new file at `path`, at level DEBUG, errors included."""
    handler = _LogFile(path, mode="w", encoding="utf-8")
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
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
    """Give live bars on a terminal, else, or with ``--quiet``, plain log lines; a log file has these in any case."""
    from autobatch import LogProgress, RichProgress

    if sys.stderr.isatty() and not getattr(arguments, "quiet", False):
        with RichProgress() as progress:
            yield BothDisplays(progress, LogProgress(interval_s=_LOG_INTERVAL_S, level=logging.DEBUG))
    else:
        yield LogProgress(interval_s=_LOG_INTERVAL_S)


class _LogFile(logging.FileHandler):
    """A log file that a full disk may cut short, which costs its lines and not the run."""

    _is_cut = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_cut:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._cut(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._cut(error)

    def _cut(self, error: OSError) -> None:
        if not self._is_cut:
            self._is_cut = True
            logger.warning("the log %s ends here: %s", self.baseFilename, error.strerror or error)


class _ConsoleHandler(logging.StreamHandler):
    """Standard error as it is when the line is written: a live display puts itself in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(_ConsoleFormatter())

    @property
    def stream(self) -> TextIO:
        return sys.stderr


class _Formatter(logging.Formatter):
    """A record is one line, tracebacks apart, and whatever text it holds steers no terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return in_one_line(settings_as_flags(super().formatMessage(record)))

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


class _ConsoleFormatter(_Formatter):
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
