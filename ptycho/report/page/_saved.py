"""What a comparison has left in its folder, read without trust."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ptycho.errors import DataError
from ptycho.report.names import FRC_SUFFIX, HALF_SET_FILE, METRICS_FILE, REPORT_FILE
from ptycho.report.page._record import Record, read_record
from ptycho.report.page._tables import Curves, Figure, read_curves, read_figures
from ptycho.report.run_report import SCHEMA_VERSION

_MOST_SIDE_PX = 200_000


@dataclass(frozen=True, eq=False)
class SavedArm:
    """One arm of a saved run.

    Attributes
    ----------
    label : str
    array_prefix : str
        What its arrays begin with.
    report : Record
        Its part of `run_report.json`.
    frc, half_set_frc : Curves or None
        Against the truth, and between halves of the patches.
    """

    label: str
    array_prefix: str
    report: Record
    frc: Curves | None
    half_set_frc: Curves | None


@dataclass(frozen=True, eq=False)
class SavedRun:
    """A saved comparison.

    Attributes
    ----------
    folder : Path
    report : Record
        `run_report.json`.
    arms : tuple of SavedArm
    figures : tuple of Figure
        The table of metrics.
    window : (int, int, int, int)
        Rows and columns of the object: first row, behind the last, first column, behind the last.
    """

    folder: Path
    report: Record
    arms: tuple[SavedArm, ...]
    figures: tuple[Figure, ...]
    window: tuple[int, int, int, int]

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width of the window in pixels."""
        row_start, row_stop, column_start, column_stop = self.window
        return row_stop - row_start, column_stop - column_start

    @property
    def pixel_nm(self) -> float | None:
        """Side of the object's pixel in nanometres, where the scan told it."""
        metres = self.report.number("scan", "object_pixel_m")
        return None if metres is None or metres <= 0 else metres * 1e9


def read_run(folder: Path) -> SavedRun:
    """Read report and tables of the run in `folder`; its images are read when they are embedded.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    DataError
        It holds no finished comparison, or a damaged file.
    """
    path = folder / REPORT_FILE
    if folder.is_dir() and not path.exists():
        raise DataError(
            f"{folder} holds no {REPORT_FILE}; name the output folder of a comparison that came to its end."
        )
    report = read_record(path)
    version = report.whole("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {version} but {SCHEMA_VERSION} can be read; use the version of ptycho that "
            "wrote it."
        )
    half_sets = read_curves(folder / HALF_SET_FILE)
    arms = tuple(_arm(folder, arm, half_sets) for arm in report.records("arms"))
    return SavedRun(folder, report, arms, read_figures(folder / METRICS_FILE), _window(path, report))


def _arm(folder: Path, report: Record, half_sets: dict[str, Curves]) -> SavedArm:
    label, prefix = report.text("label"), report.text("file_prefix")
    curves = {}
    # A prefix from a file must not lead out of the folder.
    if re.fullmatch("[0-9a-z_]+", prefix):
        curves = read_curves(folder / f"{prefix}{FRC_SUFFIX}")
    return SavedArm(label, report.text("array_prefix"), report, curves.get(label), half_sets.get(label))


def _window(path: Path, report: Record) -> tuple[int, int, int, int]:
    names = ("row_start", "row_stop", "column_start", "column_stop")
    found = [report.whole("window", name) for name in names]
    row_start, row_stop, column_start, column_stop = (0 if each is None else each for each in found)
    sides = row_stop - row_start, column_stop - column_start
    if not all(0 < side <= _MOST_SIDE_PX for side in sides):
        raise DataError(
            f"{path} has a window of {sides[0]} x {sides[1]} px but sides from 1 to {_MOST_SIDE_PX:,} px are needed; "
            "copy it again from the run that wrote it."
        )
    return row_start, row_stop, column_start, column_stop
