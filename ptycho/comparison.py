"""`compare()`: run every arm on one scan, put the images into one frame, and score them alike.

An arm is a trained model or a finished reconstruction; all go through the same loop. No files, no plots.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np

from autobatch import NoProgress, Progress
from ptycho._arm_failures import arm_errors, failure_of
from ptycho._canvas_set import CanvasSet
from ptycho._comparison_types import ArmFailure as ArmFailure
from ptycho._comparison_types import ArmResult as ArmResult
from ptycho._comparison_types import ComparisonResult as ComparisonResult
from ptycho._comparison_types import ComparisonSettings as ComparisonSettings
from ptycho._comparison_types import Registered as Registered
from ptycho.arms import Arm as Arm
from ptycho.arms import BatchSize
from ptycho.arms import load_arm as load_arm
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.evaluation import (
    METRIC_CONVENTIONS,
    ImageMetrics,
    SelfConsistency,
    compare_by_ptychopinn,
    compare_images,
    measure_consistency,
)
from ptycho.image.cropping import Rectangle, window_of_positions
from ptycho.image.registration import aligned, register
from ptycho.image.shifting import PlacedImage, place_image
from ptycho.inference import (
    InferencePlan,
    InferenceRun,
    ObjectImage,
    check_fits,
    object_window,
    plan_inference,
    reconstruct,
)
from ptycho.models.patch_model import PatchModel

logger = logging.getLogger(__name__)

STOPPED = "stopped by Ctrl-C"
NOT_SCORED = "not scored: stopped by Ctrl-C"
# Share of one patch below which a pixel at the rim of the canvas does not count as reconstructed.
COVERED_ABOVE = 1e-3


def compare(
    arms: Sequence[Arm],
    scan: ScanData,
    *,
    settings: ComparisonSettings | None = None,
    frame_positions_yx: np.ndarray | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Run, place, register and score `arms` on `scan`.

    The common frame is the pixels under the crops at `frame_positions_yx`, (k, 2) in pixels of the object; by
    default those of this scan. With those of a larger scan the images of its subsets line up.

    Every image is put on the object's pixel grid from the known positions. An arm that fails, for want of memory
    too, is named in `failures` and the others go on. Ctrl-C ends the run with what there is: arms that were not
    reconstructed are `failures` for the reason `STOPPED`, those that were not scored for `NOT_SCORED`. Before
    there is an arm or a failure it passes as KeyboardInterrupt.

    Raises
    ------
    DataError, ValueError
        If the arms do not fit the scan; before any work is done.
    """
    settings = settings or ComparisonSettings()
    progress = progress or NoProgress()
    check_arms(arms, scan, settings)
    positions_yx = scan.positions_yx if frame_positions_yx is None else frame_positions_yx
    window = _score_window(positions_yx, scan, settings.crop_size)
    truth = None if scan.object_guess is None else window.of(scan.object_guess)

    placed, failures = [], []
    for arm in arms:
        try:
            placed.append(_place(arm, scan, window, truth, settings, progress))
        except arm_errors() as error:
            failures.append(failure_of(arm.label, error))
        except KeyboardInterrupt:
            if not placed and not failures:
                raise
            failures += [ArmFailure(left.label, STOPPED) for left in arms[len(placed) + len(failures) :]]
            break
    scored = np.logical_and.reduce(
        [result.aligned_covered for result in placed if result.place_known]
        or [np.zeros(window.shape_yx, bool)]
    )
    if scan.object_guess is not None and placed:
        scorer = _Scorer(scan.object_guess, window, scored, positions_yx, settings)
        placed, missed = _score(placed, scorer, progress)
        failures += missed
    return ComparisonResult(
        arms=tuple(placed),
        failures=tuple(failures),
        window=window,
        truth=truth,
        scored=scored,
        n_frames=scan.n_frames,
        settings=settings,
    )


def check_arms(arms: Sequence[Arm], scan: ScanData, settings: ComparisonSettings) -> None:
    """Raise if the arms cannot be compared on `scan`; runs nothing."""
    if not arms:
        raise DataError("there is nothing to compare; give at least one arm.")
    labels = [arm.label for arm in arms]
    if len(set(labels)) < len(labels):
        raise DataError(f"the arms are labelled {labels} but each needs a label of its own; rename one.")
    if not 0 < settings.crop_size <= scan.patch_size:
        raise DataError(
            f"stitch_crop_size is {settings.crop_size} but must satisfy 0 < M <= N = {scan.patch_size}; "
            "pass another --stitch-crop-size."
        )
    if settings.metric_convention not in METRIC_CONVENTIONS:
        raise DataError(
            f"metric_convention is {settings.metric_convention!r} but must be one of "
            f"{', '.join(METRIC_CONVENTIONS)}; pass another --metric-convention."
        )
    if settings.n_groups is not None and not 1 <= settings.n_groups <= scan.n_frames:
        raise DataError(
            f"{settings.n_groups} groups are wanted but one is formed around each of {scan.n_frames} frames; "
            f"pass --n-test-groups 1 to {scan.n_frames}."
        )
    if not all(isinstance(arm.source, ObjectImage) for arm in arms):
        # Refuses a canvas that would not fit; groups lie between their frames and need none larger.
        CanvasSet(scan.positions_yx, settings.crop_size, **_canvases(scan, settings))
    for arm in arms:
        if not isinstance(arm.source, ObjectImage):
            check_fits(arm.source, scan)
        elif arm.source.origin_yx is None and scan.object_guess is None:
            raise DataError(
                f"{arm.label} does not say where its image lies and the scan has no objectGuess to register it to; "
                "leave it out, or give a reconstruction with positions_yx."
            )


