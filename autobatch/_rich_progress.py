"""A live display with one bar per stage, on a terminal or in a notebook."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from autobatch._notebook import NotebookBars
from autobatch._progress import Stage, what_stopped
from autobatch._types import DeviceMemory
from autobatch._units import format_bytes, format_count, format_rate

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod, RenderableType
    from rich.progress import Progress as RichBars

_NARROW_COLUMNS = 110
_LABEL_COLUMNS = 18
# As a slow connection likes it.
_REFRESHES_PER_S = 4
_REDRAW_S = 1 / _REFRESHES_PER_S
# What the terminal itself writes when a key is pressed, such as ^C, must not break the last line.
_FREE_COLUMNS = 2
_LONGEST_HISTORY = 3
# So that a terminal of 24 lines holds them; the last row is that of all others.
_MOST_PARTS = 8


class RichProgress:
    """One bar per stage: items, rate, time left, the batch size and how it changed, memory.

    A context manager around the live display; a stage entered outside of it opens the display for its
    own duration. In a notebook it is an output of the cell that is drawn anew as items are finished, with or
    without ipywidgets.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to draw; standard error by default, so that standard output stays usable in a pipe. Log
        handlers should write to the same `console`, or their lines tear the bars.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self.console = console if console is not None else Console(stderr=True)
        self._is_narrow = self.console.width < _NARROW_COLUMNS
        self._bars = _headed_bars(self.console, is_narrow=self._is_narrow)
        self._shown = NotebookBars(self._bars) if self.console.is_jupyter else self._bars
        self._depth = 0

    def __enter__(self) -> RichProgress:
        if self._depth == 0:
            self._shown.start()
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._shown.stop()

    def redraw(self) -> None:
        """Draw what has changed; a terminal does that by itself, four times a second."""
        if self._shown is not self._bars:
            self._shown.refresh()

    def stage(self, label: str, total: int | None, unit: str = "items") -> Stage:
        """Return a stage with a bar of its own.

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
            To be entered with ``with``; the bar is drawn from then on.
        """
        return _BarStage(self, self._bars, label, total, unit, is_narrow=self._is_narrow)


