"""Figures, and images on their axes: size, colours, titles, scale bars; with `_curves` all that draws by matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ptycho.errors import DataError
from ptycho.report._curves import LARGE_PT, SMALL_PT, TEXT_PT
from ptycho.report._panels import ColourScale, plain, scale_bar_of, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from ptycho.image.cropping import Rectangle

    Sheet: TypeAlias = Figure | SubFigure

AMPLITUDE_MAP, COVERAGE_MAP, SPREAD_MAP = "gray", "viridis", "magma"
SIGNED_MAP, CYCLIC_MAP = "RdBu_r", "twilight_shifted"
PANEL_INCHES, _FIGURE_INCHES = 3.1, 20.0


def new_sheet(width_inches: float, height_inches: float, *, dpi: int, place: Axes | None = None) -> Sheet:
    """Make room for panels: an empty figure, or that of the axes `place` in their figure, which then are gone.

    The figure is made without pyplot, so that nothing is shared with a caller's own plots.
    """
    from matplotlib.figure import Figure

    if place is None:
        return Figure(figsize=(width_inches, height_inches), dpi=dpi, layout="compressed")
    spec = place.get_subplotspec()
    if spec is None:
        raise DataError(
            f"ax lies by hand at {place.get_position().bounds} but must have a place in a grid that panels can take; "
            "make it with figure.subplots() or figure.add_subplot()."
        )
    figure = place.figure
    place.remove()
    return figure.add_subfigure(spec)


def whole_figure(sheet: Sheet) -> Figure:
    """Return the figure that a sheet is, or lies in."""
    return sheet.canvas.figure


def width_inches(sheet: Sheet) -> float:
    """Return the width of a figure, or of its part that is a sheet."""
    return sheet.bbox.width / whole_figure(sheet).dpi


def grid(
    window: Rectangle, *, n_rows: int, n_columns: int, dpi: int, place: Axes | None = None
) -> tuple[Sheet, np.ndarray]:
    """Make a sheet of panels in the proportions of `window`; a masked pixel will show as hatched."""
    if not n_columns:
        raise DataError("the comparison has no arm to plot; see its failures for the reasons.")
    height, width = window.shape_yx
    widest = PANEL_INCHES * min(max(1.0, (width / height) ** 0.5), 1.5)
    widest = max(PANEL_INCHES, min(widest, _FIGURE_INCHES / n_columns))
    panel_height = min(widest * height / width, 1.6 * PANEL_INCHES)
    panel_width = max(min(widest, panel_height * width / height), PANEL_INCHES / 2.5)
    figure = new_sheet(
        panel_width * n_columns + 1.2, (panel_height + 0.3) * n_rows + 0.7, dpi=dpi, place=place
    )
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for panel in axes.flat:
        prepare(panel)
    return figure, axes


def prepare(ax: Axes) -> None:
    """Make axes ready for an image, of which masked pixels will show as hatched."""
    ax.set(xticks=[], yticks=[])
    # Masked pixels are transparent and let this show.
    ax.patch.set(facecolor="0.85", edgecolor="0.6", hatch="////", linewidth=0)


def caption(figure: Sheet, text: str) -> None:
    """Write sentences below a figure, as wide as it is."""
    # Centred under the panels, which leave an inch or less for labels and the colour bar.
    per_line = max(int((width_inches(figure) - 0.8) * 72 / (0.54 * SMALL_PT)), 20)
    figure.supxlabel(plain(textwrap.fill(text, per_line)), fontsize=SMALL_PT, color="0.25")


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
    figure: Sheet, row: Sequence[Axes], scale: ColourScale, colour_map: str, label: str, extend: str = "both"
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


def scale_bar(ax: Axes, width_px: int, pixel_m: float | None) -> None:
    """Draw a bar of a round length, in metres where they are known, into the lower left corner of an image so wide."""
    from matplotlib.patheffects import withStroke

    length_px, length = scale_bar_of(width_px, pixel_m)
    left, right = 0.05, 0.05 + length_px / width_px
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
        length,
        transform=ax.transAxes,
        color="white",
        ha="center",
        fontsize=TEXT_PT,
        fontweight="bold",
        path_effects=[withStroke(linewidth=2.5, foreground="black")],
    )
