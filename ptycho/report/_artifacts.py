"""`ComparisonResult` -> CSV, NPZ, JSON in a folder: all of the files of a comparison, or none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho._checks import fields
from ptycho._error_wording import reason_of
from ptycho._io.archive_writing import write_archive
from ptycho._io.atomic import in_order, is_full, replacing, staged_files, whole_file
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
    also: Callable[[Path], object] = lambda folder: None,
    replaces: Sequence[str] = names.ARTIFACT_PATTERNS,
    overwrite: bool = True,
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
    also : callable, optional
        Writes further files, each whole or not at all, into the folder that it is given, to appear with the others.
    replaces : sequence of str
        Glob patterns of the earlier files that go when these come; by default all that this function writes.
    overwrite : bool
        Whether there may be such files. If not, and there are, these are kept in a folder of their own.

    Returns
    -------
    list of Path
        The files, in the order in which they appeared.

    Raises
    ------
    FileExistsError
        There were earlier files, not to be replaced.
    OSError
        The folder cannot be made; then nothing has been changed. Or the disk is full; then what fits is kept,
        images first: in the folder, or in one within it if it holds earlier results. The error says what and where.
    """
    options = options or ArtifactOptions()
    from ptycho.comparison import Failure

    with staged_files(
        folder, replaces=replaces, last=names.REPORT_FILE, overwrite=overwrite, keeps_what_fits=True
    ) as stage:
        further = (stage / "further files", lambda _: also(stage))
        writers = (*_images(result, stage, options), *_tables(result, stage), further)
        missing, error = _write_what_fits(writers)
        if error is not None:
            result = replace(
                result, failures=(*result.failures, Failure(", ".join(missing), reason_of(error)))
            )
        with whole_file(stage / names.REPORT_FILE) as path:
            write_report(path, result, report or RunInfo())
        if error is not None:
            raise OSError(error.errno, f"{error.strerror or error} for {', '.join(missing)}", str(folder))
        written = in_order(stage, last=names.REPORT_FILE)
    return [Path(folder) / name for name in written]


_Writer = Callable[[Path], object]


def _write_what_fits(writers: Iterable[tuple[Path, _Writer]]) -> tuple[list[str], OSError | None]:
    """Write file after file; return the names of those for which the disk has no space, and its first error."""
    missing, first = [], None
    for path, write in writers:
        try:
            with whole_file(path):
                write(path)
        except OSError as error:
            if not is_full(error):
                raise
            missing.append(path.name)
            first = first or error
    return missing, first


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


def _tables(result: ComparisonResult, stage: Path) -> Iterator[tuple[Path, _Writer]]:
    prefixes = names.arm_prefixes(result.arms)
    yield (
        stage / names.METRICS_FILE,
        partial(tables.write_table, columns=tables.METRIC_COLUMNS, rows=tables.metric_rows(result.arms)),
    )
    for arm in result.arms:
        if arm.metrics is not None and arm.metrics.frc is not None:
            rows = tables.frc_rows(arm.label, arm.metrics.frc)
            path = stage / f"{prefixes[arm.label].file}{names.FRC_SUFFIX}"
            yield path, partial(tables.write_table, columns=tables.FRC_COLUMNS, rows=rows)
    if any(arm.half_set_frc is not None for arm in result.arms):
        rows = tables.half_set_rows(result.arms)
        yield (
            stage / names.HALF_SET_FILE,
            partial(tables.write_table, columns=tables.FRC_COLUMNS, rows=rows),
        )


def _images(
    result: ComparisonResult, stage: Path, options: ArtifactOptions
) -> Iterator[tuple[Path, _Writer]]:
    prefixes = names.arm_prefixes(result.arms)
    if options.save_npz:
        yield (
            stage / names.RAW_FILE,
            partial(write_archive, members=images.raw_arrays(result, prefixes)),
        )
    if options.save_npz_aligned:
        yield (
            stage / names.ALIGNED_FILE,
            partial(write_archive, members=images.aligned_arrays(result, prefixes)),
        )
    if options.save_debug_images:
        for arm in result.arms:
            if arm.metrics is not None:
                seen = images.seen_arrays(arm.metrics, result.settings.ms_ssim_sigma)
                path = stage / f"{prefixes[arm.label].file}{names.DEBUG_SUFFIX}"
                yield path, partial(write_archive, members=seen)
