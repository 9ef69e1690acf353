"""`study.html` and `study.csv`: several runs as one page and one tidy table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptycho._io.atomic import replacing
from ptycho.report.names import STUDY_PAGE, STUDY_TABLE
from ptycho.report.page._conditions import Panel, axes, levels, panels
from ptycho.report.page._findings import findings
from ptycho.report.page._glossary import AGAINST_TRUTH
from ptycho.report.page._render import rendered
from ptycho.report.page._rows import figure_text
from ptycho.report.page._study import DOSE, FRAMES, Study, model_fingerprint, read_study, study_table
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
    paths = Path(output) / STUDY_PAGE, Path(output) / STUDY_TABLE
    Path(output).mkdir(parents=True, exist_ok=True)
    for path, content in zip(paths, contents, strict=True):
        with replacing(path) as file:
            file.write(content)
    return paths


def study_page(study: Study) -> str:
    """Return the page of a study."""
    by_axis = {factor: panels(study, factor) for factor in axes(study)}
    return rendered(
        "study.html",
        scripts=_SCRIPTS,
        styles=_STYLES,
        study=study,
        axis_names={factor: _NAMES.get(factor, factor) for factor in by_axis},
        by_axis=by_axis,
        leads=leads(study),
        findings=[(run.name, findings(run.run)) for run in study.runs],
        rows=_rows(study),
        varied=[name for name in study.varied if len({str(each.get(name)) for each in levels(study)}) > 1],
        pictures=thumbnails(study),
        figure_text=figure_text,
        table_name=STUDY_TABLE,
        data={"charts": _charts(by_axis)},
    )


def leads(study: Study) -> tuple[tuple[str, int, dict[str, int]], ...]:
    """Return, for each figure against the truth, how many runs tell the arms apart, and how often each leads."""
    found = []
    for term in AGAINST_TRUTH:
        for channel in CHANNELS[:2]:
            counts, n_runs = dict.fromkeys(study.labels, 0), 0
            for run in study.runs:
                values = {
                    figure.label: getattr(figure, channel)
                    for figure in run.run.figures
                    if figure.name == term.name
                }
                known = {label: value for label, value in values.items() if value is not None}
                if len(known) > 1 and len(set(known.values())) > 1:
                    best = (max if term.better == "higher" else min)(known, key=lambda label: known[label])
                    counts[best], n_runs = counts[best] + 1, n_runs + 1
            if n_runs:
                found.append((f"{term.title}, {channel}", n_runs, counts))
    return tuple(found)


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
