"""Displays, probes and memos may fail; the run that they accompany goes on, with one warning."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any

from autobatch._progress import NoProgress, Progress, Stage
from autobatch._types import DeviceMemory

_logger = logging.getLogger(__name__)


class GuardedStage:
    """A stage whose failures are warned about once and then silent.

    Parameters
    ----------
    progress : Progress
        Makes the stage.
    label : str
        Names the run.
    total : int, optional
        Number of items, None where it is not known.
    unit : str
        What is counted.
    """

    def __init__(self, progress: Progress, label: str, total: int | None, unit: str) -> None:
        self._label = label
        self._stage: Stage = NoProgress().stage(label, 0)
        made = self._try(lambda: progress.stage(label, total, unit))
        self._stage = self._stage if made is None else made

    def __enter__(self) -> GuardedStage:
        entered = self._try(self._stage.__enter__)
        self._stage = self._stage if entered is None else entered
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._try(lambda: self._stage.__exit__(kind, error, trace))

    def advance(self, n_items: int) -> None:
        """Say that `n_items` more items are finished."""
        try:
            self._stage.advance(n_items)
        except Exception as error:  # noqa: BLE001 - a display must not cost the run
            self._silence(error)

    def batch_size(self, size: int, reason: str) -> None:
        """Say which batch size is used from now on, and why."""
        self._try(lambda: self._stage.batch_size(size, reason))

    def memory(self, memory: DeviceMemory) -> None:
        """Give the newest reading of the device."""
        self._try(lambda: self._stage.memory(memory))

    def note(self, text: str) -> None:
        """Show a short free text."""
        self._try(lambda: self._stage.note(text))

    def part(self, label: str) -> Stage:
        """Return a row for one of several that share the work."""
        made = self._try(lambda: self._stage.part(label))
        return NoProgress().stage(label, 0) if made is None else made

    def _try(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - a display must not cost the run
            self._silence(error)
            return None

    def _silence(self, error: Exception) -> None:
        failed, self._stage = self._stage, NoProgress().stage(self._label, 0)
        _logger.warning("%s: the progress display failed and is off: %s", self._label, _named(error))
        try:  # or a terminal stays as the display left it
            failed.__exit__(None, None, None)
        except Exception:
            _logger.debug("%s: nor could the display be closed", self._label, exc_info=True)


def guarded_probe(probe: Callable[[], DeviceMemory], label: str) -> Callable[[], DeviceMemory]:
    """Return a probe that reads as unknown, after one warning, where `probe` fails."""
    has_warned = False

    def guarded() -> DeviceMemory:
        nonlocal has_warned
        try:
            memory = probe()
            if isinstance(memory, DeviceMemory):
                return memory
            complaint = f"it returned {memory!r}, which is no DeviceMemory"
        except Exception as error:  # noqa: BLE001 - a probe must not cost the run
            complaint = _named(error)
        if not has_warned:
            has_warned = True
            _logger.warning("%s: the free memory cannot be read: %s", label, complaint)
        return DeviceMemory(
            device="the device", total_bytes=None, free_bytes=0, usable_bytes=0, source=DeviceMemory.UNKNOWN
        )

    return guarded


class GuardedMemo:
    """Stands for a memo; a method of it that fails is warned about once and returns None.

    Parameters
    ----------
    memo : BatchMemo
        The memo.
    label : str
        Names the run.
    """

    def __init__(self, memo: Any, label: str) -> None:
        self._memo, self._label, self._has_failed = memo, label, False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._memo, name)
        if not callable(value):
            return value

        def quiet(*arguments: Any, **named: Any) -> Any:
            try:
                return value(*arguments, **named)
            except Exception as error:  # noqa: BLE001 - a memo must not cost the run
                if not self._has_failed:
                    _logger.warning("%s: the memo of batch sizes failed: %s", self._label, _named(error))
                self._has_failed = True
                return None

        return quiet


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
