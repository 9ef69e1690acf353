"""`ComparisonResult` -> CSV, NPZ, JSON: the files of a comparison, all or none (docs/formats.md)."""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptycho.evaluation import METRIC_NAMES, FrcCurves, ImageMetrics, seen_images
from ptycho.run_report import RunInfo, run_report

if TYPE_CHECKING:
    from ptycho.comparison import ArmResult, ComparisonResult

METRICS_FILE = "comparison_metrics.csv"
FRC_SUFFIX = "_frc_curves.csv"
# One table for all arms; no arm's slug may make it another's.
HALF_SET_FILE = f"half_set{FRC_SUFFIX}"
DEBUG_SUFFIX = "_debug_images.npz"
RAW_FILE = "reconstructions.npz"
ALIGNED_FILE = "reconstructions_aligned.npz"
REPORT_FILE = "run_report.json"
ARTIFACT_PATTERNS = (METRICS_FILE, f"*{FRC_SUFFIX}", f"*{DEBUG_SUFFIX}", RAW_FILE, ALIGNED_FILE, REPORT_FILE)

ARRAY_SCHEMA_VERSION = 1
_METRIC_COLUMNS = ("model", "metric", "amplitude", "phase", "value")
_FRC_COLUMNS = ("model", "frequency_bin", "amplitude_frc", "phase_frc")
_FRC_CUTOFFS = {
    "frc50": "half",
    "frc1over7": "one_seventh",
    "frc_half_bit": "half_bit",
    "frc_one_bit": "one_bit",
}
_LONGEST_SLUG = 60


@dataclass(frozen=True, kw_only=True)
class ArtifactOptions:
    """Which of the large files to write; the tables and the report always are."""

    save_npz: bool = True
    save_npz_aligned: bool = True
    save_debug_images: bool = False


@dataclass(frozen=True)
class ArmPrefixes:
    """What the files of an arm, and its arrays within an NPZ, begin with."""

    file: str
    array: str


_FIXED_PREFIXES = {
    "PtychoPINN": ArmPrefixes("pinn", "ptychopinn"),
    "Baseline": ArmPrefixes("baseline", "baseline"),
}
_RESERVED = {"pinn", "ptychopinn", "baseline", "ground_truth", "half_set"}


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
    prefixes = arm_prefixes([arm.label for arm in result.arms])
    with staging(folder, replaces=ARTIFACT_PATTERNS) as stage:
        _write_table(stage / METRICS_FILE, _METRIC_COLUMNS, _metric_rows(result.arms))
        for arm in result.arms:
            if arm.metrics is not None and arm.metrics.frc is not None:
                path = stage / f"{prefixes[arm.label].file}{FRC_SUFFIX}"
                _write_table(path, _FRC_COLUMNS, _frc_rows(arm.label, arm.metrics.frc))
        if any(arm.half_set_frc is not None for arm in result.arms):
            _write_table(stage / HALF_SET_FILE, _FRC_COLUMNS, _half_set_rows(result.arms))
        if options.save_debug_images:
            for arm in result.arms:
                if arm.metrics is not None:
                    path = stage / f"{prefixes[arm.label].file}{DEBUG_SUFFIX}"
                    _write_arrays(path, _seen_arrays(arm.metrics, result.settings.ms_ssim_sigma))
        if options.save_npz:
            _write_arrays(stage / RAW_FILE, _raw_arrays(result, prefixes))
        if options.save_npz_aligned:
            _write_arrays(stage / ALIGNED_FILE, _aligned_arrays(result, prefixes))
        write_report(stage / REPORT_FILE, result, report or RunInfo())
        names = _in_order(stage)
    return [Path(folder) / name for name in names]


