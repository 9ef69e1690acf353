"""`compare()`: run every arm on one scan, put the images into one frame, and score them alike.

An arm is a trained model or a finished reconstruction; all go through the same loop. No files, no plots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autobatch import NoProgress, Progress
from ptycho._error_wording import expected_errors
from ptycho.comparison._placing import Placer, labels_of
from ptycho.comparison._scoring import Scorer, failure_of
from ptycho.comparison.arms import Arm
from ptycho.comparison.results import ArmResult, ComparisonResult, Failure
from ptycho.comparison.settings import ComparisonSettings
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.image.cropping import Rectangle, object_window, window_of_positions
from ptycho.reconstruction import CanvasLayout, InferencePlan, check_crop_fits


def compare(
    arms: Sequence[Arm],
    scan: ScanData,
    *,
    settings: ComparisonSettings | None = None,
    frame_positions_yx: np.ndarray | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Run, place, register and score `arms` on `scan`.

    Every image is put on the object's pixel grid from the known positions.

    Parameters
    ----------
    arms : sequence of Arm
        From `load_arm`, or made as `ModelArm` and `FinishedArm`; each with a label of its own.
    scan : ScanData
        Its `object_guess`, if there is one, is the truth.
    settings : ComparisonSettings, optional
    frame_positions_yx : (k, 2) float64, optional
        The common frame is the pixels under the crops at these patch centres, in pixels of the object; by
        default those of this scan. With those of a larger scan the images of its subsets line up.
    progress : Progress, optional
        Display that gets a stage per arm and one for the metrics.

    Returns
    -------
    ComparisonResult
        An arm that fails, for want of memory too, is named in `failures` and the others go on. Ctrl-C ends the
        run with what there is: arms that were not reconstructed are failures of kind "stopped", those that were
        not scored of kind "not_scored".

    Raises
    ------
    DataError, ValueError
        If the arms do not fit the scan; before any work is done.
    KeyboardInterrupt
        Ctrl-C before there is an arm or a failure.

    Examples
    --------
    >>> from ptycho.comparison import FinishedArm, compare
    >>> from ptycho.data import SimulationSettings, simulate
    >>> from ptycho.image import place_image
    >>> scan = simulate(SimulationSettings(object_shape_yx=(100, 110), step_px=9.0))
    >>> whole = place_image(scan.object_guess, origin_yx=(0, 0), shape_yx=(100, 110))
    >>> result = compare([FinishedArm(label="the truth itself", image=whole)], scan)
    >>> result.arms[0].label, result.arms[0].metrics.ssim.amplitude
    ('the truth itself', 1.0)
    """
    settings = settings or ComparisonSettings()
    progress = progress or NoProgress()
    check_arms(arms, scan, settings)
    positions_yx = scan.positions_yx if frame_positions_yx is None else frame_positions_yx
    window = _score_window(positions_yx, scan, settings.crop_size)
    truth = None if scan.object_guess is None else window.of(scan.object_guess)

    results, failures = _place_all(arms, Placer(scan, window, truth, _with_canvases(settings), progress))
    scored = _scored_region(results, window)
    if scan.object_guess is not None and results:
        scorer = Scorer(scan.object_guess, window, scored, positions_yx, settings)
        results, missed = scorer.score_all(results, progress)
        failures += missed
    return ComparisonResult(
        arms=tuple(results),
        failures=tuple(failures),
        window=window,
        truth=truth,
        scored=scored,
        n_frames=scan.n_frames,
        settings=settings,
        object_pixel_m=None if scan.geometry is None else scan.geometry.object_pixel_m,
    )


def check_arms(arms: Sequence[Arm], scan: ScanData, settings: ComparisonSettings) -> None:
    """Raise if the arms cannot be compared on `scan`; runs nothing.

    Parameters
    ----------
    arms : sequence of Arm
    scan : ScanData
    settings : ComparisonSettings

    Raises
    ------
    DataError
        There is no arm, two share a label, or one does not fit the scan, nor crop or groups the frames.
    ValueError
        Memory does not hold the canvases.
    """
    if not arms:
        raise DataError("there is nothing to compare; give at least one arm.")
    labels = [label for arm in arms for label in labels_of(arm, settings)]
    if len(set(labels)) < len(labels):
        raise DataError(f"the arms are labelled {labels} but each needs a label of its own; rename one.")
    check_crop_fits(settings.crop_size, scan.patch_size)
    if settings.n_groups is not None and settings.n_groups > scan.n_frames:
        raise DataError(
            f"{settings.n_groups} groups are wanted but one is formed around each of {scan.n_frames} frames; "
            f"pass `n_groups` 1 to {scan.n_frames}."
        )
    if any(arm.fills_canvases for arm in arms):
        # Groups lie between their frames and need no larger canvas.
        CanvasLayout.of(scan.positions_yx, _with_canvases(settings)).check_memory()
    for arm in arms:
        arm.check(scan)


def plan_arm(arm: Arm, scan: ScanData, settings: ComparisonSettings) -> InferencePlan | None:
    """Return what `compare` would do for an arm, None for a finished reconstruction; predicts nothing.

    Parameters
    ----------
    arm : Arm
    scan : ScanData
    settings : ComparisonSettings

    Returns
    -------
    InferencePlan or None

    Raises
    ------
    DataError
        If the arm does not fit the scan.
    """
    return arm.plan(scan, _with_canvases(settings))


def _with_canvases(settings: ComparisonSettings) -> ComparisonSettings:
    """Return the settings with the canvas that PtychoPINN's convention scores and writes."""
    return settings if settings.metric_convention == "standard" else replace(settings, mean_centred=True)


def _scored_region(results: Sequence[ArmResult], window: Rectangle) -> np.ndarray:
    """Return the pixels (h, w) bool that every arm covers whose place is known.

    An arm that registration could not find where it ought to be is elsewhere, or something else: it takes no pixel
    from the others, as long as there are others.
    """
    known = [result for result in results if result.place_known]
    trusted = [result for result in known if not result.registration_failed] or known
    return np.logical_and.reduce(
        [result.aligned.covered for result in trusted] or [np.zeros(window.shape_yx, bool)]
    )


def _score_window(positions_yx: np.ndarray, scan: ScanData, crop_size: int) -> Rectangle:
    """Return the pixels under the central crops at all positions, within the truth if there is one."""
    if scan.object_guess is None:
        return object_window(positions_yx, crop_size)
    shape = scan.object_guess.shape
    return window_of_positions(positions_yx, crop_size=crop_size, shape_yx=(shape[0], shape[1]))


def _place_all(arms: Sequence[Arm], placer: Placer) -> tuple[list[ArmResult], list[Failure]]:
    placed, failures = [], []
    columns = [column for arm in arms for column in placer.columns(arm)]
    for number, column in enumerate(columns):
        try:
            placed.append(column.place())
        except expected_errors() as error:
            failures.append(failure_of(column.label, error))
        except KeyboardInterrupt:
            if not placed and not failures:
                raise
            failures += [Failure.stopped(left.label) for left in columns[number:]]
            break
    return placed, failures