class _BarStage:
    def __init__(
        self,
        display: RichProgress,
        bars: RichBars,
        label: str,
        total: int | None,
        unit: str,
        *,
        is_narrow: bool,
    ) -> None:
        self._display, self._bars = display, bars
        self._label, self._total, self._unit, self._is_narrow = label, total, unit, is_narrow
        self._done = 0
        self._sizes: list[int] = []
        self._parts: list[_BarStage] = []
        self._n_parts = 0
        self._started_s = self._drawn_s = time.monotonic()

    def __enter__(self) -> Stage:
        self._display.__enter__()
        self._begin(is_part=False)
        return self

    def _begin(self, *, is_part: bool) -> None:
        self._started_s = time.monotonic()
        self._task = self._bars.add_task(
            self._label,
            total=self._total,
            counts=self._counts(),
            rate="",
            batch="",
            memory="",
            note="",
            is_part=is_part,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        for stage in (self, *self._parts):
            stage._draw()
        if error is not None:
            self._bars.update(self._task, note=f"stopped by {what_stopped(error)}")
        for stage in (self, *self._parts):
            self._bars.stop_task(stage._task)
        self._display.__exit__(kind, error, trace)

    def advance(self, n_items: int) -> None:
        self._done += n_items
        # Drawing costs more than a small batch does.
        if time.monotonic() - self._drawn_s >= _REDRAW_S:
            self._draw()

    def batch_size(self, size: int, reason: str) -> None:
        if self._sizes[-1:] != [size]:
            self._sizes.append(size)
        history = _history(self._sizes, longest=2 if self._is_narrow else _LONGEST_HISTORY)
        self._bars.update(self._task, batch=history.replace(" ", "") if self._is_narrow else history)

    def memory(self, memory: DeviceMemory) -> None:
        if not memory.is_known:
            self._bars.update(self._task, memory="?")
            return
        free = format_bytes(memory.free_bytes)
        used = "?" if memory.used_bytes is None else format_bytes(memory.used_bytes)
        if used.split()[-1] == free.split()[-1]:
            used = used.split()[0]
        both = f"{used}/{free}" if self._is_narrow else f"{used} / {free}"
        self._bars.update(self._task, memory=both)

    def note(self, text: str) -> None:
        self._bars.update(self._task, note=text)

    def part(self, label: str) -> Stage:
        self._n_parts += 1
        if self._n_parts > _MOST_PARTS:
            return self._last_part()
        part = _BarPart(
            self._display, self._bars, f"  {label}", self._total, self._unit, is_narrow=self._is_narrow
        )
        part._begin(is_part=True)
        self._parts.append(part)
        return part

    def _last_part(self) -> Stage:
        """Return the row of those that have none of their own."""
        self._bars.update(self._parts[-1]._task, description=f"  {self._n_parts - _MOST_PARTS + 1:,} others")
        return self._parts[-1]

    def _draw(self) -> None:
        self._drawn_s = time.monotonic()
        elapsed_s = self._drawn_s - self._started_s
        has_rate = elapsed_s > 0 and self._done > 0 and self._total != 1
        rate = f"{format_rate(self._done / elapsed_s)}/s" if has_rate else ""
        self._bars.update(self._task, completed=self._done, counts=self._counts(), rate=rate)
        self._display.redraw()

    def _counts(self) -> str:
        before = "" if self._total is None else f"{self._done:,}/"
        last = self._done if self._total is None else self._total
        return f"{before}{last:,}" if self._is_narrow else f"{before}{format_count(last, self._unit)}"


class _BarPart(_BarStage):
    """One of several that share a stage's work: its bar is its share, and it has no time left of its own."""

    def _counts(self) -> str:
        return f"{self._done:,}" if self._is_narrow else format_count(self._done, self._unit)


def _headed_bars(console: Console, *, is_narrow: bool) -> RichBars:
    """Return rich's progress display with a heading over its columns."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column, Table
    from rich.text import Text

    class TimeLeftColumn(TimeRemainingColumn):
        def render(self, task) -> Text:
            return Text() if task.fields["is_part"] else super().render(task)

    class HeadedProgress(Progress):
        def make_tasks_table(self, tasks) -> Table:
            table = super().make_tasks_table(tasks)
            table.show_header = bool(table.rows)
            table.header_style = "dim"
            table.width = console.width - _FREE_COLUMNS
            return table

        def get_renderables(self) -> Iterable[RenderableType]:
            yield from super().get_renderables()
            notes = [task.fields["note"] for task in self.tasks if task.fields["note"] and not task.finished]
            if is_narrow and notes:
                # Beside the bar it would push everything else out.
                yield Text(notes[-1], style="dim", no_wrap=True, overflow="ellipsis")

    def text(
        field: str,
        header: str,
        *,
        justify: JustifyMethod = "left",
        style: str = "none",
        width: int | None = None,
    ) -> TextColumn:
        column = Column(header, justify=justify, no_wrap=True, overflow="ellipsis", max_width=width)
        return TextColumn(
            f"{{task.{field}}}", justify=justify, style=style, markup=False, table_column=column
        )

    return HeadedProgress(
        text("description", "", style="bold", width=_LABEL_COLUMNS if is_narrow else None),
        BarColumn(bar_width=None, table_column=Column("", ratio=1, min_width=4)),
        text("fields[counts]", "done", justify="right"),
        text("fields[rate]", "rate", justify="right", style="cyan"),
        TimeLeftColumn(
            compact=True,
            elapsed_when_finished=True,
            table_column=Column("left/took", no_wrap=True, justify="right"),
        ),
        text("fields[batch]", "batch" if is_narrow else "batch size", style="magenta"),
        text("fields[memory]", "used/free" if is_narrow else "memory used / free"),
        *([] if is_narrow else [text("fields[note]", "", style="dim")]),
        console=console,
        expand=True,
        refresh_per_second=_REFRESHES_PER_S,
    )


def _history(sizes: list[int], *, longest: int) -> str:
    shown = [f"{size:,}" for size in sizes]
    if len(shown) > longest:
        shown = [shown[0], *(["…"] if longest > 2 else []), shown[-1]]
    return " → ".join(shown)
