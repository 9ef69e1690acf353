"""Pictures of a comparison and of a training, as PNG; with `_axes` the only file that imports matplotlib.

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

from ptycho._checks import fields
from ptycho._io.atomic import replacing, staged_files
from ptycho.errors import DataError, SettingsError
from ptycho.evaluation import seen_images
from ptycho.report._axes import (
    COVERAGE_MAP,
    SIGNED_MAP,
    SPREAD_MAP,
    colour_bar,
    headings,
    map_of,
    note,
    outline,
    say_instead,
    scale_bar,
    show,
    title,
)
from ptycho.report._curves import (
    LARGE_PT,
    SMALL_PT,
    TEXT_PT,
    Criterion,
    draw_correlations,
    draw_learning_rate,
    draw_losses,
    lowest_correlation,
)
from ptycho.report._panels import (
    ColourScale,
    Panel,
    comparison_caption,
    error_scale,
    figures_of_merit,
    panels_of,
    percentile_scale,
    plain,
    reconstruction_caption,
    spread_scale,
    thinned,
)
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ptycho.comparison import ComparisonResult
    from ptycho.evaluation import FrcCurves, SeenImages
    from ptycho.image.placed import PlacedImage

PhaseLimits = tuple[float | None, float | None]

_DPI = 150
_PANEL_INCHES, _FIGURE_INCHES = 3.1, 20.0
# Taller windows than this have panels too narrow for a line of figures.
_TALL = 1.3
_BAR_LABELS = {"amplitude": "amplitude", "phase": "phase (rad)"}


@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """How the images of a comparison are coloured.

    Attributes
    ----------
    p_min, p_max : float
        Percentiles of the truth (of all arms, without one) at the ends of the colour scales.
    phase_limits : mapping of label to (float or None, float or None)
        Fixed ends, in radians, of the phase scale of single arms; None leaves an end as it is.
    debug_images : bool
        Also draw what MS-SSIM and the FRC saw, a picture for each arm.

    Raises
    ------
    SettingsError
        A field is of another type or out of its range, or `p_min` is not the smaller percentile.
    """

    p_min: float = 10.0
    p_max: float = 90.0
    phase_limits: Mapping[str, PhaseLimits] = field(default_factory=dict)
    debug_images: bool = False

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            p_min=fields.number(self.p_min, "p_min", at_least=0, at_most=100),
            p_max=fields.number(self.p_max, "p_max", at_least=0, at_most=100),
            debug_images=fields.flag(self.debug_images, "debug_images"),
            phase_limits=_checked_limits(self.phase_limits),
        )
        if not self.p_min < self.p_max:
            raise SettingsError(
                f"p_min is {self.p_min:g} but must be a percentile below p_max, {self.p_max:g}; swap them."
            )


def _checked_limits(limits: Mapping[str, PhaseLimits]) -> dict[str, PhaseLimits]:
    if not isinstance(limits, Mapping):
        raise SettingsError(
            f"phase_limits is {limits!r} but must be a mapping of labels to (low, high) in radians; pass a dict."
        )
    checked = {}
    for label, ends in limits.items():
        name = f"phase_limits[{label!r}]"
        if not isinstance(label, str) or not isinstance(ends, Sequence) or len(ends) != 2:
            raise SettingsError(f"{name} is {ends!r} but must be (low, high) in radians; None leaves an end.")
        low, high = (None if end is None else fields.number(end, name) for end in ends)
        checked[label] = (low, high)
    return checked


def write_plots(
    result: ComparisonResult, folder: str | os.PathLike[str], *, options: PlotOptions | None = None
) -> list[Path]:
    """Draw every picture that the result allows into `folder`; those of an earlier run are removed.

    Returns
    -------
    list of Path
        The images, the maps of errors, coverage and disagreement, the FRC curves against the truth and
        between half sets; what cannot be drawn is left out.
    """
    options = options or PlotOptions()
    with staged_files(folder, replaces=PLOT_PATTERNS) as stage:
        panels = panels_of(result)
        if panels:
            plot_comparison(result, stage / COMPARISON_PLOT, options=options, panels=panels)
        if result.arms:
            plot_errors(result, stage / ERROR_PLOT, panels=panels)
        if _correlated(result):
            plot_frc(result, stage / FRC_PLOT)
        if _half_sets(result):
            plot_half_sets(result, stage / HALF_SET_PLOT)
        if options.debug_images:
            _plot_all_debug_images(result, stage)
        debug = sorted(path.name for path in stage.glob(f"*{DEBUG_PLOT_SUFFIX}"))
        drawn = [*(name for name in PLOT_FILES if (stage / name).exists()), *debug]
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
    panel = panels_of(result)[0]
    figure, (axes,) = _grid(result, n_rows=1, n_columns=3)
    for ax, channel in zip(axes, ("amplitude", "phase"), strict=False):
        image = getattr(panel, channel)
        scale = percentile_scale([image], options.p_min, options.p_max, phase=channel == "phase")
        show(ax, image, scale, map_of(channel, scale), result.window)
        colour_bar(figure, [ax], scale, map_of(channel, scale), _BAR_LABELS[channel])
    _coverage_row(figure, axes[2:], result)
    axes[2].set_ylabel("")
    headings(axes, ["Amplitude", "Phase", "Coverage"])
    if result.arms[0].collapsed:
        note(axes[0], "collapsed")
    scale_bar(axes[0], result.window.shape_yx[1])
    _caption(figure, reconstruction_caption(result, p_min=options.p_min, p_max=options.p_max))
    _save(figure, path)


def plot_errors(
    result: ComparisonResult, path: str | os.PathLike[str], *, panels: Sequence[Panel] | None = None
) -> None:
    """Draw for every arm its errors against the truth (if there is one), coverage, and how patches disagree.

    Raises
    ------
    DataError
        There is no arm to show.
    """
    panels = (panels_of(result) if panels is None else panels)[: len(result.arms)]
    units = {} if result.truth is None else {"amplitude": "arm − truth", "phase": "arm − truth (rad)"}
    disagree = any(arm.consistency is not None for arm in result.arms)
    figure, axes = _grid(result, n_rows=len(units) + 1 + disagree, n_columns=len(panels))
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
    _caption(figure, _error_caption(result, disagree=disagree))
    _save(figure, path)


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
            say_instead(ax, "finished image,\nnot stitched here")
    colour_bar(figure, row, scale, COVERAGE_MAP, "patches per pixel", extend="neither")
    row[0].set_ylabel("Coverage", fontsize=LARGE_PT)


def _patches_per_pixel(image: PlacedImage) -> np.ma.MaskedArray:
    if image.coverage is None:
        return np.ma.MaskedArray(thinned(image.covered), True)
    return np.ma.MaskedArray(thinned(image.coverage), ~thinned(image.covered))


def _disagreement_row(figure: Figure, row: Sequence[Axes], result: ComparisonResult) -> None:
    nothing = np.full(result.window.shape_yx, np.nan, np.float32)
    spreads = [
        np.sqrt(thinned(nothing if arm.consistency is None else arm.consistency.overlap_variance))
        for arm in result.arms
    ]
    images = [np.ma.masked_invalid(spread) for spread in spreads]
    scale = spread_scale(images)
    for ax, arm, image in zip(row, result.arms, images, strict=True):
        show(ax, image, scale, SPREAD_MAP, result.window)
        if arm.consistency is None:
            say_instead(ax, "no patches to compare")
        elif arm.consistency.overlap_disagreement is not None:
            title(ax, f"{arm.consistency.overlap_disagreement:.1%} of the modulus")
    colour_bar(figure, row, scale, SPREAD_MAP, "std over patches", extend="max")
    row[0].set_ylabel("Disagreement", fontsize=LARGE_PT)


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
    _plot_correlations(result, arms, path, criterion="half", name="Fourier ring correlation")


def plot_half_sets(result: ComparisonResult, path: str | os.PathLike[str]) -> None:
    """Draw the correlation of even with odd patches of every arm, which needs no truth.

    Raises
    ------
    DataError
        No arm has such a curve.
    """
    arms = _half_sets(result)
    if not arms:
        raise DataError(
            "no arm has a half-set FRC, which needs self_consistency and 16 pixels a side that both halves cover."
        )
    _plot_correlations(result, arms, path, criterion="half_bit", name="FRC of even and odd patches")


def _plot_correlations(
    result: ComparisonResult,
    arms: Mapping[str, FrcCurves],
    path: str | os.PathLike[str],
    *,
    criterion: Criterion,
    name: str,
) -> None:
    figure = _new_figure(11.0, 4.6)
    for ax, channel in zip(figure.subplots(1, 2, sharey=True), ("amplitude", "phase"), strict=True):
        draw_correlations(ax, arms, channel, frc_sigma=result.settings.frc_sigma, criterion=criterion)
    figure.axes[0].set_ylim(lowest_correlation(arms) - 0.05, 1.05)
    figure.axes[0].set_ylabel(name, fontsize=TEXT_PT)
    _save(figure, path)


def _plot_all_debug_images(result: ComparisonResult, stage: Path) -> None:
    prefixes = arm_prefixes(result.arms)
    for arm in result.arms:
        if arm.metrics is not None:
            path = stage / f"{prefixes[arm.label].file}{DEBUG_PLOT_SUFFIX}"
            plot_seen_images(seen_images(arm.metrics, ms_ssim_sigma=result.settings.ms_ssim_sigma), path)


def plot_seen_images(seen: SeenImages, path: str | os.PathLike[str]) -> None:
    """Draw what MS-SSIM and the FRC saw of an arm and of the truth, each pair on one grey scale."""
    height, width = seen.ms_ssim["amplitude"][0].shape
    side = min(1.0, height / width), min(1.0, width / height)
    figure = _new_figure(4 * _PANEL_INCHES * side[1] + 1.2, 2 * (_PANEL_INCHES * side[0] + 0.5))
    rows = figure.subplots(2, 4)
    for row, (metric, pairs) in zip(rows, {"MS-SSIM": seen.ms_ssim, "FRC": seen.frc}.items(), strict=True):
        columns = [(channel, *pair) for channel, pair in pairs.items()]
        for axes, (channel, image, truth) in zip((row[:2], row[2:]), columns, strict=True):
            ends = truth.min(), truth.max()
            for ax, values, whose in zip(axes, (image, truth), ("arm", "truth"), strict=True):
                shown = ax.imshow(thinned(values), cmap="gray", vmin=ends[0], vmax=ends[1])
                ax.set(xticks=[], yticks=[])
                title(ax, f"{metric}: {channel}, {whose}")
            figure.colorbar(shown, ax=list(axes), extend="both", pad=0.01, aspect=22, fraction=0.05)
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


def _half_sets(result: ComparisonResult) -> dict[str, FrcCurves]:
    return {arm.label: arm.half_set_frc for arm in result.arms if arm.half_set_frc is not None}


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


def _caption(figure: Figure, text: str) -> None:
    per_line = int(figure.get_figwidth() * 72 / (0.52 * SMALL_PT))
    figure.supxlabel(plain(textwrap.fill(text, per_line)), fontsize=SMALL_PT, color="0.25")


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        figure.savefig(file, format="png")
