"""What a network makes of held-out frames, as a picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ptycho.comparison.shown import panels_of_images
from ptycho.image.cropping import whole_image
from ptycho.models import HeldOutImage
from ptycho.report._axes import caption, colour_bar, grid, headings, map_of, show, whole_figure
from ptycho.report._panels import percentile_scale
from ptycho.report.figure_files import in_own_style, save
from ptycho.report.options import PlotOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR_LABELS = {"amplitude": "amplitude", "phase": "phase / rad"}


@in_own_style
def plot_held_out(
    picture: HeldOutImage,
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw amplitude and phase of a picture of held-out frames and, where it is known, the object beside it.

    Parameters
    ----------
    picture : HeldOutImage
    path : path, optional
        A file in the format of its suffix, .png, .pdf or .svg, which appears whole or not at all.
    options : PlotOptions, optional
    ax : matplotlib.axes.Axes, optional
        Of a grid of the caller's: the panels take its place, and it is gone.

    Returns
    -------
    matplotlib.figure.Figure
        The figure that holds the panels.
    """
    options, window = options or PlotOptions(), whole_image(picture.image.shape_yx)
    placed = [(f"After epoch {picture.epoch}", picture.image)]
    panels = panels_of_images(placed, picture.truth, "plane", options.most_px)
    figure, rows = grid(window, n_rows=2, n_columns=len(panels), dpi=options.dpi, place=ax)
    for axes, channel in zip(rows, ("amplitude", "phase"), strict=True):
        images = [getattr(panel, channel) for panel in panels]
        # One scale for both, set by the object where it is known: else a poor network would set it.
        scale = percentile_scale(images[-1:], options.p_min, options.p_max, phase=channel == "phase")
        for panel_ax, image in zip(axes, images, strict=True):
            show(panel_ax, image, scale, map_of(channel, scale), window)
        colour_bar(figure, list(axes), scale, map_of(channel, scale), _BAR_LABELS[channel])
        axes[0].set_ylabel(channel)
    headings(list(rows[0]), [panel.label for panel in panels])
    caption(
        figure,
        f"Held-out frames of training scan {picture.scan + 1}, stitched; each phase without its plane.",
    )
    save(whole_figure(figure), path, options)
    return whole_figure(figure)
