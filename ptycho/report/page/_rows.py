"""The table of metrics as a reader wants it: a line a figure and channel, a column an arm, the better value marked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ptycho.report.page._glossary import AGAINST_TRUTH, TERMS, WITHOUT_TRUTH, Term
from ptycho.report.page._saved import SavedRun
from ptycho.report.page._tables import CHANNELS, Figure

# Values that would be printed alike are told apart by nobody.
_SAME = 1e-6


@dataclass(frozen=True)
class Cell:
    """One figure of one arm; "" where there is none."""

    text: str
    is_best: bool = False
    value: float | None = None


@dataclass(frozen=True)
class Line:
    """One figure of all arms.

    Attributes
    ----------
    term : Term
    channel : str
        ``amplitude``, ``phase`` or "".
    unit : str
    cells : tuple of Cell
        One an arm.
    """

    term: Term
    channel: str
    unit: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """Lines that belong together, under a heading."""

    title: str
    lines: tuple[Line, ...]


def metric_sections(run: SavedRun) -> tuple[Section, ...]:
    """Return the lines of every figure that any arm has, those without an explanation last."""
    others = dict.fromkeys(figure.name for figure in run.figures if figure.name not in TERMS)
    unexplained = tuple(Term(name, name, "", "", "", "") for name in others)
    found = (
        Section("Against the truth", tuple(_lines(run, AGAINST_TRUTH))),
        Section("Without a truth", tuple(_lines(run, WITHOUT_TRUTH))),
        Section("Other figures", tuple(_lines(run, unexplained))),
    )
    return tuple(section for section in found if section.lines)


def wins(
    sections: Sequence[Section],
    labels: Sequence[str],
    channel: str | None = None,
    among: Sequence[str] | None = None,
) -> tuple[int, dict[str, int]]:
    """Return how many lines against the truth rank the arms, and how many of them each label leads.

    Parameters
    ----------
    sections : sequence of Section
    labels : sequence of str
        The arms in the order of the cells.
    channel : {"amplitude", "phase"}, optional
        Whose lines count; those of both by default.
    among : sequence of str, optional
        The arms that are ranked; all by default.
    """
    leads = dict.fromkeys(labels, 0)
    for section in sections:
        for line in section.lines if section.title == "Against the truth" else ():
            if channel in (None, line.channel):
                values = {label: cell.value for label, cell in zip(labels, line.cells, strict=True)}
                wanted = {label: value for label, value in values.items() if among is None or label in among}
                best = _best(list(wanted.values()), line.term)
                first = [label for label, value in wanted.items() if value is not None and value == best]
                if len(first) == 1:
                    leads[first[0]] += 1
    return sum(leads.values()), leads


def _lines(run: SavedRun, terms: Iterable[Term]) -> Iterable[Line]:
    labels = [arm.label for arm in run.arms]
    by_key: dict[tuple[str, str], Figure] = {(figure.name, figure.label): figure for figure in run.figures}
    for term in terms:
        for channel in CHANNELS:
            figures = [by_key.get((term.name, label)) for label in labels]
            values = [None if figure is None else getattr(figure, channel) for figure in figures]
            if any(value is not None for value in values):
                named = "" if channel == "value" else channel
                yield Line(term, named, _unit(term, named), _cells(values, term))


def _cells(values: Sequence[float | None], term: Term) -> tuple[Cell, ...]:
    best = _best(values, term)
    return tuple(Cell(figure_text(value), value is not None and value == best, value) for value in values)


def _best(values: Sequence[float | None], term: Term) -> float | None:
    """Return the best of what is known; None where nothing tells the values apart."""
    known = [value for value in values if value is not None]
    if not term.better or len(known) < 2 or _alike(max(known), min(known)):
        return None
    return max(known) if term.better == "higher" else min(known)


def _alike(first: float, second: float) -> bool:
    return first == second or math.isclose(first, second, rel_tol=_SAME)


def _unit(term: Term, channel: str) -> str:
    if channel == "phase" and term.name in ("mae", "mse"):
        return "rad" if term.name == "mae" else "rad²"
    return term.unit


def figure_text(value: float | None) -> str:
    """Return a number in four digits; "" for None."""
    if value is None:
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
