"""Pictures of images: those of a comparison, of one arm, of errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ptycho.comparison.shown import TRUTH_LABEL, decimated, panels_of
from ptycho.errors import DataError
from ptycho.report._axes import (
    COVERAGE_MAP,
    SIGNED_MAP,
    SPREAD_MAP,
    caption,
    colour_bar,
    grid,
    headings,
    map_of,
    note,
    outline,
    placeholder,
    prepare,
    scale_bar,
    show,
    title,
    whole_figure,
    width_inches,
)
from ptycho.report._curves import LARGE_PT
from ptycho.report._panels import (
    ColourScale,
    Panel,
    comparison_caption,
    error_scale,
    figures_of_merit,
    percentile_scale,
    plain,
    reconstruction_caption,
    shortened,
    spread_scale,
)
from ptycho.report.figure_files import in_own_style, save
from ptycho.report.options import PlotOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ptycho.comparison import ComparisonResult
    from ptycho.image.placed import PlacedImage
    from ptycho.report._axes import Sheet

# Taller windows than this, and narrower columns of a figure of the caller's, have no room for a line of figures.
_TALL, _WIDE_INCHES = 1.3, 2.6
_BAR_LABELS = {"amplitude": "amplitude", "phase": "phase (rad)"}


@in_own_style
def plot_comparison(
    result: ComparisonResult,
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw amplitude and phase of every arm and of the truth, each row on one colour scale.

    Parameters
    ----------
    result : ComparisonResult
    path : path, optional
        A file in the format of its suffix, .png, .pdf or .svg, which appears whole or not at all.
    options : PlotOptions, optional
    ax : matplotlib.axes.Axes, optional
        Of a grid of the caller's: the panels take its place, and it is gone.

    Returns
    -------
    matplotlib.figure.Figure
        The figure that holds the panels.

    Raises
    ------
    DataError
        There is neither an arm nor a truth to show, phase limits are in the wrong order, or `ax` has no place in
        a grid.
    """
    options = options or PlotOptions()
    figure = draw_comparison(result, options, panels_of(result, options.most_px), ax)
    save(figure, path, options)
    return figure


def draw_comparison(
    result: ComparisonResult, options: PlotOptions, panels: Sequence[Panel], place: Axes | None = None
) -> Figure:
    """Draw what `plot_comparison` draws, of panels that are there."""
    figure, axes = grid(result.window, n_rows=2, n_columns=len(panels), dpi=options.dpi, place=place)
    arms = {arm.label: arm for arm in result.arms}
    height, width = result.window.shape_yx
    narrow = height > _TALL * width or width_inches(figure) < _WIDE_INCHES * len(panels)
    separator = "\n" if narrow else " · "
    reference = panels[-1:] if result.truth is not None else panels
    scales = _common_scales(reference, options)
    for row, (channel, scale) in zip(axes, scales.items(), strict=True):
        for ax, panel in zip(row, panels, strict=True):
            own = scale.with_ends(*_limits(options, panel, channel))
            show(ax, getattr(panel, channel), own, map_of(channel, own), result.window)
            title(ax, figures_of_merit(arms.get(panel.label), channel, separator=separator))
            if own != scale:
                note(ax, f"{own.low:.3g} … {own.high:.3g} rad")
        colour_bar(figure, row, scale, map_of(channel, scale), _BAR_LABELS[channel])
        row[0].set_ylabel(channel.capitalize(), fontsize=LARGE_PT)
    headings(axes[0], [panel.label for panel in panels])
    for ax, arm in zip(axes[0], result.arms, strict=False):
        words = ["collapsed"] if arm.collapsed else []
        words += ["registration failed"] if arm.registration_failed else []
        if words:
            note(ax, ", ".join(words))
    scale_bar(axes[0][0], width, result.object_pixel_m)
    caption(figure, comparison_caption(result, options, scales, reference))
    return whole_figure(figure)


def _common_scales(panels: Sequence[Panel], options: PlotOptions) -> dict[str, ColourScale]:
    """Return the colour scale of each channel that holds the wanted percentiles of all `panels` together."""
    return {
        channel: percentile_scale(
            [getattr(panel, channel) for panel in panels],
            options.p_min,
            options.p_max,
            phase=channel == "phase",
        )
        for channel in ("amplitude", "phase")
    }


