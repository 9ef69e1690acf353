"""`compare()`: run every arm on one scan, put the images into one frame, and score them alike.

An arm is a trained model or a finished reconstruction; all go through the same loop. No files, no plots.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from autobatch import AutobatchError, NoProgress, Progress
from ptycho.arms import Arm as Arm
from ptycho.arms import BatchSize
from ptycho.arms import load_arm as load_arm
from ptycho.data.scan import ScanData
from ptycho.errors import DataError, PtychoError
from ptycho.evaluation import ImageMetrics, compare_images
from ptycho.image.cropping import Rectangle, window_of_positions
from ptycho.image.phase import PhaseAlignMethod
from ptycho.image.registration import Registration, aligned, register
from ptycho.image.shifting import PlacedImage, place_image
from ptycho.inference import (
    InferencePlan,
    InferenceRun,
    ObjectImage,
    check_canvas,
    check_fits,
    object_window,
    plan_inference,
    reconstruct,
)
from ptycho.models.patch_model import PatchModel

logger = logging.getLogger(__name__)

Registered = Literal["all", "finished", "none"]

# The exact placement is known from the positions: what registration finds beyond this is not a residual of
# a network, it is a mismatch.
MAX_RESIDUAL_PX = 8.0
STOPPED = "stopped by Ctrl-C"
# Share of one patch below which a pixel at the rim of the canvas does not count as reconstructed.
COVERED_ABOVE = 1e-3


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """What decides the images and the figures of a comparison.

    Attributes
    ----------
    crop_size : int
        Side M of the central square of each patch that is stitched, 0 < M <= N.
    stitch_batch_size : "auto" or int
        Patches that enter the canvas at once; changes memory, never the image.
    register : {"all", "finished", "none"}
        Which arms are registered to the truth: all, only finished reconstructions, or none.
    max_shift_px : float
        Registration finding a longer shift has failed and is not applied.
    phase_align : {"plane", "mean"}
        What is removed from the phase before it is scored.
    ms_ssim_sigma, frc_sigma : float
        Gaussian smoothing of the amplitudes before MS-SSIM, in pixels, and of the FRC curve, in rings.
    n_groups : int, optional
        Groups of frames to evaluate, drawn with `seed`; all by default.
    device : str, optional
        "CPU" or "GPU:0"; by default TensorFlow's own choice.
    batch_memo : str, optional
        File that remembers predicted batch sizes from run to run; none by default.
    seed : int
        Draws `n_groups`, and the neighbours of each group for models of gridsize above 1.
    """

    crop_size: int = 20
    stitch_batch_size: BatchSize = "auto"
    register: Registered = "all"
    max_shift_px: float = MAX_RESIDUAL_PX
    phase_align: PhaseAlignMethod = "plane"
    ms_ssim_sigma: float = 1.0
    frc_sigma: float = 0.0
    n_groups: int | None = None
    device: str | None = None
    batch_memo: str | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class ArmResult:
    """The image of one arm in the common window, and its figures.

    Attributes
    ----------
    label : str
    image : (h, w) complex64
        As reconstructed, on the object's pixel grid; 0 where not covered.
    covered : (h, w) bool
        Pixels that hold a reconstruction.
    coverage : (h, w) float32
        How many patches lie on each pixel.
    aligned : (h, w) complex64
        `image` after registration; the same if there was none.
    aligned_covered : (h, w) bool
    registration : Registration or None
        The residual shift that was found; None if none was sought.
    metrics : ImageMetrics or None
        None without a truth.
    run : InferenceRun or None
        How the batches went; None for a finished reconstruction.
    collapsed : str or None
        Why the output looks like that of a collapsed network.
    seconds : dict of str to float
        Wall time per stage: ``reconstruct`` (of which ``predict`` and ``stitch``), ``register``, ``score``.
    """

    label: str
    image: np.ndarray
    covered: np.ndarray
    coverage: np.ndarray
    aligned: np.ndarray
    aligned_covered: np.ndarray
    registration: Registration | None = None
    metrics: ImageMetrics | None = None
    run: InferenceRun | None = None
    collapsed: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ArmFailure:
    """An arm that could not be finished, and why."""

    label: str
    reason: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ComparisonResult:
    """All arms in one frame.

    Attributes
    ----------
    arms : tuple of ArmResult
        In the order given, failed ones left out.
    failures : tuple of ArmFailure
    window : Rectangle
        The common frame, in pixels of the object.
    truth : (h, w) complex64, optional
        The ground truth in the window.
    scored : (h, w) bool
        Pixels covered by every arm: all arms are scored on these.
    n_frames : int
    settings : ComparisonSettings
    """

    arms: tuple[ArmResult, ...]
    failures: tuple[ArmFailure, ...]
    window: Rectangle
    truth: np.ndarray | None
    scored: np.ndarray
    n_frames: int
    settings: ComparisonSettings


def compare(
    arms: Sequence[Arm],
    scan: ScanData,
    *,
    settings: ComparisonSettings | None = None,
    window: Rectangle | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Run, place, register and score `arms` on `scan`.

    `window` is the common frame in pixels of the object; by default `score_window` of this scan.

    Every image is put on the object's pixel grid from the known positions. An arm that fails is named in
    `failures` and the others go on. Ctrl-C ends the run with the arms that are finished, if there is one; the
    others are `failures` for the reason `STOPPED`.

    Raises
    ------
    DataError, ValueError
        If the arms do not fit the scan; before any work is done.
    """
    settings = settings or ComparisonSettings()
    progress = progress or NoProgress()
    check_arms(arms, scan, settings)
    window = window or score_window(scan, settings.crop_size)
    truth = None if scan.object_guess is None else window.of(scan.object_guess)

    placed, failures = [], []
    for arm in arms:
        try:
            placed.append(_place(arm, scan, window, truth, settings, progress))
        except (AutobatchError, PtychoError) as error:
            logger.error("%s failed: %s", arm.label, error)
            failures.append(ArmFailure(arm.label, str(error)))
        except KeyboardInterrupt:
            if not placed:
                raise
            failures += [ArmFailure(left.label, STOPPED) for left in arms[len(placed) + len(failures) :]]
            break
    scored = np.logical_and.reduce(
        [result.aligned_covered for result in placed] or [np.zeros(window.shape_yx, bool)]
    )
    if truth is not None and placed:
        placed, missed = _score(placed, truth, scored, settings, progress)
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
    if settings.n_groups is not None and settings.n_groups > scan.n_frames:
        raise DataError(
            f"{settings.n_groups} groups are wanted but {scan.n_frames} frames make {scan.n_frames}; "
            "pass a smaller --n-test-groups or a larger --n-test-subsample."
        )
    check_canvas(scan, settings.crop_size)
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
    return plan_inference(
        arm.source,
        scan,
        crop_size=settings.crop_size,
        predict_batch_size=arm.predict_batch_size,
        max_predict_batch_size=arm.max_predict_batch_size,
        n_groups=settings.n_groups,
        device=settings.device,
        batch_memo=settings.batch_memo,
        seed=settings.seed,
    )


