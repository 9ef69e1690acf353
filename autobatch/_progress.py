"""The progress protocol, and its two implementations that need no terminal."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Protocol

from autobatch._types import DeviceMemory
from autobatch._units import format_bytes, format_count, format_rate
from autobatch.errors import StoppedError

_logger = logging.getLogger(__name__)

_MOST_PARTS_IN_LINE = 4


class Stage(Protocol):
    """One piece of work that counts items; a context manager."""

    def __enter__(self) -> Stage: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

    def advance(self, n_items: int) -> None:
        """Say that more items are finished.

        Parameters
        ----------
        n_items : int
            How many more since the last call.
        """
        ...

    def batch_size(self, size: int, reason: str) -> None:
        """Say which batch size is used from now on, and why.

        Parameters
        ----------
        size : int
            Items in a batch.
        reason : str
            Why, in a few words.
        """
        ...

    def memory(self, memory: DeviceMemory) -> None:
        """Give the newest reading of the device.

        Parameters
        ----------
        memory : DeviceMemory
            As the probe found it.
        """
        ...

    def note(self, text: str) -> None:
        """Show a short free text, for example the value of a loss.

        Parameters
        ----------
        text : str
            One line.
        """
        ...

    def part(self, label: str) -> Stage:
        """Return a row for one of several that share the work, which counts for itself alone.

        What a part finishes is no item of this stage until this stage itself is advanced. It may be told from another
        thread.

        Parameters
        ----------
        label : str
            Who does it, for people.

        Returns
        -------
        Stage
            Shown for as long as this stage; it need not be entered.
        """
        ...


class Progress(Protocol):
    """One display for a whole run, made of stages."""

    def stage(self, label: str, total: int | None, unit: str = "items") -> Stage:
        """Return a stage, a piece of work that counts items.

        Parameters
        ----------
        label : str
            What is done, for people.
        total : int or None
            How many items there are, None if nobody knows.
        unit : str
            What an item is called, in the plural.

        Returns
        -------
        Stage
            To be entered with ``with``.
        """
        ...


class NoProgress:
    """Shows nothing."""

    def stage(self, label: str, total: int | None, unit: str = "items") -> Stage:
        """Return a stage that shows nothing.

        Parameters
        ----------
        label : str
            What is done, for people.
        total : int or None
            How many items there are, None if nobody knows.
        unit : str
            What an item is called, in the plural.

        Returns
        -------
        Stage
            To be entered with ``with``.
        """
        return _SilentStage()


class _SilentStage:
    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

    def advance(self, n_items: int) -> None: ...

    def batch_size(self, size: int, reason: str) -> None: ...

    def memory(self, memory: DeviceMemory) -> None: ...

    def note(self, text: str) -> None: ...

    def part(self, label: str) -> Stage:
        return _SilentStage()


class LogProgress:
    """Plain log lines, at most one per stage and `interval_s`.

    Parameters
    ----------
    logger : logging.Logger, optional
        Where the lines go; ``autobatch`` by default.
    interval_s : float
        Shortest time between two lines about the same stage.
    level : int
        Of the lines.
    clock : callable
        Returns seconds; replaced in tests.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        interval_s: float = 10.0,
        level: int = logging.INFO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        to = logger if logger is not None else logging.getLogger("autobatch")
        self._write = partial(to.log, level)
        self._interval_s = interval_s
        self._clock = clock

    def stage(self, label: str, total: int | None, unit: str = "items") -> Stage:
        """Return a stage that writes log lines.

        Parameters
        ----------
        label : str
            What is done, for people.
        total : int or None
            How many items there are, None if nobody knows.
        unit : str
            What an item is called, in the plural.

        Returns
        -------
        Stage
            To be entered with ``with``.
        """
        return _LogStage(label, total, unit, self._write, self._interval_s, self._clock)


