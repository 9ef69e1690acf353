"""Pictures of a comparison and of a training, as PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptycho._io.atomic import staged_files
from ptycho.errors import DataError
from ptycho.evaluation import seen_images
from ptycho.report._axes import (
    COVERAGE_MAP,
    PANEL_INCHES,
    SIGNED_MAP,
    SPREAD_MAP,
    caption,
    colour_bar,
    grid,
    headings,
    in_own_style,
    map_of,
    new_figure,
    note,
    outline,
    placeholder,
    save,
    scale_bar,
    show,
    title,
)
from ptycho.report._curves import LARGE_PT
from ptycho.report._panels import (
    ColourScale,
    Panel,
    comparison_caption,
    decimated,
    error_scale,
    figures_of_merit,
    panels_of,
    percentile_scale,
    reconstruction_caption,
    spread_scale,
)
from ptycho.report.curve_figures import correlated, half_sets, plot_frc, plot_half_sets
from ptycho.report.names import (
    COMPARISON_PLOT,
    DEBUG_PLOT_SUFFIX,
    ERROR_PLOT,
    FRC_PLOT,
    HALF_SET_PLOT,
    PLOT_FILES,
    PLOT_PATTERNS,
    arm_prefixes,
)
from ptycho.report.options import PlotOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ptycho.comparison import ComparisonResult
    from ptycho.evaluation import SeenImages
    from ptycho.image.placed import PlacedImage

# Taller windows than this have panels too narrow for a line of figures.
_TALL = 1.3
_BAR_LABELS = {"amplitude": "amplitude", "phase": "phase (rad)"}


@in_own_style
def write_plots(
    result: ComparisonResult, folder: str | os.PathLike[str], *, options: PlotOptions | None = None
) -> list[Path]:
    """Draw every picture that the result allows into `folder`; those of an earlier run are removed.

    Parameters
    ----------
    result : ComparisonResult
    folder : path
        Made if there is none.
    options : PlotOptions, optional

    Returns
    -------
    list of Path
        The images, the maps of errors, coverage and disagreement, the FRC curves against the truth and
        between half sets; what cannot be drawn is left out.

    Raises
    ------
    OSError
        The folder cannot be made or the disk is full; then nothing has been changed.
    DataError
        Phase limits are in the wrong order.
    """
    options = options or PlotOptions()
    with staged_files(folder, replaces=PLOT_PATTERNS) as stage:
        panels = panels_of(result)
        if panels:
            _draw_comparison(result, stage / COMPARISON_PLOT, options, panels)
        if result.arms:
            _draw_errors(result, stage / ERROR_PLOT, panels)
        if correlated(result):
            plot_frc(result, stage / FRC_PLOT)
        if half_sets(result):
            plot_half_sets(result, stage / HALF_SET_PLOT)
        if options.debug_images:
            _plot_all_debug_images(result, stage)
        debug = sorted(path.name for path in stage.glob(f"*{DEBUG_PLOT_SUFFIX}"))
        drawn = [*(name for name in PLOT_FILES if (stage / name).exists()), *debug]
    return [Path(folder) / name for name in drawn]


@in_own_style
def plot_comparison(
    result: ComparisonResult,
    path: str | os.PathLike[str],
    *,
    options: PlotOptions | None = None,
) -> None:
    """Draw amplitude and phase of every arm and of the truth, each row on one colour scale.

    Parameters
    ----------
    result : ComparisonResult
    path : path
        The PNG; it appears whole or not at all.
    options : PlotOptions, optional

    Raises
    ------
    DataError
        There is neither an arm nor a truth to show, or phase limits are in the wrong order.
    """
    _draw_comparison(result, path, options or PlotOptions(), panels_of(result))


def _draw_comparison(
    result: ComparisonResult, path: str | os.PathLike[str], options: PlotOptions, panels: Sequence[Panel]
) -> None:
    figure, axes = grid(result.window, n_rows=2, n_columns=len(panels))
    arms = {arm.label: arm for arm in result.arms}
    height, width = result.window.shape_yx
    separator = "\n" if height > _TALL * width else " · "
    reference = panels[-1:] if result.truth is not None else panels
    for row, channel in zip(axes, ("amplitude", "phase"), strict=True):
        is_phase = channel == "phase"
        images = [getattr(panel, channel) for panel in reference]
        scale = percentile_scale(images, options.p_min, options.p_max, phase=is_phase)
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
    scale_bar(axes[0][0], width)
    caption(figure, comparison_caption(result, p_min=options.p_min, p_max=options.p_max))
    save(figure, path)


def _limits(options: PlotOptions, panel: Panel, channel: str) -> tuple[float | None, float | None]:
    """Return the fixed ends of a panel's colour scale: those of the phase alone, None where there is none."""
    return options.phase_limits.get(panel.label, (None, None)) if channel == "phase" else (None, None)


