"""`ComparisonResult` -> arrays of an NPZ (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

import numpy as np

from ptycho.evaluation import ImageMetrics, Verdict, seen_images

if TYPE_CHECKING:
    from ptycho.comparison import ArmResult, ComparisonResult
    from ptycho.image.cropping import Rectangle
    from ptycho.refinement import RefinementRun
    from ptycho.report.names import ArmPrefixes

ARRAY_SCHEMA_VERSION = 1

Arrays = Iterator[tuple[str, np.ndarray]]


def raw_arrays(result: ComparisonResult, prefixes: Mapping[str, ArmPrefixes]) -> Arrays:
    """Give every image as reconstructed, its coverage and its halves; by PtychoPINN's convention its canvas alone."""
    yield from _frame_arrays(result)
    for arm in result.arms:
        prefix = prefixes[arm.label].array
        if arm.mean_centred is not None:
            yield from _image_arrays(prefix, arm.mean_centred)
            continue
        yield from _image_arrays(prefix, arm.image.values)
        yield f"{prefix}_covered", arm.image.covered
        coverage = arm.image.covered if arm.image.coverage is None else arm.image.coverage
        yield f"{prefix}_coverage", coverage.astype(np.float32, copy=False)
        if arm.refinement is not None:
            yield f"{prefix}_change", _change_in_window(arm.refinement, result.window)
        if arm.consistency is not None:
            for number, half in enumerate(arm.consistency.halves, start=1):
                yield f"{prefix}_half_{number}_complex", half
            yield f"{prefix}_overlap_variance", arm.consistency.overlap_variance
        if arm.verdict is not None:
            yield from _misfit_arrays(prefix, arm.verdict)


def _misfit_arrays(prefix: str, verdict: Verdict) -> Arrays:
    """Give where on the detector and on the object the frames are badly explained."""
    for name in ("image", "patches"):
        misfit = getattr(verdict, name)
        if misfit is not None:
            yield f"{prefix}_misfit_{name}_detector", misfit.detector_map
            yield f"{prefix}_misfit_{name}_object", misfit.object_map
            yield f"{prefix}_misfit_{name}_origin_yx", np.array(misfit.object_map_origin_yx)


def _change_in_window(run: RefinementRun, window: Rectangle) -> np.ndarray:
    return replace(run.image, values=run.change, coverage=None).in_window(window).values


def aligned_arrays(result: ComparisonResult, prefixes: Mapping[str, ArmPrefixes]) -> Arrays:
    """Give every image after registration, and the pixels that are scored."""
    yield from _frame_arrays(result)
    yield "scored", result.scored
    for arm in result.arms:
        yield from _image_arrays(prefixes[arm.label].array, arm.aligned.values)
        yield f"{prefixes[arm.label].array}_covered", arm.aligned.covered
        for axis, offset in zip("yx", _applied_offset_yx(arm), strict=True):
            yield f"{prefixes[arm.label].file}_offset_d{axis}", np.array(offset, np.float64)


def seen_arrays(metrics: ImageMetrics, ms_ssim_sigma: float) -> Arrays:
    """Give the exact images that MS-SSIM and the FRC saw."""
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


def _frame_arrays(result: ComparisonResult) -> Arrays:
    yield "schema_version", np.array(ARRAY_SCHEMA_VERSION)
    yield "window", np.array(astuple(result.window), np.int64)
    if result.truth is not None:
        yield from _image_arrays("ground_truth", result.truth)


def _image_arrays(prefix: str, image: np.ndarray) -> Arrays:
    image = image.astype(np.complex64, copy=False)
    yield f"{prefix}_amplitude", np.abs(image)
    yield f"{prefix}_phase", np.angle(image)
    yield f"{prefix}_complex", image