class _LogStage:
    def __init__(
        self,
        label: str,
        total: int | None,
        unit: str,
        write: Callable[..., None],
        interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._write, self._interval_s, self._clock = write, interval_s, clock
        self._done = 0
        self._size: int | None = None
        self._memory = ""
        self._note = ""
        self._parts: list[_LogPart] = []
        self._started_s = self._written_s = clock()

    def __enter__(self) -> Stage:
        self._started_s = self._written_s = self._clock()
        unknown = f"an unknown number of {self._unit}"
        total = unknown if self._total is None else format_count(self._total, self._unit)
        self._write("%s: %s to do", self._label, total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        if error is None:
            self._write("%s: %s, finished%s", self._label, self._counts(), self._extras())
        else:
            self._write("%s: stopped at %s by %s", self._label, self._counts(), what_stopped(error))

    def advance(self, n_items: int) -> None:
        self._done += n_items
        self.write_if_due()

    def write_if_due(self) -> None:
        now_s = self._clock()
        if now_s - self._written_s >= self._interval_s and self._done != self._total:
            self._written_s = now_s
            self._write("%s: %s%s", self._label, self._counts(), self._extras())

    def batch_size(self, size: int, reason: str) -> None:
        change = f"{size:,}" if self._size is None else f"{self._size:,} → {size:,}"
        self._size = size
        self._write("%s: batch size %s (%s)", self._label, change, reason)

    def memory(self, memory: DeviceMemory) -> None:
        free = f"{format_bytes(memory.free_bytes)} free" if memory.is_known else "unknown free memory"
        self._memory = f", {free} on {memory.device}"

    def note(self, text: str) -> None:
        self._note = f", {text}"

    def part(self, label: str) -> Stage:
        self._parts.append(_LogPart(self, label, self._unit, self._clock))
        return self._parts[-1]

    def _counts(self) -> str:
        elapsed_s = self._clock() - self._started_s
        # One item alone has no rate.
        has_rate = elapsed_s > 0 and self._done > 0 and self._total != 1
        rate = f", {format_rate(self._done / elapsed_s)} {self._unit}/s" if has_rate else ""
        if self._total is None:
            return f"{format_count(self._done, self._unit)}{rate}"
        return f"{self._done:,}/{format_count(self._total, self._unit)}{rate}"

    def _extras(self) -> str:
        return f"{self._memory}{self._note}{self._told_of_parts()}"

    def _told_of_parts(self) -> str:
        if len(self._parts) <= _MOST_PARTS_IN_LINE:
            return "".join(f"; {part.told()}" for part in self._parts)
        rates = sorted(part.rate_per_s() for part in self._parts)
        ends = " to ".join(format_rate(rate) for rate in (rates[0], rates[-1]))
        return f"; {len(self._parts):,} share it, {ends} {self._unit}/s each"


class _LogPart(_SilentStage):
    """One of several that share a stage's work, told of in the lines of that."""

    def __init__(self, whole: _LogStage, label: str, unit: str, clock: Callable[[], float]) -> None:
        self._whole, self._label, self._unit, self._clock = whole, label, unit, clock
        self._done, self._started_s = 0, clock()
        self._size = self._memory = self._note = ""

    def advance(self, n_items: int) -> None:
        self._done += n_items
        self._whole.write_if_due()

    def batch_size(self, size: int, reason: str) -> None:
        self._size = f", batch size {size:,}"

    def memory(self, memory: DeviceMemory) -> None:
        used = memory.used_bytes
        self._memory = "" if used is None else f", {format_bytes(used)} used"

    def note(self, text: str) -> None:
        self._note = f", {text}"

    def rate_per_s(self) -> float:
        elapsed_s = self._clock() - self._started_s
        return self._done / elapsed_s if elapsed_s > 0 else 0.0

    def told(self) -> str:
        rate = f"{format_rate(self.rate_per_s())} {self._unit}/s"
        return f"{self._label}: {rate}{self._size}{self._memory}{self._note}"


def what_stopped(error: BaseException) -> str:
    """Return what ended a stage early, in words."""
    if isinstance(error, KeyboardInterrupt):
        return "Ctrl-C"
    if isinstance(error, StoppedError):
        return signal.Signals(error.signal_number).name
    return f"an error ({type(error).__name__})"