@in_own_style
def plot_image(
    result: ComparisonResult,
    label: str,
    channel: Literal["amplitude", "phase"] = "phase",
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one panel of `plot_comparison` by itself, on the same colour scale, with its colour bar.

    Parameters
    ----------
    result : ComparisonResult
    label : str
        Of an arm, or "Ground truth".
    channel : {"amplitude", "phase"}
    path : path, optional
        A file in the format of its suffix, .png, .pdf or .svg, which appears whole or not at all.
    options : PlotOptions, optional
    ax : matplotlib.axes.Axes, optional
        Where it is drawn, any axes.

    Returns
    -------
    matplotlib.figure.Figure
        The figure that holds the panel.

    Raises
    ------
    DataError
        There is no such image, or phase limits are in the wrong order.
    """
    options = options or PlotOptions()
    panels = {panel.label: panel for panel in panels_of(result, options.most_px)}
    if label not in panels:
        raise DataError(f"there is no image {label!r} in the comparison; name one of {list(panels)}.")
    if ax is None:
        _, ((panel_ax,),) = grid(result.window, n_rows=1, n_columns=1, dpi=options.dpi)
    else:
        panel_ax = ax
        prepare(panel_ax)
    reference = [panels[TRUTH_LABEL]] if result.truth is not None else list(panels.values())
    scale = _common_scales(reference, options)[channel].with_ends(*_limits(options, panels[label], channel))
    show(panel_ax, getattr(panels[label], channel), scale, map_of(channel, scale), result.window)
    colour_bar(panel_ax.figure, [panel_ax], scale, map_of(channel, scale), _BAR_LABELS[channel])
    title(panel_ax, plain(shortened(label)))
    scale_bar(panel_ax, result.window.shape_yx[1], result.object_pixel_m)
    figure = whole_figure(panel_ax.figure)
    save(figure, path, options)
    return figure


def _limits(options: PlotOptions, panel: Panel, channel: str) -> tuple[float | None, float | None]:
    """Return the fixed ends of a panel's colour scale: those of the phase alone, None where there is none."""
    return options.phase_limits.get(panel.label, (None, None)) if channel == "phase" else (None, None)


@in_own_style
def plot_reconstruction(
    result: ComparisonResult,
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw amplitude, phase and coverage of the one arm of `result` side by side.

    Parameters
    ----------
    result : ComparisonResult
        With one arm.
    path : path, optional
        A file in the format of its suffix, .png, .pdf or .svg, which appears whole or not at all.
    options : PlotOptions, optional
    ax : matplotlib.axes.Axes, optional
        Of a grid of the caller's: the panels take its place, and it is gone.

    Returns
    -------
    matplotlib.figure.Figure
        The figure that holds the panels.

    Raises
    ------
    DataError
        There is another number of arms than one, or `ax` has no place in a grid.
    """
    if len(result.arms) != 1:
        raise DataError(
            f"there are {len(result.arms)} arms to draw but this plot shows one; draw a comparison."
        )
    options = options or PlotOptions()
    panel = panels_of(result, options.most_px)[0]
    figure, (axes,) = grid(result.window, n_rows=1, n_columns=3, dpi=options.dpi, place=ax)
    scales = {
        channel: scale.with_ends(*_limits(options, panel, channel))
        for channel, scale in _common_scales([panel], options).items()
    }
    for panel_ax, (channel, scale) in zip(axes, scales.items(), strict=False):
        show(panel_ax, getattr(panel, channel), scale, map_of(channel, scale), result.window)
        colour_bar(figure, [panel_ax], scale, map_of(channel, scale), _BAR_LABELS[channel])
    _coverage_row(figure, axes[2:], result, options.most_px)
    axes[2].set_ylabel("")
    headings(axes, ["Amplitude", "Phase", "Coverage"])
    if result.arms[0].collapsed:
        note(axes[0], "collapsed")
    scale_bar(axes[0], result.window.shape_yx[1], result.object_pixel_m)
    caption(figure, reconstruction_caption(result, options, scales, panel))
    save(whole_figure(figure), path, options)
    return whole_figure(figure)


@in_own_style
def plot_errors(
    result: ComparisonResult,
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw for every arm its errors against the truth (if there is one), coverage, and how patches disagree.

    Parameters
    ----------
    result : ComparisonResult
    path : path, optional
        A file in the format of its suffix, .png, .pdf or .svg, which appears whole or not at all.
    options : PlotOptions, optional
    ax : matplotlib.axes.Axes, optional
        Of a grid of the caller's: the panels take its place, and it is gone.

    Returns
    -------
    matplotlib.figure.Figure
        The figure that holds the panels.

    Raises
    ------
    DataError
        There is no arm to show, or `ax` has no place in a grid.
    """
    options = options or PlotOptions()
    figure = draw_errors(result, options, panels_of(result, options.most_px), ax)
    save(figure, path, options)
    return figure


def draw_errors(
    result: ComparisonResult, options: PlotOptions, all_panels: Sequence[Panel], place: Axes | None = None
) -> Figure:
    """Draw what `plot_comparison` draws, of panels that are there."""
    panels = all_panels[: len(result.arms)]
    units = {} if result.truth is None else {"amplitude": "arm − truth", "phase": "arm − truth (rad)"}
    disagree = any(arm.consistency is not None for arm in result.arms)
    figure, axes = grid(
        result.window, n_rows=len(units) + 1 + disagree, n_columns=len(panels), dpi=options.dpi, place=place
    )
    for row, (channel, unit) in zip(axes, units.items(), strict=False):
        images = [getattr(panel, f"{channel}_error") for panel in panels]
        scale = error_scale(images)
        for ax, image, arm in zip(row, images, result.arms, strict=True):
            show(ax, image, scale, SIGNED_MAP, result.window)
            if arm.metrics is not None:
                outline(ax, arm.metrics.window)
                title(ax, f"MAE {getattr(arm.metrics.mae, channel):#.2g}")
        colour_bar(figure, row, scale, SIGNED_MAP, unit)
        row[0].set_ylabel(f"{channel.capitalize()} error", fontsize=LARGE_PT)
    _coverage_row(figure, axes[len(units)], result, options.most_px)
    if disagree:
        _disagreement_row(figure, axes[-1], result, options.most_px)
    headings(axes[0], [panel.label for panel in panels])
    scale_bar(axes[0][0], result.window.shape_yx[1], result.object_pixel_m)
    caption(figure, _error_caption(result, disagree=disagree))
    return whole_figure(figure)


def _error_caption(result: ComparisonResult, *, disagree: bool) -> str:
    sentences = ["Hatched: not reconstructed."]
    if result.truth is not None:
        sentences.append("Colours of errors hold 98 % of the pixels. Dashed: the scored rectangle.")
        if result.settings.metric_convention != "standard":
            sentences.append(
                f"Errors are shown after exact placement; the {result.settings.metric_convention} convention "
                "scores its own."
            )
    if disagree:
        sentences.append("Disagreement: standard deviation of the complex value over the patches on a pixel.")
    return " ".join(sentences)


def _coverage_row(figure: Sheet, row: Sequence[Axes], result: ComparisonResult, most_px: int) -> None:
    depths = [_patches_per_pixel(arm.image, most_px) for arm in result.arms]
    scale = ColourScale(0.0, max((float(depth.max()) for depth in depths if depth.count()), default=1.0))
    for ax, arm, depth in zip(row, result.arms, depths, strict=True):
        show(ax, depth, scale, COVERAGE_MAP, result.window)
        title(ax, f"{arm.image.covered.mean():.1%} of the window")
        if arm.image.coverage is None:
            placeholder(ax, "not stitched\nfrom patches here")
    colour_bar(figure, row, scale, COVERAGE_MAP, "patches per pixel", extend="neither")
    row[0].set_ylabel("Coverage", fontsize=LARGE_PT)


def _patches_per_pixel(image: PlacedImage, most_px: int) -> np.ma.MaskedArray:
    if image.coverage is None:
        return np.ma.MaskedArray(decimated(image.covered, most_px), True)
    return np.ma.MaskedArray(decimated(image.coverage, most_px), ~decimated(image.covered, most_px))


def _disagreement_row(figure: Sheet, row: Sequence[Axes], result: ComparisonResult, most_px: int) -> None:
    nothing = np.full(result.window.shape_yx, np.nan, np.float32)
    spreads = [
        np.sqrt(decimated(nothing if arm.consistency is None else arm.consistency.overlap_variance, most_px))
        for arm in result.arms
    ]
    images = [np.ma.masked_invalid(spread) for spread in spreads]
    scale = spread_scale(images)
    for ax, arm, image in zip(row, result.arms, images, strict=True):
        show(ax, image, scale, SPREAD_MAP, result.window)
        if arm.consistency is None:
            placeholder(ax, "no patches to compare")
        elif arm.consistency.overlap_disagreement is not None:
            title(ax, f"{arm.consistency.overlap_disagreement:.1%} of the modulus")
    colour_bar(figure, row, scale, SPREAD_MAP, "std over patches", extend="max")
    row[0].set_ylabel("Disagreement", fontsize=LARGE_PT)
