"""`ComparisonResult` -> CSV, NPZ, JSON in a folder: all of the files of a comparison, or none."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho._checks import fields
from ptycho._io.atomic import in_order, replacing, staged_files
from ptycho.report import images, names, tables
from ptycho.report.run_report import RunInfo, run_report

if TYPE_CHECKING:
    from ptycho.comparison import ComparisonResult


@dataclass(frozen=True, kw_only=True)
class ArtifactOptions:
    """Which of the large files to write; the tables and the report always are.

    Attributes
    ----------
    save_npz : bool
        Write ``reconstructions.npz``.
    save_npz_aligned : bool
        Write ``reconstructions_aligned.npz``.
    save_debug_images : bool
        Write, for each scored arm, the exact images that MS-SSIM and the FRC saw.

    Raises
    ------
    SettingsError
        A field is not True or False.
    """

    save_npz: bool = True
    save_npz_aligned: bool = True
    save_debug_images: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("save_npz", "save_npz_aligned", "save_debug_images"):
            fields.checked(self, **{name: fields.flag(getattr(self, name), name)})


def write_artifacts(
    result: ComparisonResult,
    folder: str | os.PathLike[str],
    *,
    options: ArtifactOptions | None = None,
    report: RunInfo | None = None,
) -> list[Path]:
    """Write tables, images and the report of a comparison into `folder`.

    All files are finished before the first appears, the report appears last, and those of an earlier run
    that this one does not replace are removed: a reader never sees half a file, nor one beside a table
    that it does not belong to.

    Parameters
    ----------
    result : ComparisonResult
    folder : path
        Made if there is none.
    options : ArtifactOptions, optional
    report : RunInfo, optional
        What the report says beyond the result.

    Returns
    -------
    list of Path
        The files, in the order in which they appeared.

    Raises
    ------
    OSError
        The folder cannot be made or the disk is full; then nothing has been changed.
    """
    options = options or ArtifactOptions()
    with staged_files(folder, replaces=names.ARTIFACT_PATTERNS, last=names.REPORT_FILE) as stage:
        _write_tables(result, stage)
        _write_images(result, stage, options)
        write_report(stage / names.REPORT_FILE, result, report or RunInfo())
        written = in_order(stage, last=names.REPORT_FILE)
    return [Path(folder) / name for name in written]


def write_report(path: Path, result: ComparisonResult, info: RunInfo) -> None:
    """Write `run_report.json` of a comparison as strict JSON.

    Parameters
    ----------
    path : Path
        The file.
    result : ComparisonResult
    info : RunInfo
        What the report says beyond the result.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    contents = run_report(result, info, prefixes=names.arm_prefixes(result.arms))
    text = json.dumps(contents, indent=2, allow_nan=False, ensure_ascii=False)
    with replacing(path) as file:
        file.write((text + "\n").encode())


def _write_tables(result: ComparisonResult, stage: Path) -> None:
    prefixes = names.arm_prefixes(result.arms)
    tables.write_table(stage / names.METRICS_FILE, tables.METRIC_COLUMNS, tables.metric_rows(result.arms))
    for arm in result.arms:
        if arm.metrics is not None and arm.metrics.frc is not None:
            path = stage / f"{prefixes[arm.label].file}{names.FRC_SUFFIX}"
            tables.write_table(path, tables.FRC_COLUMNS, tables.frc_rows(arm.label, arm.metrics.frc))
    if any(arm.half_set_frc is not None for arm in result.arms):
        path = stage / names.HALF_SET_FILE
        tables.write_table(path, tables.FRC_COLUMNS, tables.half_set_rows(result.arms))


def _write_images(result: ComparisonResult, stage: Path, options: ArtifactOptions) -> None:
    prefixes = names.arm_prefixes(result.arms)
    if options.save_debug_images:
        for arm in result.arms:
            if arm.metrics is not None:
                path = stage / f"{prefixes[arm.label].file}{names.DEBUG_SUFFIX}"
                images.write_arrays(path, images.seen_arrays(arm.metrics, result.settings.ms_ssim_sigma))
    if options.save_npz:
        images.write_arrays(stage / names.RAW_FILE, images.raw_arrays(result, prefixes))
    if options.save_npz_aligned:
        images.write_arrays(stage / names.ALIGNED_FILE, images.aligned_arrays(result, prefixes))
