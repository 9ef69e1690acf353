"""Figures as files: PNG, PDF and SVG, each whole or not at all and the same bytes for the same figure."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, ParamSpec, TypeVar, cast

from ptycho._io.atomic import replacing
from ptycho.errors import DataError
from ptycho.report.options import FIGURE_FORMATS, FigureFormat, PlotOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

# No time of writing and no names by lot in a file.
_UNDATED: dict[FigureFormat, dict[str, None]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}
# Pillow's level 6 takes more than twice the time for eight hundredths less of a picture of noisy images.
_PNG_LEVEL = 3


def in_own_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Make a function that draws or saves a figure do so under Matplotlib's defaults, whatever a user has set.

    A matplotlibrc may ask for LaTeX, which is not there, or for sizes under which panels do not fit.
    """

    @functools.wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            return draw(*args, **kwargs)

    return drawing


def save_figure(
    figure: Figure, stem: str | os.PathLike[str], *, options: PlotOptions | None = None
) -> list[Path]:
    """Write a figure in every format that the options name.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        As the functions that draw return it.
    stem : path
        The files without their suffix. Each appears whole or not at all; the folder is made if there is none.
    options : PlotOptions, optional
        Its `formats` and `dpi` count.

    Returns
    -------
    list of Path
        In the order of the formats.

    Raises
    ------
    OSError
        The folder cannot be made or the disk is full.
    """
    options = options or PlotOptions()
    paths = [Path(f"{os.fspath(stem)}.{form}") for form in options.formats]
    for path in paths:
        save(figure, path, options)
    return paths


@in_own_style
def save(figure: Figure, path: str | os.PathLike[str] | None, options: PlotOptions) -> None:
    """Write one file in the format of its suffix; without a path nothing."""
    if path is None:
        return
    target, form = Path(path), format_of(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file, _file_style():
        _write(figure, file, form, options.dpi)


def _write(figure: Figure, file: IO[bytes], form: FigureFormat, dpi: int) -> None:
    """Write what `Figure.savefig` writes; of a PNG the same bytes after one drawing instead of two.

    `savefig` draws once to lay the figure out and once to be seen. To be drawn is to be laid out, and nothing is cut
    to the size of what was drawn.
    """
    if form != "png":
        figure.savefig(file, format=form, dpi=dpi, metadata=_UNDATED[form])
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas, shown_dpi = figure.canvas, figure.dpi
    try:
        figure.dpi = dpi
        FigureCanvasAgg(figure).print_png(file, pil_kwargs={"compress_level": _PNG_LEVEL})
    finally:
        figure.dpi = shown_dpi
        figure.set_canvas(canvas)


def _file_style() -> AbstractContextManager[None]:
    import matplotlib

    # Fonts that journals take, and the same names in every run.
    return matplotlib.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "ptycho"})


def format_of(path: str | os.PathLike[str]) -> FigureFormat:
    """Return the format that a path's suffix stands for; PNG if it has none."""
    suffix = Path(path).suffix.lower().lstrip(".") or "png"
    if suffix not in FIGURE_FORMATS:
        raise DataError(
            f"the picture {os.fspath(path)} ends in .{suffix} but must be .png, .pdf or .svg; name it so."
        )
    return cast("FigureFormat", suffix)