def write_report(path: Path, result: ComparisonResult, info: RunInfo) -> None:
    """Write `run_report.json` of a comparison as strict JSON."""
    contents = run_report(result, info, prefixes=arm_prefixes([arm.label for arm in result.arms]))
    text = json.dumps(contents, indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


@contextmanager
def staging(folder: str | os.PathLike[str], *, replaces: Sequence[str] = ()) -> Iterator[Path]:
    """Give a hidden folder whose files move into `folder` once the block has ended well.

    Parameters
    ----------
    folder : path
        Where the files go; made if there is none.
    replaces : sequence of str
        Glob patterns of earlier files that go when the new ones come, replaced by one or not.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    # Inside the target, so that a move never crosses from one file system to another.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target) as name:
        stage = Path(name)
        yield stage
        fresh = _in_order(stage)
        for stale in {path for pattern in replaces for path in target.glob(pattern)}:
            if stale.name not in fresh:
                stale.unlink()
        for file_name in fresh:
            (stage / file_name).replace(target / file_name)


def _in_order(stage: Path) -> list[str]:
    """Names of the files in a stage; the report is last, so that its presence means that all is there."""
    return sorted((path.name for path in stage.iterdir()), key=lambda name: (name == REPORT_FILE, name))


def arm_prefixes(labels: Sequence[str]) -> dict[str, ArmPrefixes]:
    """Return the prefixes of each label: fixed for the two classic arms, else a slug no other arm has."""
    taken, prefixes = set(_RESERVED), {}
    for label in labels:
        if label in _FIXED_PREFIXES:
            prefixes[label] = _FIXED_PREFIXES[label]
            continue
        stem = re.sub(r"[^0-9a-z]+", "_", label.lower()).strip("_")[:_LONGEST_SLUG] or "arm"
        slug, number = stem, 2
        while slug in taken:
            slug, number = f"{stem}_{number}", number + 1
        taken.add(slug)
        prefixes[label] = ArmPrefixes(slug, slug)
    return prefixes


_Cells = tuple[str, float | None, float | None, float | None]


def _metric_rows(arms: Iterable[ArmResult]) -> Iterator[list[str]]:
    for arm in arms:
        for name, *numbers in _arm_rows(arm):
            cells = [_cell(number) for number in numbers]
            if any(cells):
                yield [arm.label, name, *cells]


def _arm_rows(arm: ArmResult) -> Iterator[_Cells]:
    if arm.metrics is not None:
        yield from _score_rows(arm.metrics)
    yield from _self_rows(arm)
    yield "collapsed", None, None, 1 if arm.collapsed else None
    yield "registration_failed", None, None, 1 if arm.registration_failed else None
    if arm.registration is not None and arm.registration.plausible:
        for axis, offset in zip("yx", arm.registration.applied_offset_yx, strict=True):
            yield f"registration_offset_d{axis}", None, None, offset
    yield "computation_time_s", None, None, arm.seconds.get("reconstruct")


def _self_rows(arm: ArmResult) -> Iterator[_Cells]:
    """Give what needs no truth: depth of coverage and how well the patches agree."""
    yield "covered_fraction", None, None, float(arm.covered.mean())
    if arm.run is not None and arm.covered.any():
        yield "patches_per_pixel_median", None, None, float(np.median(arm.coverage[arm.covered]))
    if arm.consistency is not None:
        frc = arm.consistency.half_set_frc
        for name, cutoff in _FRC_CUTOFFS.items():
            yield f"half_set_{name}", *_cutoffs(frc, cutoff), None
            yield f"half_set_{name}_half_period_px", *_half_periods_px(frc, cutoff), None
        yield "overlap_disagreement", None, None, arm.consistency.overlap_disagreement


def _score_rows(metrics: ImageMetrics) -> Iterator[_Cells]:
    for name in METRIC_NAMES:
        pair = getattr(metrics, name)
        yield name, pair.amplitude, pair.phase, None
    for name in ("half_bit", "one_bit"):
        yield f"frc_{name}", *_cutoffs(metrics.frc, name), None
    for name, cutoff in _FRC_CUTOFFS.items():
        yield f"{name}_half_period_px", *_half_periods_px(metrics.frc, cutoff), None
    yield "ms_ssim_scales", None, None, metrics.ms_ssim_scales
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


def _half_set_rows(arms: Iterable[ArmResult]) -> Iterator[list[str]]:
    for arm in arms:
        if arm.half_set_frc is not None:
            yield from _frc_rows(arm.label, arm.half_set_frc)


def _frc_rows(label: str, frc: FrcCurves) -> Iterator[list[str]]:
    columns = zip(frc.frequency, frc.amplitude.correlation, frc.phase.correlation, strict=True)
    for numbers in columns:
        yield [label, *(_cell(number) for number in numbers)]


def _cell(number: float | None) -> str:
    return "" if number is None or np.isnan(number) else f"{number:.6f}"


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


_Arrays = Iterator[tuple[str, np.ndarray]]


def _raw_arrays(result: ComparisonResult, prefixes: dict[str, ArmPrefixes]) -> _Arrays:
    yield from _frame_arrays(result)
    for arm in result.arms:
        prefix = prefixes[arm.label].array
        yield from _image_arrays(prefix, arm.image)
        yield f"{prefix}_covered", arm.covered
        yield f"{prefix}_coverage", arm.coverage.astype(np.float32, copy=False)
        if arm.consistency is not None:
            yield f"{prefix}_even_complex", arm.consistency.even
            yield f"{prefix}_odd_complex", arm.consistency.odd
            yield f"{prefix}_overlap_variance", arm.consistency.overlap_variance


def _aligned_arrays(result: ComparisonResult, prefixes: dict[str, ArmPrefixes]) -> _Arrays:
    yield from _frame_arrays(result)
    yield "scored", result.scored
    for arm in result.arms:
        yield from _image_arrays(prefixes[arm.label].array, arm.aligned)
        yield f"{prefixes[arm.label].array}_covered", arm.aligned_covered
        for axis, offset in zip("yx", _applied_offset_yx(arm), strict=True):
            yield f"{prefixes[arm.label].file}_offset_d{axis}", np.array(offset, np.float64)


def _seen_arrays(metrics: ImageMetrics, ms_ssim_sigma: float) -> _Arrays:
    seen = seen_images(metrics, ms_ssim_sigma=ms_ssim_sigma)
    yield "schema_version", np.array(ARRAY_SCHEMA_VERSION)
    yield "window", np.array(astuple(metrics.window), np.int64)
    for metric, pairs in (("ms_ssim", seen.ms_ssim), ("frc", seen.frc)):
        for channel, (image, truth) in pairs.items():
            yield f"{metric}_{channel}", image
            yield f"{metric}_true_{channel}", truth


def _applied_offset_yx(arm: ArmResult) -> tuple[float, float]:
    if arm.registration is None or not arm.registration.plausible:
        return np.nan, np.nan
    return arm.registration.applied_offset_yx


def _frame_arrays(result: ComparisonResult) -> _Arrays:
    yield "schema_version", np.array(ARRAY_SCHEMA_VERSION)
    yield "window", np.array(astuple(result.window), np.int64)
    if result.truth is not None:
        yield from _image_arrays("ground_truth", result.truth)


def _image_arrays(prefix: str, image: np.ndarray) -> _Arrays:
    image = image.astype(np.complex64, copy=False)
    yield f"{prefix}_amplitude", np.abs(image)
    yield f"{prefix}_phase", np.angle(image)
    yield f"{prefix}_complex", image


def _write_arrays(path: Path, arrays: _Arrays) -> None:
    """Write an NPZ member by member: one array is in memory at a time, and none can be a pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key, array in arrays:
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