def score_window(scan: ScanData, crop_size: int) -> Rectangle:
    """Return the pixels under the central crops of all patches, within the truth if there is one."""
    if scan.object_guess is None:
        return object_window(scan.positions_yx, crop_size)
    return window_of_positions(
        scan.positions_yx,
        crop_size=crop_size,
        shape_yx=(scan.object_guess.shape[0], scan.object_guess.shape[1]),
    )


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
    seconds = {"register": time.perf_counter() - began}
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
        run=run,
        collapsed=None if run is None else run.collapsed,
        seconds=seconds,
    )


def _run(
    arm: Arm, model: PatchModel, scan: ScanData, settings: ComparisonSettings, progress: Progress
) -> InferenceRun:
    run = reconstruct(
        model,
        scan,
        crop_size=settings.crop_size,
        predict_batch_size=arm.predict_batch_size,
        stitch_batch_size=settings.stitch_batch_size,
        max_predict_batch_size=arm.max_predict_batch_size,
        device=settings.device,
        batch_memo=settings.batch_memo,
        n_groups=settings.n_groups,
        seed=settings.seed,
        progress=progress,
        label=arm.label,
    )
    if run.collapsed is not None:
        logger.warning("%s has collapsed: %s; its figures mean nothing", arm.label, run.collapsed)
    return run


def _wants_registration(arm: Arm, image: ObjectImage, settings: ComparisonSettings) -> bool:
    if image.origin_yx is None:
        return True
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


def _score(
    results: Sequence[ArmResult],
    truth: np.ndarray,
    scored: np.ndarray,
    settings: ComparisonSettings,
    progress: Progress,
) -> tuple[list[ArmResult], list[ArmFailure]]:
    done, failures = [], []
    with progress.stage("metrics", len(results), "arms") as stage:
        for result in results:
            began = time.perf_counter()
            try:
                metrics = compare_images(
                    result.aligned,
                    truth,
                    mask=scored,
                    phase_align=settings.phase_align,
                    ms_ssim_sigma=settings.ms_ssim_sigma,
                    frc_sigma=settings.frc_sigma,
                )
            except PtychoError as error:
                logger.error("%s could not be scored: %s", result.label, error)
                failures.append(ArmFailure(result.label, str(error)))
                done.append(result)
            else:
                seconds = result.seconds | {"score": time.perf_counter() - began}
                done.append(replace(result, metrics=metrics, seconds=seconds))
            stage.advance(1)
    return done, failures