def plan_arm(arm: Arm, scan: ScanData, settings: ComparisonSettings) -> InferencePlan:
    """Return what `compare` would do for a model's arm; predicts nothing."""
    if isinstance(arm.source, ObjectImage):
        raise ValueError(f"arm {arm.label!r} is a finished reconstruction; there is nothing to plan.")
    return plan_inference(arm.source, scan, **_inference_options(arm, scan, settings))


class _Canvases(TypedDict):
    self_consistency: bool
    mean_centred: bool


def _canvases(scan: ScanData, settings: ComparisonSettings) -> _Canvases:
    """Return which canvases beside the plain one a model's arm needs."""
    return {
        "self_consistency": settings.self_consistency,
        "mean_centred": settings.metric_convention == "ptychopinn" and scan.object_guess is not None,
    }


class _InferenceOptions(_Canvases):
    crop_size: int
    predict_batch_size: BatchSize
    max_predict_batch_size: int | None
    n_groups: int | None
    max_groups: int | None
    device: str | None
    batch_memo: str | None
    seed: int


def _inference_options(arm: Arm, scan: ScanData, settings: ComparisonSettings) -> _InferenceOptions:
    """Return what `plan_arm` and the run that it foretells have in common."""
    return {
        "crop_size": settings.crop_size,
        "predict_batch_size": arm.predict_batch_size,
        "max_predict_batch_size": arm.max_predict_batch_size,
        "n_groups": settings.n_groups,
        "max_groups": arm.max_groups,
        "device": settings.device,
        "batch_memo": settings.batch_memo,
        "seed": settings.seed,
        **_canvases(scan, settings),
    }


def _score_window(positions_yx: np.ndarray, scan: ScanData, crop_size: int) -> Rectangle:
    """Return the pixels under the central crops at all positions, within the truth if there is one."""
    if scan.object_guess is None:
        return object_window(positions_yx, crop_size)
    shape = scan.object_guess.shape
    return window_of_positions(positions_yx, crop_size=crop_size, shape_yx=(shape[0], shape[1]))


def _place(
    arm: Arm,
    scan: ScanData,
    window: Rectangle,
    truth: np.ndarray | None,
    settings: ComparisonSettings,
    progress: Progress,
) -> ArmResult:
    """Run one arm, put its image into the window and register it if that is asked for."""
    if isinstance(arm.source, ObjectImage):
        run, image = None, arm.source
    else:
        run = _run(arm, arm.source, scan, settings, progress)
        image = run.image
    placed, coverage = _in_window(image, window)
    registration, began = None, time.perf_counter()
    if truth is not None and _wants_registration(arm, image, settings):
        # Without a known origin the image may lie anywhere.
        bound = settings.max_shift_px if image.origin_yx is not None else float(max(truth.shape))
        registration = register(placed.image, truth, mask=placed.covered, max_shift_px=bound)
        if not registration.plausible:
            logger.warning("%s was not registered: %s", arm.label, registration.failure)
    moved = placed if registration is None else aligned(placed.image, registration, mask=placed.covered)
    seconds, began = {"register": time.perf_counter() - began}, time.perf_counter()
    consistency = None
    if run is not None and not isinstance(arm.source, ObjectImage):
        consistency = _consistency(run, placed, window, settings, gridsize=arm.source.gridsize)
        seconds |= {"consistency": time.perf_counter() - began}
    if run is not None:
        seconds |= {"predict": run.predict_s, "stitch": run.stitch_s, "reconstruct": run.prediction.seconds}
    elif arm.seconds is not None:
        seconds |= {"reconstruct": arm.seconds}
    return ArmResult(
        label=arm.label,
        image=placed.image,
        covered=placed.covered,
        coverage=coverage,
        aligned=moved.image,
        aligned_covered=moved.covered,
        registration=registration,
        consistency=consistency,
        mean_centred=_mean_centred(image, run, settings),
        run=run,
        collapsed=None if run is None else run.collapsed,
        assumptions=arm.assumptions,
        place_known=image.origin_yx is not None or registration is None or registration.plausible,
        seconds=seconds,
    )


