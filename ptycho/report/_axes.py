"""Figures, and images on their axes: size, colours, titles, scale bars; with `_curves` all that draws by matplotlib."""

from __future__ import annotations

import functools
import os
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

from ptycho._io.atomic import replacing
from ptycho.errors import DataError
from ptycho.report._curves import LARGE_PT, SMALL_PT, TEXT_PT
from ptycho.report._panels import ColourScale, plain, scale_bar_px, shortened

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ptycho.image.cropping import Rectangle

AMPLITUDE_MAP, COVERAGE_MAP, SPREAD_MAP = "gray", "viridis", "magma"
SIGNED_MAP, CYCLIC_MAP = "RdBu_r", "twilight_shifted"
PANEL_INCHES, _FIGURE_INCHES = 3.1, 20.0
_DPI = 150


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Make an empty figure without pyplot, so that nothing is shared with a caller's own plots."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), dpi=_DPI, layout="compressed")


def grid(window: Rectangle, *, n_rows: int, n_columns: int) -> tuple[Figure, np.ndarray]:
    """Make a figure of panels in the proportions of `window`; a masked pixel will show as hatched."""
    if not n_columns:
        raise DataError("the comparison has no arm to plot; see its failures for the reasons.")
    height, width = window.shape_yx
    widest = PANEL_INCHES * min(max(1.0, (width / height) ** 0.5), 1.5)
    widest = max(PANEL_INCHES, min(widest, _FIGURE_INCHES / n_columns))
    panel_height = min(widest * height / width, 1.6 * PANEL_INCHES)
    panel_width = max(min(widest, panel_height * width / height), PANEL_INCHES / 2.5)
    figure = new_figure(panel_width * n_columns + 1.2, (panel_height + 0.3) * n_rows + 0.7)
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        # Masked pixels are transparent and let this show.
        ax.patch.set(facecolor="0.85", edgecolor="0.6", hatch="////", linewidth=0)
    return figure, axes


def caption(figure: Figure, text: str) -> None:
    """Write sentences below a figure, as wide as it is."""
    per_line = int(figure.get_figwidth() * 72 / (0.52 * SMALL_PT))
    figure.supxlabel(plain(textwrap.fill(text, per_line)), fontsize=SMALL_PT, color="0.25")


def in_own_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Make a function that draws and saves a figure do so under Matplotlib's defaults, whatever a user has set.

    A matplotlibrc may ask for LaTeX, which is not there, or for sizes under which panels do not fit.
    """

    @functools.wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            return draw(*args, **kwargs)

    return drawing


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a PNG that appears whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        figure.savefig(file, format="png")


def show(ax: Axes, image: np.ma.MaskedArray, scale: ColourScale, colour_map: str, window: Rectangle) -> None:
    """Draw `image` over the pixels of `window`, however many of them it has kept."""
    height, width = window.shape_yx
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(scale.fold(image), cmap=colour_map, vmin=scale.low, vmax=scale.high, extent=extent)


def map_of(channel: str, scale: ColourScale) -> str:
    """Return the colour map of an amplitude, of a phase about zero, or of one that fills a turn."""
    if channel == "amplitude":
        return AMPLITUDE_MAP
    return CYCLIC_MAP if scale.cyclic else SIGNED_MAP


def colour_bar(
    figure: Figure, row: Sequence[Axes], scale: ColourScale, colour_map: str, label: str, extend: str = "both"
) -> None:
    """Put one colour bar beside a row of axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mappable = ScalarMappable(Normalize(scale.low, scale.high), colour_map)
    extend = "neither" if scale.cyclic else extend
    bar = figure.colorbar(mappable, ax=list(row), extend=extend, pad=0.01, aspect=22, fraction=0.05)
    bar.set_label(label, fontsize=TEXT_PT)
    bar.ax.tick_params(labelsize=TEXT_PT)


def title(ax: Axes, text: str) -> None:
    """Write figures above a panel."""
    ax.set_title(text, fontsize=TEXT_PT, pad=4)


def headings(row: Sequence[Axes], labels: Sequence[str]) -> None:
    """Write the names of the columns, at one height, above the titles that their first panels have."""
    n_lines = max(len(ax.get_title().splitlines()) for ax in row)
    height = (1.25 * n_lines + 0.6) * TEXT_PT
    for ax, label in zip(row, labels, strict=True):
        ax.annotate(
            plain(shortened(label)),
            xy=(0.5, 1),
            xytext=(0, height),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            fontsize=LARGE_PT,
            fontweight="bold",
        )


def note(ax: Axes, text: str) -> None:
    """Write a word into the lower right corner, on white."""
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    ax.text(0.98, 0.02, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=SMALL_PT, bbox=box)


def placeholder(ax: Axes, text: str) -> None:
    """Write `text` into a panel that has nothing to show."""
    ax.patch.set(facecolor="white", hatch=None)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center")


def outline(ax: Axes, box: Rectangle) -> None:
    """Draw the outline of `box`, in pixels of the image on `ax`."""
    from matplotlib.patches import Rectangle as Frame

    height, width = box.shape_yx
    corner = (box.column_start - 0.5, box.row_start - 0.5)
    ax.add_patch(Frame(corner, width, height, fill=False, edgecolor="black", linestyle="--", linewidth=1))


def scale_bar(ax: Axes, width_px: int) -> None:
    """Draw a bar of a round number of pixels into the lower left corner of an image so wide."""
    from matplotlib.patheffects import withStroke

    length = scale_bar_px(width_px)
    left, right = 0.05, 0.05 + length / width_px
    ax.plot(
        [left, right],
        [0.06, 0.06],
        transform=ax.transAxes,
        color="white",
        linewidth=2.5,
        solid_capstyle="butt",
        path_effects=[withStroke(linewidth=4, foreground="black")],
    )
    ax.text(
        (left + right) / 2,
        0.085,
        f"{length} px",
        transform=ax.transAxes,
        color="white",
        ha="center",
        fontsize=TEXT_PT,
        fontweight="bold",
        path_effects=[withStroke(linewidth=2.5, foreground="black")],
    )
