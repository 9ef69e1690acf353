"""Bars of rich in a notebook: one output of the cell, put in place of itself; needs no ipywidgets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars

# The notebook's own colours, and no line broken.
_FORMAT = (
    '<pre style="white-space:pre;font-family:monospace;line-height:normal;background:none;color:inherit">'
    "{code}</pre>"
)


class NotebookBars:
    """Draws bars where rich would ask for a widget, and shows nothing without one.

    Parameters
    ----------
    bars : rich.progress.Progress
        Never started: only what it would draw is asked for.
    """

    def __init__(self, bars: RichBars) -> None:
        self._bars = bars
        self._output: Any = None

    def start(self) -> None:
        """Make the output, at the place where the cell is now."""
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        self._output = display(self._drawn(), raw=True, display_id=True)

    def refresh(self) -> None:
        """Draw anew in place of the last."""
        if self._output is not None:
            self._output.update(self._drawn(), raw=True)

    def stop(self) -> None:
        """Draw for the last time; what is started next has an output of its own."""
        self.refresh()
        self._output = None

    def _drawn(self) -> dict[str, str]:
        from rich.console import Console

        console = Console(
            file=io.StringIO(),
            record=True,
            width=self._bars.console.width,
            force_jupyter=False,
            force_terminal=True,
            color_system="truecolor",
            legacy_windows=False,
        )
        console.print(self._bars.get_renderable())
        text = console.export_text(clear=False)
        return {"text/plain": text, "text/html": console.export_html(code_format=_FORMAT, inline_styles=True)}
