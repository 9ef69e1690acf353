"""Pictures of a comparison and of a training, as PNG; the one file that imports matplotlib.

Figures are made without pyplot, so nothing is shared with a caller's own plots.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptycho._curves import (
    LARGE_PT,
    SMALL_PT,
    TEXT_PT,
    draw_correlations,
    draw_learning_rate,
    draw_losses,
    lowest_correlation,
)
from ptycho._display import (
    ColourScale,
    Panel,
    comparison_caption,
    error_scale,
    figures_of_merit,
    panels_of,
    percentile_scale,
    plain,
    reconstruction_caption,
    scale_bar_px,
    shortened,
    thinned,
)
from ptycho.artifacts import staging
from ptycho.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ptycho.comparison import ComparisonResult
    from ptycho.evaluation.results import FrcCurves
    from ptycho.image.cropping import Rectangle

PhaseLimits = tuple[float | None, float | None]

COMPARISON_PLOT = "comparison_plot.png"
ERROR_PLOT = "comparison_errors.png"
FRC_PLOT = "frc_curves.png"
PLOT_FILES = (COMPARISON_PLOT, ERROR_PLOT, FRC_PLOT)

_DPI = 150
_PANEL_INCHES, _FIGURE_INCHES = 3.1, 20.0
# Taller windows than this have panels too narrow for a line of figures.
_TALL = 1.3
_BAR_LABELS = {"amplitude": "amplitude", "phase": "phase (rad)"}
_AMPLITUDE_MAP, _COVERAGE_MAP, _SIGNED_MAP, _CYCLIC_MAP = "gray", "viridis", "RdBu_r", "twilight_shifted"


@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """How the images of a comparison are coloured.

    Attributes
    ----------
    p_min, p_max : float
        Percentiles of the truth (of all arms, without one) at the ends of the colour scales.
    phase_limits : mapping of label to (float or None, float or None)
        Fixed ends, in radians, of the phase scale of single arms; None leaves an end as it is.
    """

    p_min: float = 10.0
    p_max: float = 90.0
    phase_limits: Mapping[str, PhaseLimits] = field(default_factory=dict)


def write_plots(
    result: ComparisonResult, folder: str | os.PathLike[str], *, options: PlotOptions | None = None
) -> list[Path]:
    """Draw every picture that the result allows into `folder`; those of an earlier run are removed.

    Returns
    -------
    list of Path
        The images, the error and coverage maps, the FRC curves; what cannot be drawn is left out.
    """
    with staging(folder, replaces=PLOT_FILES) as stage:
        panels = panels_of(result)
        if panels:
            plot_comparison(result, stage / COMPARISON_PLOT, options=options, panels=panels)
        if result.arms:
            plot_errors(result, stage / ERROR_PLOT, panels=panels)
        if _correlated(result):
            plot_frc(result, stage / FRC_PLOT)
        drawn = [name for name in PLOT_FILES if (stage / name).exists()]
    return [Path(folder) / name for name in drawn]


def plot_comparison(
    result: ComparisonResult,
    path: str | os.PathLike[str],
    *,
    options: PlotOptions | None = None,
    panels: Sequence[Panel] | None = None,
) -> None:
    """Draw amplitude and phase of every arm and of the truth, each row on one colour scale.

    Parameters
    ----------
    result : ComparisonResult
    path : path
        The PNG; it appears whole or not at all.
    options : PlotOptions, optional
    panels : sequence of Panel, optional
        What `panels_of` returned, if it is at hand.

    Raises
    ------
    DataError
        There is neither an arm nor a truth to show, or phase limits are in the wrong order.
    """
    options = options or PlotOptions()
    panels = panels_of(result) if panels is None else panels
    figure, axes = _grid(result, n_rows=2, n_columns=len(panels))
    arms = {arm.label: arm for arm in result.arms}
    height, width = result.window.shape_yx
    separator = "\n" if height > _TALL * width else " · "
    reference = panels[-1:] if result.truth is not None else panels
    for row, channel in zip(axes, ("amplitude", "phase"), strict=True):
        is_phase = channel == "phase"
        images = [getattr(panel, channel) for panel in reference]
        scale = percentile_scale(images, options.p_min, options.p_max, phase=is_phase)
        for ax, panel in zip(row, panels, strict=True):
            limits = options.phase_limits.get(panel.label, (None, None)) if is_phase else (None, None)
            own = scale.with_ends(*limits)
            _show(ax, getattr(panel, channel), own, _map_of(channel, own), result.window)
            _title(ax, figures_of_merit(arms.get(panel.label), channel, separator=separator))
            if own != scale:
                _note(ax, f"{own.low:.3g} … {own.high:.3g} rad")
        _colour_bar(figure, row, scale, _map_of(channel, scale), _BAR_LABELS[channel])
        row[0].set_ylabel(channel.capitalize(), fontsize=LARGE_PT)
    _headings(axes[0], [panel.label for panel in panels])
    for ax, arm in zip(axes[0], result.arms, strict=False):
        if arm.collapsed:
            _note(ax, "collapsed")
    _scale_bar(axes[0][0], width)
    _caption(figure, comparison_caption(result, p_min=options.p_min, p_max=options.p_max))
    _save(figure, path)


def plot_reconstruction(
    result: ComparisonResult, path: str | os.PathLike[str], *, options: PlotOptions | None = None
) -> None:
    """Draw amplitude, phase and coverage of the one arm of `result` side by side.

    Raises
    ------
    DataError
        There is another number of arms than one.
    """
    if len(result.arms) != 1:
        raise DataError(
            f"there are {len(result.arms)} arms to draw but this plot shows one; draw a comparison."
        )
    options = options or PlotOptions()
    figure, (axes,) = _grid(result, n_rows=1, n_columns=3)
    for ax, channel in zip(axes, ("amplitude", "phase"), strict=False):
        image = getattr(panels_of(result)[0], channel)
        scale = percentile_scale([image], options.p_min, options.p_max, phase=channel == "phase")
        _show(ax, image, scale, _map_of(channel, scale), result.window)
        _colour_bar(figure, [ax], scale, _map_of(channel, scale), _BAR_LABELS[channel])
    _coverage_row(figure, axes[2:], result)
    axes[2].set_ylabel("")
    _headings(axes, ["Amplitude", "Phase", "Coverage"])
    if result.arms[0].collapsed:
        _note(axes[0], "collapsed")
    _scale_bar(axes[0], result.window.shape_yx[1])
    _caption(figure, reconstruction_caption(result, p_min=options.p_min, p_max=options.p_max))
    _save(figure, path)


def plot_errors(
    result: ComparisonResult, path: str | os.PathLike[str], *, panels: Sequence[Panel] | None = None
) -> None:
    """Draw, for every arm, its errors against the truth (if there is one) and its coverage.

    Raises
    ------
    DataError
        There is no arm to show.
    """
    panels = (panels_of(result) if panels is None else panels)[: len(result.arms)]
    units = {} if result.truth is None else {"amplitude": "arm − truth", "phase": "arm − truth (rad)"}
    figure, axes = _grid(result, n_rows=len(units) + 1, n_columns=len(panels))
    for row, (channel, unit) in zip(axes, units.items(), strict=False):
        images = [getattr(panel, f"{channel}_error") for panel in panels]
        scale = error_scale(images)
        for ax, image, arm in zip(row, images, result.arms, strict=True):
            _show(ax, image, scale, _SIGNED_MAP, result.window)
            if arm.metrics is not None:
                _outline(ax, arm.metrics.window)
                _title(ax, f"MAE {getattr(arm.metrics.mae, channel):#.2g}")
        _colour_bar(figure, row, scale, _SIGNED_MAP, unit)
        row[0].set_ylabel(f"{channel.capitalize()} error", fontsize=LARGE_PT)
    _coverage_row(figure, axes[-1], result)
    _headings(axes[0], [panel.label for panel in panels])
    _scale_bar(axes[0][0], result.window.shape_yx[1])
    _caption(figure, "Hatched: not reconstructed." + (" Dashed: the scored rectangle." if units else ""))
    _save(figure, path)


def _coverage_row(figure: Figure, row: Sequence[Axes], result: ComparisonResult) -> None:
    depths = [
        np.ma.MaskedArray(thinned(arm.coverage), ~thinned(arm.covered) | (arm.run is None))
        for arm in result.arms
    ]
    scale = ColourScale(0.0, max((float(depth.max()) for depth in depths if depth.count()), default=1.0))
    for ax, arm, depth in zip(row, result.arms, depths, strict=True):
        _show(ax, depth, scale, _COVERAGE_MAP, result.window)
        _title(ax, f"{arm.covered.mean():.1%} of the window")
        if arm.run is None:
            ax.patch.set(facecolor="white", hatch=None)
            ax.text(
                0.5,
                0.5,
                "finished image,\nnot stitched here",
                transform=ax.transAxes,
                ha="center",
                va="center",
            )
    _colour_bar(figure, row, scale, _COVERAGE_MAP, "patches per pixel", extend="neither")
    row[0].set_ylabel("Coverage", fontsize=LARGE_PT)


def plot_frc(result: ComparisonResult, path: str | os.PathLike[str]) -> None:
    """Draw the Fourier ring correlation of every scored arm with the thresholds 0.5, 1/7 and half-bit.

    Raises
    ------
    DataError
        No arm has such a curve.
    """
    arms = _correlated(result)
    if not arms:
        raise DataError(
            "no arm has a Fourier ring correlation, which needs a truth and 16 scored pixels a side."
        )
    figure = _new_figure(11.0, 4.6)
    for ax, channel in zip(figure.subplots(1, 2, sharey=True), ("amplitude", "phase"), strict=True):
        draw_correlations(ax, arms, channel, frc_sigma=result.settings.frc_sigma)
    figure.axes[0].set_ylim(lowest_correlation(arms) - 0.05, 1.05)
    figure.axes[0].set_ylabel("Fourier ring correlation", fontsize=TEXT_PT)
    _save(figure, path)


def plot_loss_curve(history: Mapping[str, Sequence[float]], path: str | os.PathLike[str]) -> None:
    """Draw the loss after every epoch of a training.

    Parameters
    ----------
    history : mapping of name to values
        One value per epoch: ``loss`` and ``val_loss`` in bold, their parts (``amplitude_loss``, …) thin;
        ``learning_rate``, if it is there, in a strip below.
    path : path
        The PNG; it appears whole or not at all.

    Raises
    ------
    DataError
        There is no ``loss``, or no epoch.
    """
    if not history.get("loss"):
        raise DataError(f"the history holds {sorted(history)} but a loss curve needs at least one `loss`.")
    rates = history.get("learning_rate", ())
    figure = _new_figure(7.5, 5.2 if rates else 4.4)
    heights = [4, 1] if rates else [1]
    rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    losses = {name: np.asarray(values, float) for name, values in history.items() if name.endswith("loss")}
    draw_losses(rows[0], losses)
    if rates:
        draw_learning_rate(rows[1], rates)
    rows[-1].set_xlabel("epoch", fontsize=TEXT_PT)
    rows[-1].xaxis.get_major_locator().set_params(integer=True)
    _save(figure, path)


def _correlated(result: ComparisonResult) -> dict[str, FrcCurves]:
    return {
        arm.label: arm.metrics.frc
        for arm in result.arms
        if arm.metrics is not None and arm.metrics.frc is not None
    }


def _grid(result: ComparisonResult, *, n_rows: int, n_columns: int) -> tuple[Figure, np.ndarray]:
    if not n_columns:
        raise DataError("the comparison has no arm to plot; see its failures for the reasons.")
    height, width = result.window.shape_yx
    widest = _PANEL_INCHES * min(max(1.0, (width / height) ** 0.5), 1.5)
    widest = max(_PANEL_INCHES, min(widest, _FIGURE_INCHES / n_columns))
    panel_height = min(widest * height / width, 1.6 * _PANEL_INCHES)
    panel_width = max(min(widest, panel_height * width / height), _PANEL_INCHES / 2.5)
    figure = _new_figure(panel_width * n_columns + 1.2, (panel_height + 0.3) * n_rows + 0.7)
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        # Masked pixels are transparent and let this show.
        ax.patch.set(facecolor="0.85", edgecolor="0.6", hatch="////", linewidth=0)
    return figure, axes


def _new_figure(width_inches: float, height_inches: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), dpi=_DPI, layout="compressed")


def _show(ax: Axes, image: np.ma.MaskedArray, scale: ColourScale, colour_map: str, window: Rectangle) -> None:
    height, width = window.shape_yx
    # In pixels of the window, however many of them the image has kept.
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(scale.fold(image), cmap=colour_map, vmin=scale.low, vmax=scale.high, extent=extent)


def _map_of(channel: str, scale: ColourScale) -> str:
    if channel == "amplitude":
        return _AMPLITUDE_MAP
    return _CYCLIC_MAP if scale.cyclic else _SIGNED_MAP


def _colour_bar(
    figure: Figure, row: Sequence[Axes], scale: ColourScale, colour_map: str, label: str, extend: str = "both"
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mappable = ScalarMappable(Normalize(scale.low, scale.high), colour_map)
    extend = "neither" if scale.cyclic else extend
    bar = figure.colorbar(mappable, ax=list(row), extend=extend, pad=0.01, aspect=22, fraction=0.05)
    bar.set_label(label, fontsize=TEXT_PT)
    bar.ax.tick_params(labelsize=TEXT_PT)


def _title(ax: Axes, text: str) -> None:
    ax.set_title(text, fontsize=TEXT_PT, pad=4)


def _headings(row: Sequence[Axes], labels: Sequence[str]) -> None:
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


def _note(ax: Axes, text: str) -> None:
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    ax.text(0.98, 0.02, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=SMALL_PT, bbox=box)


def _outline(ax: Axes, box: Rectangle) -> None:
    from matplotlib.patches import Rectangle as Frame

    height, width = box.shape_yx
    corner = (box.column_start - 0.5, box.row_start - 0.5)
    ax.add_patch(Frame(corner, width, height, fill=False, edgecolor="black", linestyle="--", linewidth=1))


def _scale_bar(ax: Axes, width_px: int) -> None:
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


def _caption(figure: Figure, text: str) -> None:
    per_line = int(figure.get_figwidth() * 72 / (0.52 * SMALL_PT))
    figure.supxlabel(plain(textwrap.fill(text, per_line)), fontsize=SMALL_PT, color="0.25")


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    target = Path(path)
    with staging(target.parent) as stage:
        figure.savefig(stage / target.name, format="png", bbox_inches="tight", pad_inches=0.08)
