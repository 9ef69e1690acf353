"""Two displays of one run: bars for whoever looks, and lines for the log."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autobatch import DeviceMemory, Progress, Stage


class BothDisplays:
    """Shows each stage on both displays."""

    def __init__(self, *displays: Progress) -> None:
        self.displays = displays

    def stage(self, label: str, total: int | None, unit: str = "items") -> Stage:
        """Return a stage of both."""
        return _Stages([display.stage(label, total, unit) for display in self.displays])


class _Stages:
    """The same stage of several displays; they are entered in order and left the other way round."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = list(stages)

    def __enter__(self) -> Stage:
        self._stages = [stage.__enter__() for stage in self._stages]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        for stage in reversed(self._stages):
            stage.__exit__(kind, error, trace)

    def advance(self, n_items: int) -> None:
        for stage in self._stages:
            stage.advance(n_items)

    def batch_size(self, size: int, reason: str) -> None:
        for stage in self._stages:
            stage.batch_size(size, reason)

    def memory(self, memory: DeviceMemory) -> None:
        for stage in self._stages:
            stage.memory(memory)

    def note(self, text: str) -> None:
        for stage in self._stages:
            stage.note(text)

    def part(self, label: str) -> Stage:
        return _Stages([stage.part(label) for stage in self._stages])
