"""Several saved runs side by side: what was varied, and every figure of every arm as one tidy table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ptycho.errors import DataError
from ptycho.report.page._record import shown
from ptycho.report.page._saved import SavedArm, SavedRun, read_run
from ptycho.report.page._tables import CHANNELS
from ptycho.report.tables import csv_line, text_cell

Scalar = str | float | bool
DOSE, FRAMES, SEED = "intensity_per_frame", "n_frames", "seed"
# What may differ between runs of one condition: the seed, and what changes memory and speed alone.
REPLICATES = (
    SEED,
    "predict_batch_size",
    "max_predict_batch_size",
    "stitch_batch_size",
    "batch_memo",
    "device",
)
_HEAD = ("run", "scan", "model", "model_fingerprint", FRAMES, DOSE, SEED)
_TAIL = ("metric", "channel", "value")


@dataclass(frozen=True, eq=False)
class StudyRun:
    """One run of a study.

    Attributes
    ----------
    name : str
        The shortest end of its path that no other run has.
    run : SavedRun
    scan : str
        Fingerprint of the scan, 12 hexadecimal digits; "" where the run kept none.
    factors : dict of str to scalar
        Settings, number of frames and dose.
    """

    name: str
    run: SavedRun
    scan: str
    factors: dict[str, Scalar]


@dataclass(frozen=True, eq=False)
class Study:
    """Several runs.

    Attributes
    ----------
    runs : tuple of StudyRun
    varied : tuple of str
        The factors that differ between runs.
    labels : tuple of str
        Of the arms, in the order in which they first come.
    """

    runs: tuple[StudyRun, ...]
    varied: tuple[str, ...]
    labels: tuple[str, ...]


def read_study(folders: Sequence[str | os.PathLike[str]]) -> Study:
    """Read the runs in `folders`.

    Raises
    ------
    FileNotFoundError
        A folder does not exist.
    DataError
        A folder is named twice, or holds no finished comparison or a damaged file.
    """
    paths = [Path(folder).resolve() for folder in folders]
    twice = sorted({str(path) for path in paths if paths.count(path) > 1})
    if twice:
        raise DataError(f"{', '.join(twice)} is named more than once; name each run once.")
    runs = [read_run(path) for path in paths]
    named = tuple(
        StudyRun(name, run, _scan_fingerprint(run), _factors(run))
        for name, run in zip(_names(paths), runs, strict=True)
    )
    names = dict.fromkeys(name for each in named for name in each.factors)
    varied = tuple(name for name in names if len({each.factors.get(name) for each in named}) > 1)
    labels = dict.fromkeys(arm.label for run in runs for arm in run.arms)
    return Study(named, varied, tuple(labels))


def _names(paths: Sequence[Path]) -> list[str]:
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return [shown(name) for name in names]


def _factors(run: SavedRun) -> dict[str, Scalar]:
    counts = {name: run.report.number("scan", name) for name in (FRAMES, DOSE)}
    return run.report.scalars("settings") | {
        name: count for name, count in counts.items() if count is not None
    }


def _scan_fingerprint(run: SavedRun) -> str:
    return _digest(run, "test_data")


def model_fingerprint(run: SavedRun, arm: SavedArm) -> str:
    """Return 12 hexadecimal digits that stand for all files of an arm; "" where the run kept none."""
    prefix = arm.report.text("file_prefix")
    return _digest(run, f"{prefix}_dir") or _digest(run, f"arm {arm.label}")


def _digest(run: SavedRun, role: str) -> str:
    digests = [file.text("sha256") for file in run.report.records("inputs") if file.text("role") == role]
    if not any(digests):
        return ""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]


def study_table(study: Study) -> str:
    """Return `study.csv`: a line a figure, with a column for run, scan, model and every setting that differs."""
    others = [name for name in study.varied if name not in _HEAD]
    lines = [csv_line([*_HEAD, *others, *_TAIL])]
    for run in study.runs:
        settings = [_cell(run.factors.get(name)) for name in others]
        lines += [csv_line([*head, *settings, *tail]) for head, tail in _lines(run)]
    return "".join(lines)


def _lines(study_run: StudyRun) -> Iterator[tuple[list[str], list[str]]]:
    factors = study_run.factors
    known = [_cell(factors.get(name)) for name in (FRAMES, DOSE, SEED)]
    fingerprints = {arm.label: model_fingerprint(study_run.run, arm) for arm in study_run.run.arms}
    for figure in study_run.run.figures:
        texts = study_run.name, study_run.scan, figure.label, fingerprints.get(figure.label, "")
        head = [*map(text_cell, texts), *known]
        for channel in CHANNELS:
            value = getattr(figure, channel)
            if value is not None:
                yield head, [figure.name, "" if channel == "value" else channel, repr(value)]


def _cell(value: Scalar | None) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    return text_cell(value) if isinstance(value, str) else f"{value:.12g}"
