"""All pictures of a comparison, as files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho._io.atomic import staged_files
from ptycho.comparison.shown import decimated, panels_of
from ptycho.evaluation import seen_images
from ptycho.report._axes import (
    PANEL_INCHES,
    new_sheet,
    title,
    whole_figure,
)
from ptycho.report.curve_figures import correlated, half_sets, plot_frc, plot_half_sets
from ptycho.report.figure_files import in_own_style, save_figure
from ptycho.report.image_figures import draw_comparison, draw_errors
from ptycho.report.names import (
    COMPARISON_PLOT,
    DEBUG_PLOT_STEM,
    ERROR_PLOT,
    FRC_PLOT,
    HALF_SET_PLOT,
    PLOT_PATTERNS,
    arm_prefixes,
)
from ptycho.report.options import PlotOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ptycho.comparison import ComparisonResult
    from ptycho.evaluation import SeenImages


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
        drawn = [
            path.name
            for stem, figure in _figures_of(result, options)
            for path in save_figure(figure, stage / stem, options=options)
        ]
    return [Path(folder) / name for name in drawn]


def _figures_of(result: ComparisonResult, options: PlotOptions) -> Iterator[tuple[str, Figure]]:
    """Give the stem of each file and its figure, one after the other, for they are large."""
    panels = panels_of(result, options.most_px)
    if panels:
        yield COMPARISON_PLOT, draw_comparison(result, options, panels)
    if result.arms:
        yield ERROR_PLOT, draw_errors(result, options, panels)
    if correlated(result):
        yield FRC_PLOT, plot_frc(result, options=options)
    if half_sets(result):
        yield HALF_SET_PLOT, plot_half_sets(result, options=options)
    if options.debug_images:
        yield from _debug_figures(result, options)


def _debug_figures(result: ComparisonResult, options: PlotOptions) -> Iterator[tuple[str, Figure]]:
    stems = {label: f"{prefix.file}{DEBUG_PLOT_STEM}" for label, prefix in arm_prefixes(result.arms).items()}
    for arm in sorted(result.arms, key=lambda arm: stems[arm.label]):
        if arm.metrics is not None:
            seen = seen_images(arm.metrics, ms_ssim_sigma=result.settings.ms_ssim_sigma)
            yield stems[arm.label], plot_seen_images(seen, options)


def plot_seen_images(seen: SeenImages, options: PlotOptions) -> Figure:
    """Draw what MS-SSIM and the FRC saw of an arm and of the truth, each pair on one grey scale."""
    height, width = seen.ms_ssim["amplitude"][0].shape
    side = min(1.0, height / width), min(1.0, width / height)
    figure = new_sheet(4 * PANEL_INCHES * side[1] + 1.2, 2 * (PANEL_INCHES * side[0] + 0.5), dpi=options.dpi)
    rows = figure.subplots(2, 4)
    for row, (metric, pairs) in zip(rows, {"MS-SSIM": seen.ms_ssim, "FRC": seen.frc}.items(), strict=True):
        columns = [(channel, *pair) for channel, pair in pairs.items()]
        for axes, (channel, image, truth) in zip((row[:2], row[2:]), columns, strict=True):
            ends = truth.min(), truth.max()
            for ax, values, whose in zip(axes, (image, truth), ("arm", "truth"), strict=True):
                shown = ax.imshow(decimated(values, options.most_px), cmap="gray", vmin=ends[0], vmax=ends[1])
                ax.set(xticks=[], yticks=[])
                title(ax, f"{metric}: {channel}, {whose}")
            figure.colorbar(shown, ax=list(axes), extend="both", pad=0.01, aspect=22, fraction=0.05)
    return whole_figure(figure)
