"""`study.html` and `study.csv`: several runs as one page and one tidy table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptycho._io.atomic import staged_files
from ptycho.report.names import STUDY_PAGE, STUDY_TABLE
from ptycho.report.page._conditions import Panel, axes, levels, panels
from ptycho.report.page._findings import findings
from ptycho.report.page._glossary import AGAINST_TRUTH, Term
from ptycho.report.page._render import rendered
from ptycho.report.page._rows import figure_text
from ptycho.report.page._study import (
    DOSE,
    FRAMES,
    Study,
    StudyRun,
    model_fingerprint,
    read_study,
    study_table,
)
from ptycho.report.page._tables import CHANNELS
from ptycho.report.page._thumbnails import thumbnails

_SCRIPTS = ("vendor/uPlot.iife.min.js", "assets/charts.js", "assets/study.js")
_STYLES = ("vendor/uPlot.min.css", "assets/page.css")
_NAMES = {DOSE: "dose, photons in a frame", FRAMES: "frames"}


def write_study(
    folders: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]
) -> tuple[Path, Path]:
    """Write `study.html` and `study.csv` of several finished comparisons into a folder.

    Parameters
    ----------
    folders : sequence of path
        As for `write_page`.
    output : path
        Made if there is none.

    Returns
    -------
    (Path, Path)
        The page and the table.

    Raises
    ------
    FileNotFoundError
        A folder does not exist.
    DataError
        A folder is named twice, or holds no finished comparison or a damaged file.
    OSError
        A file cannot be written.
    """
    study = read_study(folders)
    contents = study_page(study).encode(), study_table(study).encode()
    names = STUDY_PAGE, STUDY_TABLE
    with staged_files(output) as stage:
        for name, content in zip(names, contents, strict=True):
            (stage / name).write_bytes(content)
    return Path(output) / STUDY_PAGE, Path(output) / STUDY_TABLE


def study_page(study: Study) -> str:
    """Return the page of a study."""
    conditions, found = leads(study)
    by_axis = {factor: panels(study, factor) for factor in axes(study)}
    return rendered(
        "study.html",
        scripts=_SCRIPTS,
        styles=_STYLES,
        study=study,
        axis_names={factor: _NAMES.get(factor, factor) for factor in by_axis},
        by_axis=by_axis,
        conditions=conditions,
        leads=found,
        brief=in_brief(conditions, found),
        troubled=troubled(study),
        names=_NAMES,
        findings=[(run.name, findings(run.run)) for run in study.runs],
        rows=_rows(study),
        varied=[name for name in study.varied if len({str(each.get(name)) for each in levels(study)}) > 1],
        pictures=thumbnails(study),
        figure_text=figure_text,
        table_name=STUDY_TABLE,
        data={"charts": _charts(by_axis)},
    )


@dataclass(frozen=True)
class Lead:
    """Who has the better value of one figure in the runs of one condition.

    Attributes
    ----------
    n_runs : int
        Runs in which the arms differ.
    counts : tuple of (str, int)
        Arms with the number of runs that each leads, the most first, without those that lead none.
    """

    n_runs: int
    counts: tuple[tuple[str, int], ...]

    @property
    def is_unanimous(self) -> bool:
        """Whether one arm leads in every run."""
        return len(self.counts) == 1

    @property
    def text(self) -> str:
        """The same in words."""
        if self.is_unanimous:
            return f"{self.counts[0][0]} {self.counts[0][1]} of {self.n_runs}"
        return ", ".join(f"{label} {count}" for label, count in self.counts) or "–"


def leads(study: Study) -> tuple[tuple[str, ...], dict[str, tuple[Lead, ...]]]:
    """Return conditions, and for each figure against the truth who leads in each of them.

    The conditions are the levels of the first factor that can be on an axis, or all runs together.
    """
    keys = _keys(study)
    conditions = _conditions(study)
    found = {}
    for term in AGAINST_TRUTH:
        for channel in CHANNELS[:2]:
            best = [_best(run, term, channel) for run in study.runs]
            if any(best):
                found[f"{term.title}, {channel}"] = tuple(
                    _lead(
                        [label for label, key in zip(best, keys, strict=True) if label and key == condition]
                    )
                    for condition in conditions
                )
    return conditions, found


def _keys(study: Study) -> list[str]:
    """Return the name of the condition of each run."""
    first = next(iter(axes(study)), None)
    return ["all runs" if first is None else figure_text(_number(each.get(first))) for each in levels(study)]


def _conditions(study: Study) -> tuple[str, ...]:
    """Return the conditions, those of small values first."""
    first = next(iter(axes(study)), None)
    numbers = [0.0 if first is None else _number(each.get(first)) or 0.0 for each in levels(study)]
    ranked = sorted(zip(numbers, _keys(study), strict=True))
    return tuple(dict.fromkeys(key for _, key in ranked))


def in_brief(conditions: Sequence[str], found: Mapping[str, Sequence[Lead]]) -> tuple[str, ...]:
    """Return for each condition how many figures each arm leads in every run, a sentence each."""
    said = []
    for number, condition in enumerate(conditions):
        leaders = Counter(row[number].counts[0][0] for row in found.values() if row[number].is_unanimous)
        told = ", ".join(f"{label} in {count}" for label, count in leaders.most_common()) or "no arm in any"
        said.append(f"{condition}: {told} of {len(found)} figures.")
    return tuple(said)


def troubled(study: Study) -> tuple[str, ...]:
    """Return for each condition in how many of its runs something failed; nothing where nothing did anywhere."""
    keys = _keys(study)
    failed = Counter(
        key
        for run, key in zip(study.runs, keys, strict=True)
        if any(finding.kind == "failure" for finding in findings(run.run))
    )
    return tuple(f"{failed[each]} of {keys.count(each)}" for each in _conditions(study)) if failed else ()


def _best(run: StudyRun, term: Term, channel: str) -> str | None:
    values = {
        figure.label: getattr(figure, channel) for figure in run.run.figures if figure.name == term.name
    }
    known = {label: value for label, value in values.items() if value is not None}
    if len(set(known.values())) < 2:
        return None
    return (max if term.better == "higher" else min)(known, key=lambda label: known[label])


def _lead(labels: Sequence[str]) -> Lead:
    return Lead(len(labels), tuple(Counter(labels).most_common()))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, float | int) else None


def _rows(study: Study) -> list[dict[str, Any]]:
    """Return what tells the runs apart, a line a run."""
    return [
        {
            "name": run.name,
            "scan": run.scan,
            "models": [f"{arm.label} {model_fingerprint(run.run, arm)}".strip() for arm in run.run.arms],
            "factors": run.factors,
        }
        for run in study.runs
    ]


def _charts(by_axis: dict[str, tuple[Panel, ...]]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"panel-{axis}-{number}",
            "kind": "study",
            "xName": _NAMES.get(factor, factor),
            "series": [
                {
                    "label": series.label,
                    "points": [
                        [point.x, point.mean, point.deviation, point.values] for point in series.points
                    ],
                }
                for series in panel.series
            ],
        }
        for axis, (factor, found) in enumerate(by_axis.items())
        for number, panel in enumerate(found)
    ]
