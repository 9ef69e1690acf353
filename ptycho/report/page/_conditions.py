"""Runs of one condition taken together: mean and standard deviation of every figure, against what was varied."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ptycho.report.page._glossary import TERMS, Term
from ptycho.report.page._study import DOSE, FRAMES, REPLICATES, SEED, Scalar, Study, StudyRun
from ptycho.report.page._tables import CHANNELS

# Doses of scans that were taken alike differ by the object's absorption and by counting.
_SAME_DOSE = 1.1
_MOST_LEVELS = 50


@dataclass(frozen=True)
class Point:
    """One condition of one series.

    Attributes
    ----------
    x : float
        The varied factor.
    mean : float
    deviation : float or None
        Standard deviation over the runs; None for one run.
    values : tuple of float
        Of each run.
    """

    x: float
    mean: float
    deviation: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """One arm, in one combination of the factors that are not on the axis."""

    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """One figure against one factor.

    Attributes
    ----------
    factor : str
    term : Term
    channel : str
    series : tuple of Series
    """

    factor: str
    term: Term
    channel: str
    series: tuple[Series, ...]


def levels(study: Study) -> list[dict[str, Scalar | None]]:
    """Return the factors of each run, doses that mean the same made equal."""
    doses = [run.factors.get(DOSE) for run in study.runs]
    alike = _levels_of([dose for dose in doses if isinstance(dose, float | int)])
    return [
        {name: run.factors.get(name) for name in study.varied}
        | ({DOSE: alike[dose]} if isinstance(dose := run.factors.get(DOSE), float | int) else {})
        for run in study.runs
    ]


def axes(study: Study) -> tuple[str, ...]:
    """Return the factors that can be on an axis: dose and frames first, the seed only if nothing else differs."""
    found = levels(study)
    numeric = [
        name
        for name in (DOSE, FRAMES, *study.varied)
        if 1 < len({_number(each.get(name)) for each in found}) <= _MOST_LEVELS
        and all(_number(each.get(name)) is not None for each in found)
    ]
    unique = [name for name in dict.fromkeys(numeric) if name != SEED]
    return tuple(unique) or tuple(name for name in numeric if name == SEED)[:1]


def panels(study: Study, factor: str) -> tuple[Panel, ...]:
    """Return every explained figure against `factor`."""
    found = []
    for term in TERMS.values():
        for channel in CHANNELS:
            series = _series(study, factor, term.name, channel)
            if series:
                found.append(Panel(factor, term, "" if channel == "value" else channel, series))
    return tuple(found)


def _series(study: Study, factor: str, name: str, channel: str) -> tuple[Series, ...]:
    varied = levels(study)
    others = [
        each
        for each in study.varied
        if each != factor and each not in REPLICATES and len({level.get(each) for level in varied}) > 1
    ]
    values: dict[str, dict[float, list[float]]] = {}
    for run, level in zip(study.runs, varied, strict=True):
        x = _number(level.get(factor))
        for label, value in _values(run, name, channel):
            if x is not None:
                series = ", ".join([label, *(f"{other} {_text(level.get(other))}" for other in others)])
                values.setdefault(series, {}).setdefault(x, []).append(value)
    return tuple(
        Series(label, tuple(_point(x, found) for x, found in sorted(by_x.items())))
        for label, by_x in values.items()
    )


def _values(run: StudyRun, name: str, channel: str) -> list[tuple[str, float]]:
    found = [(figure.label, getattr(figure, channel)) for figure in run.run.figures if figure.name == name]
    return [(label, value) for label, value in found if value is not None and math.isfinite(value)]


def _point(x: float, values: Sequence[float]) -> Point:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Point(x, statistics.fmean(values), deviation, tuple(values))


def _levels_of(values: Sequence[float]) -> dict[float, float]:
    """Return the mean of the group that each value belongs to: neighbours within a tenth are one group."""
    groups: list[list[float]] = []
    for value in sorted(set(values)):
        if groups and value <= groups[-1][-1] * _SAME_DOSE:
            groups[-1].append(value)
        else:
            groups.append([value])
    return {value: float(f"{statistics.fmean(group):.3g}") for group in groups for value in group}


def _number(value: Scalar | None) -> float | None:
    return None if isinstance(value, str | bool) or value is None else float(value)


def _text(value: Scalar | None) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) and not isinstance(value, bool) else str(value)
