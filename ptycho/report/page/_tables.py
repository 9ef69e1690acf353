"""The CSV tables of a comparison, read without trust."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ptycho.errors import DataError
from ptycho.report.page._record import shown
from ptycho.report.tables import FRC_COLUMNS, METRIC_COLUMNS, text_of

CHANNELS = ("amplitude", "phase", "value")
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Figure:
    """One row of the table of metrics; a channel without a figure is None.

    Attributes
    ----------
    label : str
        Of the arm.
    name : str
        Of the metric.
    amplitude, phase, value : float or None
        The last is of what has no channels.
    """

    label: str
    name: str
    amplitude: float | None
    phase: float | None
    value: float | None


@dataclass(frozen=True)
class Curves:
    """Fourier ring correlation of one arm, ring by ring; None where neither image has power."""

    frequency: tuple[float | None, ...]
    amplitude: tuple[float | None, ...]
    phase: tuple[float | None, ...]


def read_figures(path: Path) -> tuple[Figure, ...]:
    """Read `comparison_metrics.csv`; nothing if there is none.

    Raises
    ------
    DataError
        The file is another table, or damaged.
    """
    if not path.exists():
        return ()
    return tuple(
        Figure(row[0], row[1], *(_number(cell) for cell in row[2:])) for row in _rows(path, METRIC_COLUMNS)
    )


def read_curves(path: Path) -> dict[str, Curves]:
    """Read a table of FRC curves, by the label of the arm; nothing if there is none.

    Raises
    ------
    DataError
        The file is another table, or damaged.
    """
    if not path.exists():
        return {}
    by_label: dict[str, list[tuple[float | None, ...]]] = {}
    for row in _rows(path, FRC_COLUMNS):
        by_label.setdefault(row[0], []).append(tuple(_finite(cell) for cell in row[1:]))
    return {label: Curves(*zip(*rows, strict=True)) for label, rows in by_label.items()}


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(
            f"{path} has more than {_MOST_BYTES:,} bytes; no table of a run has, so name another folder."
        )
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if tuple(header) != columns:
                raise DataError(
                    f"{path} has the columns {shown(','.join(header))[:200]} but must have {','.join(columns)}; "
                    "copy it again from the run that wrote it."
                )
            for row in rows:
                if len(row) != len(columns):
                    raise DataError(
                        f"{path} has {len(row)} cells in line {rows.line_num} but must have {len(columns)}; copy it "
                        "again from the run that wrote it."
                    )
                yield [shown(text_of(row[0])), *map(shown, row[1:])]
    except csv.Error as error:
        raise DataError(
            f"{path} is no CSV table ({error}); copy it again from the run that wrote it."
        ) from error


def _number(cell: str) -> float | None:
    try:
        found = float(cell)
    except ValueError:
        return None
    return None if math.isnan(found) else found


def _finite(cell: str) -> float | None:
    found = _number(cell)
    return None if found is None or math.isinf(found) else found
