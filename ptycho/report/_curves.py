"""Lines on axes that somebody else has made: losses and Fourier ring correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ptycho.evaluation.frc import ONE_SEVENTH, smoothed
from ptycho.report._panels import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ptycho.evaluation.results import FrcCurve, FrcCurves

LARGE_PT, TEXT_PT, SMALL_PT = 13, 10.5, 9
# Okabe and Ito's colours, which the colour-blind can tell apart too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# More entries than these hide the curves.
_ROOM_IN_AXES = 3
Criterion = Literal["half", "half_bit"]
_CRITERION_NAMES: dict[Criterion, str] = {"half": "FRC50", "half_bit": "Half-bit cut-off"}
_TOTALS = {"loss": "training", "val_loss": "validation"}


def draw_losses(ax: Axes, losses: Mapping[str, np.ndarray], floor: Sequence[float] | None = None) -> None:
    """Draw one value per epoch and name: ``loss`` and ``val_loss`` in bold, their parts thin, `floor` dotted."""
    parts = sorted(losses.keys() - _TOTALS.keys())
    names = [name for name in _TOTALS if name in losses] + parts
    for number, name in enumerate(names):
        is_total = name in _TOTALS
        ax.plot(
            np.arange(1, len(losses[name]) + 1),
            losses[name],
            color=_COLOURS[number % len(_COLOURS)],
            linewidth=2.2 if is_total else 1.2,
            linestyle="-" if is_total else ":",
            marker="o" if len(losses[name]) < 2 else None,
            zorder=3 if is_total else 2,
            label=plain(_TOTALS.get(name, name.replace("_", " "))),
        )
    if floor is not None:
        ax.plot(
            np.arange(1, len(floor) + 1),
            floor,
            ":",
            color="0.35",
            linewidth=1.6,
            label="what counting noise leaves",
        )
    _mark_best(ax, losses.get("val_loss", np.array([])))
    finite = np.concatenate([values[np.isfinite(values)] for values in losses.values()])
    if finite.size and finite.min() > 0 and finite.max() > 10 * finite.min():
        ax.set_yscale("log")
    ax.set_ylabel("loss", fontsize=TEXT_PT)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=TEXT_PT)


def _mark_best(ax: Axes, validation: np.ndarray) -> None:
    if np.isfinite(validation).any():
        best = int(np.nanargmin(validation))
        ax.plot(
            best + 1, validation[best], "o", color=_COLOURS[1], markersize=8, zorder=4, label="best epoch"
        )


def draw_chi2(ax: Axes, chi2: Sequence[float]) -> None:
    """Draw χ² of held-out frames after every epoch, on a logarithmic scale down to 1 or just below."""
    ax.plot(np.arange(1, len(chi2) + 1), chi2, color=_COLOURS[1], marker="o" if len(chi2) < 2 else None)
    ax.axhline(1, linestyle=":", color="0.35")
    ax.set(yscale="log")
    ax.set_ylabel("χ², held out", fontsize=TEXT_PT)
    ax.grid(alpha=0.3)


def draw_learning_rate(ax: Axes, rates: Sequence[float]) -> None:
    """Draw the learning rate of every epoch as steps, on a logarithmic scale unless it comes to 0."""
    ax.step(np.arange(1, len(rates) + 1), rates, where="mid", color="0.4")
    ax.set(yscale="log" if min(rates) > 0 else "linear")
    ax.minorticks_off()
    ends = sorted({rates[0], rates[-1]})
    ax.set_yticks(ends, [f"{rate:.2g}" for rate in ends])
    ax.set_ylabel("learning\nrate", fontsize=TEXT_PT)


def draw_correlations(
    ax: Axes,
    arms: Mapping[str, FrcCurves],
    channel: str,
    *,
    frc_sigma: float,
    criterion: Criterion = "half",
    pixel_m: float | None = None,
) -> None:
    """Draw the correlation of one channel of every arm with its thresholds and where it crosses one of them.

    Parameters
    ----------
    ax : Axes
    arms : mapping of label to FrcCurves
        At least one; all on the same rings.
    channel : "amplitude" or "phase"
    frc_sigma : float
        Smoothing under which the cut-offs were read, in rings; above 0 the curve as measured is thin.
    criterion : "half" or "half_bit"
        Which crossing is marked and told in the legend.
    pixel_m : float, optional
        Side of a pixel of the object in metres; with it the half periods stand in nm.
    """
    curves = next(iter(arms.values()))
    _thresholds(ax, curves)
    for number, (label, own) in enumerate(arms.items()):
        _correlation(ax, label, own, getattr(own, channel), number, frc_sigma, criterion)
    _frequency_axes(ax, curves, pixel_m)
    ax.set_title(channel.capitalize(), fontsize=LARGE_PT, fontweight="bold")
    beside = len(arms) <= _ROOM_IN_AXES
    ax.legend(
        fontsize=TEXT_PT if beside else SMALL_PT,
        framealpha=0.9,
        title=f"{_CRITERION_NAMES[criterion]} ({curves.unit})",
        title_fontsize=TEXT_PT,
        loc="best" if beside else "upper center",
        bbox_to_anchor=None if beside else (0.5, -0.15),
        ncols=1 if beside else 2,
    )


def lowest_correlation(arms: Mapping[str, FrcCurves]) -> float:
    """Return the smallest number in any curve of `arms`, at most 0."""
    curves = [curve.correlation for own in arms.values() for curve in (own.amplitude, own.phase)]
    values = np.concatenate(curves)
    return float(np.nanmin(values, initial=0.0))


def _correlation(
    ax: Axes,
    label: str,
    curves: FrcCurves,
    curve: FrcCurve,
    number: int,
    frc_sigma: float,
    criterion: Criterion,
) -> None:
    cutoff = None if curve.cutoffs is None else getattr(curve.cutoffs, criterion)
    if cutoff is None:
        return
    colour, frequency = _COLOURS[number % len(_COLOURS)], curves.frequency
    if frc_sigma > 0:
        ax.plot(frequency, curve.correlation, color=colour, linewidth=0.8, alpha=0.4)
    digits = ".3f" if curves.unit == "cycles/pixel" else ".3g"
    crossing = f"{'≥ ' if cutoff.beyond_last_ring else ''}{cutoff.frequency:{digits}}"
    values = smoothed(curve.correlation, frc_sigma)
    ax.plot(frequency, values, color=colour, linewidth=2.2, label=plain(f"{shortened(label)}: {crossing}"))
    if not cutoff.beyond_last_ring:
        threshold = 0.5
        if criterion == "half_bit" and curves.half_bit is not None:
            threshold = float(np.interp(cutoff.frequency, frequency, curves.half_bit))
        ax.plot(cutoff.frequency, threshold, "o", color=colour, markersize=7)


def _thresholds(ax: Axes, curves: FrcCurves) -> None:
    constants = {"1/7": (":", ONE_SEVENTH)} if curves.half_sets else {"0.5": ("--", 0.5)}
    if curves.unit == "ring":
        constants = {"0.5": ("--", 0.5), "1/7": (":", ONE_SEVENTH)}
    for style, value in constants.values():
        ax.axhline(value, color="0.45", linestyle=style, linewidth=1.2)
    names = {name: (0.0, value) for name, (_, value) in constants.items()}
    # Where the lines have come down among the others, away from the names at the left.
    middle = len(curves.frequency) // 4
    for name, line, style in (("half-bit", curves.half_bit, "-"), ("one-bit", curves.one_bit, "-.")):
        if line is not None:
            ax.plot(curves.frequency, line, color="0.45", linestyle=style, linewidth=1.2)
            names[name] = (float(curves.frequency[middle]), float(line[middle]))
    for name, place in names.items():
        ax.annotate(
            name,
            place,
            (4, 4),
            textcoords="offset points",
            va="bottom",
            fontsize=SMALL_PT,
            color="0.25",
            zorder=5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.9},
        )


def _frequency_axes(ax: Axes, curves: FrcCurves, pixel_m: float | None) -> None:
    ax.grid(alpha=0.25)
    if curves.unit == "ring":
        ax.set_xlim(0, curves.frequency[-1])
        ax.set_xlabel("ring", fontsize=TEXT_PT)
        return
    ax.set_xlim(0, 0.5)
    ax.set_xlabel("spatial frequency (cycles/pixel)", fontsize=TEXT_PT)
    unit, pixel = ("pixels", 1.0) if pixel_m is None else ("nm", pixel_m * 1e9)
    half_periods = _half_periods(pixel)
    top = ax.twiny()
    top.set_xlim(0, 0.5)
    top.set_xticks(
        [0.5 * pixel / period for period in half_periods], [f"{period:g}" for period in half_periods]
    )
    top.set_xlabel(f"half period ({unit})", fontsize=TEXT_PT)


def _half_periods(pixel: float) -> list[float]:
    """Return round numbers from that of the Nyquist frequency, one pixel, to eight, each 1.5 times the last or more."""
    decade = 10.0 ** np.floor(np.log10(pixel))
    found = [pixel] if pixel == 1.0 else []
    for candidate in (step * decade * power for power in (1, 10) for step in (1, 2, 4, 5, 8)):
        if pixel <= candidate <= 8 * pixel and (not found or candidate >= 1.5 * found[-1]):
            found.append(float(f"{candidate:.6g}"))
    return found
