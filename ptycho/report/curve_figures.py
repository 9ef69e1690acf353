"""Pictures made of lines: Fourier ring correlations and the course of a training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ptycho.errors import DataError
from ptycho.report._axes import new_sheet, whole_figure
from ptycho.report._curves import (
    TEXT_PT,
    Criterion,
    draw_chi2,
    draw_correlations,
    draw_learning_rate,
    draw_losses,
    lowest_correlation,
)
from ptycho.report.figure_files import in_own_style, save
from ptycho.report.options import PlotOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ptycho.comparison import ComparisonResult
    from ptycho.evaluation import FrcCurves


@in_own_style
def plot_frc(
    result: ComparisonResult,
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the Fourier ring correlation of every scored arm with its thresholds 0.5, half-bit and one-bit.

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
        No arm has such a curve, or `ax` has no place in a grid.
    """
    arms = correlated(result)
    if not arms:
        raise DataError(
            "no arm has a Fourier ring correlation, which needs a truth and 16 scored pixels a side."
        )
    options = options or PlotOptions()
    figure = _draw_correlations(result, arms, options, ax, criterion="half", name="Fourier ring correlation")
    save(figure, path, options)
    return figure


@in_own_style
def plot_half_sets(
    result: ComparisonResult,
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the correlation of halves of the patches of every arm, which needs no truth.

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
        No arm has such a curve, or `ax` has no place in a grid.
    """
    arms = half_sets(result)
    if not arms:
        raise DataError(
            "no arm has a half-set FRC, which needs self_consistency and 16 pixels a side that both halves cover."
        )
    options, name = options or PlotOptions(), "FRC of halves of the patches"
    figure = _draw_correlations(result, arms, options, ax, criterion="half_bit", name=name)
    save(figure, path, options)
    return figure


def _draw_correlations(
    result: ComparisonResult,
    arms: Mapping[str, FrcCurves],
    options: PlotOptions,
    place: Axes | None,
    *,
    criterion: Criterion,
    name: str,
) -> Figure:
    figure = new_sheet(11.0, 4.6, dpi=options.dpi, place=place)
    axes = figure.subplots(1, 2, sharey=True)
    for panel, channel in zip(axes, ("amplitude", "phase"), strict=True):
        draw_correlations(
            panel,
            arms,
            channel,
            frc_sigma=result.settings.frc_sigma,
            criterion=criterion,
            pixel_m=result.object_pixel_m,
        )
    axes[0].set_ylim(lowest_correlation(arms) - 0.05, 1.05)
    axes[0].set_ylabel(name, fontsize=TEXT_PT)
    return whole_figure(figure)


@in_own_style
def plot_loss_curve(
    history: Mapping[str, Sequence[float]],
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the loss after every epoch of a training.

    Parameters
    ----------
    history : mapping of name to values
        One value per epoch: ``loss`` and ``val_loss`` in bold, their parts (``amplitude_loss``, …) thin, and
        ``val_loss_floor``, what counting noise leaves, dotted; ``val_chi2`` and ``learning_rate``, if they are there,
        in strips below.
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
        There is no ``loss``, or no epoch, or `ax` has no place in a grid.
    """
    if not history.get("loss"):
        raise DataError(f"the history holds {sorted(history)} but a loss curve needs at least one `loss`.")
    strips = {
        draw: history[name]
        for name, draw in (("val_chi2", draw_chi2), ("learning_rate", draw_learning_rate))
        if history.get(name)
    }
    options = options or PlotOptions()
    figure = new_sheet(7.5, 4.4 + 0.8 * len(strips), dpi=options.dpi, place=ax)
    heights = [4, *(1 for _ in strips)]
    rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    losses = {name: np.asarray(values, float) for name, values in history.items() if name.endswith("loss")}
    draw_losses(rows[0], losses, history.get("val_loss_floor"))
    for strip, (draw, values) in zip(rows[1:], strips.items(), strict=True):
        draw(strip, values)
    rows[-1].set_xlabel("epoch", fontsize=TEXT_PT)
    rows[-1].xaxis.get_major_locator().set_params(integer=True)
    save(whole_figure(figure), path, options)
    return whole_figure(figure)


def correlated(result: ComparisonResult) -> dict[str, FrcCurves]:
    """Return the curves against the truth of the arms that have them, by label."""
    return {
        arm.label: arm.metrics.frc
        for arm in result.arms
        if arm.metrics is not None and arm.metrics.frc is not None
    }


def half_sets(result: ComparisonResult) -> dict[str, FrcCurves]:
    """Return the curves between half sets of the arms that have them, by label."""
    return {arm.label: arm.half_set_frc for arm in result.arms if arm.half_set_frc is not None}
