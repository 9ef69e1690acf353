"""`ComparisonResult` -> rows of the CSV tables (docs/formats.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptycho.evaluation import METRIC_NAMES, FrcCurves, ImageMetrics

if TYPE_CHECKING:
    from ptycho.comparison import ArmResult
    from ptycho.evaluation import Verdict

METRIC_COLUMNS = ("model", "metric", "amplitude", "phase", "value")
FRC_COLUMNS = ("model", "frequency_bin", "amplitude_frc", "phase_frc")
_FRC_CUTOFFS = {
    "frc50": "half",
    "frc1over7": "one_seventh",
    "frc_half_bit": "half_bit",
    "frc_one_bit": "one_bit",
}

# What spreadsheets take for a formula, whatever quotes it: see `text_cell`.
_FORMULA = re.compile(r"[\s']*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")
_TO_QUOTE = re.compile('[",\r\n]')

_Cells = tuple[str, float | None, float | None, float | None]


def metric_rows(arms: Iterable[ArmResult]) -> Iterator[list[str]]:
    """Give the rows of `METRIC_COLUMNS`: every figure of every arm that is known."""
    for arm in arms:
        for name, *numbers in _arm_rows(arm):
            cells = [_cell(number) for number in numbers]
            if any(cells):
                yield [text_cell(arm.label), name, *cells]


def _arm_rows(arm: ArmResult) -> Iterator[_Cells]:
    if arm.metrics is not None:
        yield from _score_rows(arm.metrics)
    yield from _self_rows(arm)
    if arm.familiarity is not None:
        yield "probe_overlap", None, None, arm.familiarity.probe_overlap
        yield "training_dose_ratio", None, None, arm.familiarity.dose_ratio
        yield "training_light_distance", None, None, arm.familiarity.light_distance
    yield "collapsed", None, None, 1 if arm.collapsed else None
    yield "registration_failed", None, None, 1 if arm.registration_failed else None
    if arm.registration is not None:
        yield "registration_correlation", None, None, arm.registration.correlation
        yield "registration_needed_correlation", None, None, arm.registration.needed_correlation
    if arm.registration is not None and arm.registration.plausible:
        for axis, offset in zip("yx", arm.registration.applied_offset_yx, strict=True):
            yield f"registration_offset_d{axis}", None, None, offset
    yield "computation_time_s", None, None, arm.seconds.get("reconstruct")


def _self_rows(arm: ArmResult) -> Iterator[_Cells]:
    """Give what needs no truth: depth of coverage and how well the patches agree."""
    yield "covered_fraction", None, None, float(arm.image.covered.mean())
    if arm.image.coverage is not None and arm.image.covered.any():
        depth = arm.image.coverage[arm.image.covered]
        yield "patches_per_pixel_median", None, None, float(np.median(depth))
    if arm.consistency is not None:
        frc = arm.consistency.half_set_frc
        for name, cutoff in _FRC_CUTOFFS.items():
            spread = arm.consistency.cutoff_spread(cutoff)
            yield f"half_set_{name}", *_cutoffs(frc, cutoff), None
            yield f"half_set_{name}_spread", spread.amplitude, spread.phase, None
            yield f"half_set_{name}_half_period_px", *_half_periods_px(frc, cutoff), None
        yield "overlap_disagreement", None, None, arm.consistency.overlap_disagreement
    if arm.verdict is not None:
        yield from _verdict_rows(arm.verdict)


def _verdict_rows(verdict: Verdict) -> Iterator[_Cells]:
    """Give how well image, patches and a constant object explain the measured frames."""
    for name in ("image", "patches", "constant"):
        misfit = getattr(verdict, name)
        if misfit is not None:
            yield f"chi2_{name}", None, None, misfit.chi2
            yield f"r_factor_{name}", None, None, misfit.r_factor
            yield f"r_factor_{name}_noise", None, None, misfit.noise_r_factor
            yield f"unexplained_{name}", None, None, misfit.unexplained
            yield f"misfit_median_{name}", None, None, misfit.spread.median
    yield "judged_fraction", None, None, verdict.judged_fraction
    # The name carries the word: among the values it would turn a whole column of numbers into text.
    yield f"verdict_{verdict.cause}", None, None, 1
    yield "n_bad_frames", None, None, verdict.n_bad_frames or None


def _score_rows(metrics: ImageMetrics) -> Iterator[_Cells]:
    for name in METRIC_NAMES:
        pair = getattr(metrics, name)
        yield name, pair.amplitude, pair.phase, None
    for name in ("half_bit", "one_bit"):
        yield f"frc_{name}", *_cutoffs(metrics.frc, name), None
    for name, cutoff in _FRC_CUTOFFS.items():
        yield f"{name}_half_period_px", *_half_periods_px(metrics.frc, cutoff), None
    yield "ms_ssim_scales", None, None, metrics.ms_ssim_scales
    yield "scored_share", None, None, metrics.scored_share
    # The name carries the convention: a word among the values would turn a whole column of numbers into text.
    yield f"metric_convention_{metrics.convention}", None, None, 1


def _cutoffs(frc: FrcCurves | None, name: str) -> tuple[float | None, float | None]:
    if frc is None:
        return None, None
    amplitude, phase = (None if cutoff is None else cutoff.frequency for cutoff in frc.cutoffs(name))
    return amplitude, phase


def _half_periods_px(frc: FrcCurves | None, name: str) -> tuple[float | None, float | None]:
    if frc is None or frc.unit != "cycles/pixel":
        return None, None
    amplitude, phase = (None if cutoff is None else cutoff.half_period_px for cutoff in frc.cutoffs(name))
    return amplitude, phase


def half_set_rows(arms: Iterable[ArmResult]) -> Iterator[list[str]]:
    """Give the rows of `FRC_COLUMNS` between the halves of every arm that has them."""
    for arm in arms:
        if arm.half_set_frc is not None:
            yield from frc_rows(arm.label, arm.half_set_frc)


def frc_rows(label: str, frc: FrcCurves) -> Iterator[list[str]]:
    """Give the rows of `FRC_COLUMNS` for the curves of one arm."""
    columns = zip(frc.frequency, frc.amplitude.correlation, frc.phase.correlation, strict=True)
    for numbers in columns:
        yield [text_cell(label), *(_cell(number) for number in numbers)]


def _cell(number: float | None) -> str:
    return "" if number is None or np.isnan(number) else f"{number:.6f}"


def text_cell(text: str) -> str:
    """Return a text of a user's as a cell that a spreadsheet shows and never computes.

    One that begins as a formula does gets an apostrophe before it. `text_of` takes it away again.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def text_of(cell: str) -> str:
    """Return the text that `text_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def csv_line(cells: Sequence[str]) -> str:
    """Return a line of a CSV file; Python's own writer leaves a carriage return unquoted, which ends a line too."""
    quoted = (f'"{cell.replace(chr(34), 2 * chr(34))}"' if _TO_QUOTE.search(cell) else cell for cell in cells)
    return ",".join(quoted) + "\n"


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(csv_line(columns))
        file.writelines(map(csv_line, rows))