def _run(
    arm: Arm, model: PatchModel, scan: ScanData, settings: ComparisonSettings, progress: Progress
) -> InferenceRun:
    run = reconstruct(
        model,
        scan,
        **_inference_options(arm, scan, settings),
        stitch_batch_size=settings.stitch_batch_size,
        observer=arm.observer,
        progress=progress,
        label=arm.label,
    )
    if run.collapsed is not None:
        logger.warning("%s has collapsed: %s; its figures mean nothing", arm.label, run.collapsed)
    return run


def _wants_registration(arm: Arm, image: ObjectImage, settings: ComparisonSettings) -> bool:
    if image.origin_yx is None and settings.register == "none":
        logger.warning(
            "%s does not say where its image lies and registration is switched off: it is put into the middle of "
            "the frame and its figures hold only if it belongs there; drop --skip-registration",
            arm.label,
        )
    return settings.register == "all" or (settings.register == "finished" and image is arm.source)


def _in_window(image: ObjectImage, window: Rectangle) -> tuple[PlacedImage, np.ndarray]:
    if image.origin_yx is not None:
        origin = (image.origin_yx[0] - window.row_start, image.origin_yx[1] - window.column_start)
    else:
        origin = tuple(
            (wanted - have) // 2 for wanted, have in zip(window.shape_yx, image.image.shape, strict=True)
        )
    frame = {"origin_yx": origin, "shape_yx": window.shape_yx, "mask": image.coverage > COVERED_ABOVE}
    placed = place_image(image.image, **frame)
    return placed, place_image(image.coverage, **frame).image


def _consistency(
    run: InferenceRun,
    placed: PlacedImage,
    window: Rectangle,
    settings: ComparisonSettings,
    *,
    gridsize: int,
) -> SelfConsistency | None:
    if run.half_sets is None:
        return None
    even, odd = (_in_window(half, window)[0] for half in (run.half_sets.even, run.half_sets.odd))
    known = np.isfinite(run.half_sets.overlap_variance).astype(np.float32)
    variance = ObjectImage(np.nan_to_num(run.half_sets.overlap_variance), known, run.image.origin_yx)
    spread = _in_window(variance, window)[0]
    measured = measure_consistency(
        even.image,
        odd.image,
        image=placed.image,
        mask=even.covered & odd.covered,
        overlap_variance=np.where(spread.covered, spread.image, np.float32(np.nan)),
        phase_align=settings.phase_align,
        frc_sigma=settings.frc_sigma,
    )
    if gridsize == 1:
        return measured
    shared = "Groups of even and of odd index share frames, so the half-set FRC and the disagreement flatter."
    return replace(measured, notes=(*measured.notes, shared))


def _mean_centred(
    image: ObjectImage, run: InferenceRun | None, settings: ComparisonSettings
) -> np.ndarray | None:
    """Return what PtychoPINN would cut out about its centre: a finished reconstruction as it came."""
    if settings.metric_convention == "standard":
        return None
    return image.image if run is None else run.mean_centred


@dataclass(frozen=True, eq=False)
class _Scorer:
    """Scores an arm by the convention that was asked for; `whole_truth` is not yet cut to the window."""

    whole_truth: np.ndarray
    window: Rectangle
    scored: np.ndarray
    positions_yx: np.ndarray
    settings: ComparisonSettings

    def metrics(self, arm: ArmResult) -> ImageMetrics:
        settings = self.settings
        if arm.mean_centred is None:
            return compare_images(
                arm.aligned,
                self.window.of(self.whole_truth),
                mask=self.scored,
                phase_align=settings.phase_align,
                ms_ssim_sigma=settings.ms_ssim_sigma,
                frc_sigma=settings.frc_sigma,
            )
        metrics = compare_by_ptychopinn(
            arm.mean_centred,
            self.whole_truth,
            self.positions_yx,
            crop_size=settings.crop_size,
            phase_align=settings.phase_align,
            ms_ssim_sigma=settings.ms_ssim_sigma,
            frc_sigma=settings.frc_sigma,
        )
        row, column = self.window.origin_yx
        return replace(metrics, window=metrics.window.moved_by((-row, -column)))


def _score(
    results: Sequence[ArmResult], scorer: _Scorer, progress: Progress
) -> tuple[list[ArmResult], list[ArmFailure]]:
    done, failures = [], []
    with progress.stage("metrics", len(results), "arms") as stage:
        for result in results:
            if not result.place_known and result.mean_centred is None:
                logger.warning("%s is not scored: nothing says where its image lies", result.label)
                done.append(result)
                stage.advance(1)
                continue
            began = time.perf_counter()
            try:
                metrics = scorer.metrics(result)
            except arm_errors() as error:
                failures.append(failure_of(result.label, error, what="could not be scored"))
                done.append(result)
            except KeyboardInterrupt:
                left = results[len(done) :]
                failures += [ArmFailure(arm.label, NOT_SCORED) for arm in left]
                return [*done, *left], failures
            else:
                seconds = result.seconds | {"score": time.perf_counter() - began}
                done.append(replace(result, metrics=metrics, seconds=seconds))
            stage.advance(1)
    return done, failures