@in_own_style
def plot_reconstruction(
    result: ComparisonResult, path: str | os.PathLike[str], *, options: PlotOptions | None = None
) -> None:
    """Draw amplitude, phase and coverage of the one arm of `result` side by side.

    Parameters
    ----------
    result : ComparisonResult
        With one arm.
    path : path
        The PNG; it appears whole or not at all.
    options : PlotOptions, optional

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
    panel = panels_of(result)[0]
    figure, (axes,) = grid(result.window, n_rows=1, n_columns=3)
    for ax, channel in zip(axes, ("amplitude", "phase"), strict=False):
        image = getattr(panel, channel)
        scale = percentile_scale([image], options.p_min, options.p_max, phase=channel == "phase")
        scale = scale.with_ends(*_limits(options, panel, channel))
        show(ax, image, scale, map_of(channel, scale), result.window)
        colour_bar(figure, [ax], scale, map_of(channel, scale), _BAR_LABELS[channel])
    _coverage_row(figure, axes[2:], result)
    axes[2].set_ylabel("")
    headings(axes, ["Amplitude", "Phase", "Coverage"])
    if result.arms[0].collapsed:
        note(axes[0], "collapsed")
    scale_bar(axes[0], result.window.shape_yx[1])
    caption(figure, reconstruction_caption(result, p_min=options.p_min, p_max=options.p_max))
    save(figure, path)


@in_own_style
def plot_errors(result: ComparisonResult, path: str | os.PathLike[str]) -> None:
    """Draw for every arm its errors against the truth (if there is one), coverage, and how patches disagree.

    Parameters
    ----------
    result : ComparisonResult
    path : path
        The PNG; it appears whole or not at all.

    Raises
    ------
    DataError
        There is no arm to show.
    """
    _draw_errors(result, path, panels_of(result))


def _draw_errors(result: ComparisonResult, path: str | os.PathLike[str], all_panels: Sequence[Panel]) -> None:
    panels = all_panels[: len(result.arms)]
    units = {} if result.truth is None else {"amplitude": "arm − truth", "phase": "arm − truth (rad)"}
    disagree = any(arm.consistency is not None for arm in result.arms)
    figure, axes = grid(result.window, n_rows=len(units) + 1 + disagree, n_columns=len(panels))
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
    _coverage_row(figure, axes[len(units)], result)
    if disagree:
        _disagreement_row(figure, axes[-1], result)
    headings(axes[0], [panel.label for panel in panels])
    scale_bar(axes[0][0], result.window.shape_yx[1])
    caption(figure, _error_caption(result, disagree=disagree))
    save(figure, path)


def _error_caption(result: ComparisonResult, *, disagree: bool) -> str:
    sentences = ["Hatched: not reconstructed."]
    if result.truth is not None:
        sentences.append("Dashed: the scored rectangle.")
        if result.settings.metric_convention != "standard":
            sentences.append(
                f"Errors are shown after exact placement; the {result.settings.metric_convention} convention "
                "scores its own."
            )
    if disagree:
        sentences.append("Disagreement: standard deviation of the complex value over the patches on a pixel.")
    return " ".join(sentences)


def _coverage_row(figure: Figure, row: Sequence[Axes], result: ComparisonResult) -> None:
    depths = [_patches_per_pixel(arm.image) for arm in result.arms]
    scale = ColourScale(0.0, max((float(depth.max()) for depth in depths if depth.count()), default=1.0))
    for ax, arm, depth in zip(row, result.arms, depths, strict=True):
        show(ax, depth, scale, COVERAGE_MAP, result.window)
        title(ax, f"{arm.image.covered.mean():.1%} of the window")
        if arm.image.coverage is None:
            placeholder(ax, "not stitched\nfrom patches here")
    colour_bar(figure, row, scale, COVERAGE_MAP, "patches per pixel", extend="neither")
    row[0].set_ylabel("Coverage", fontsize=LARGE_PT)


def _patches_per_pixel(image: PlacedImage) -> np.ma.MaskedArray:
    if image.coverage is None:
        return np.ma.MaskedArray(decimated(image.covered), True)
    return np.ma.MaskedArray(decimated(image.coverage), ~decimated(image.covered))


def _disagreement_row(figure: Figure, row: Sequence[Axes], result: ComparisonResult) -> None:
    nothing = np.full(result.window.shape_yx, np.nan, np.float32)
    spreads = [
        np.sqrt(decimated(nothing if arm.consistency is None else arm.consistency.overlap_variance))
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


def _plot_all_debug_images(result: ComparisonResult, stage: Path) -> None:
    prefixes = arm_prefixes(result.arms)
    for arm in result.arms:
        if arm.metrics is not None:
            path = stage / f"{prefixes[arm.label].file}{DEBUG_PLOT_SUFFIX}"
            plot_seen_images(seen_images(arm.metrics, ms_ssim_sigma=result.settings.ms_ssim_sigma), path)


@in_own_style
def plot_seen_images(seen: SeenImages, path: str | os.PathLike[str]) -> None:
    """Draw what MS-SSIM and the FRC saw of an arm and of the truth, each pair on one grey scale."""
    height, width = seen.ms_ssim["amplitude"][0].shape
    side = min(1.0, height / width), min(1.0, width / height)
    figure = new_figure(4 * PANEL_INCHES * side[1] + 1.2, 2 * (PANEL_INCHES * side[0] + 0.5))
    rows = figure.subplots(2, 4)
    for row, (metric, pairs) in zip(rows, {"MS-SSIM": seen.ms_ssim, "FRC": seen.frc}.items(), strict=True):
        columns = [(channel, *pair) for channel, pair in pairs.items()]
        for axes, (channel, image, truth) in zip((row[:2], row[2:]), columns, strict=True):
            ends = truth.min(), truth.max()
            for ax, values, whose in zip(axes, (image, truth), ("arm", "truth"), strict=True):
                shown = ax.imshow(decimated(values), cmap="gray", vmin=ends[0], vmax=ends[1])
                ax.set(xticks=[], yticks=[])
                title(ax, f"{metric}: {channel}, {whose}")
            figure.colorbar(shown, ax=list(axes), extend="both", pad=0.01, aspect=22, fraction=0.05)
    save(figure, path)
