"""Scores of arms that are in one frame, by the convention that was asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autobatch import Progress
from ptycho._error_wording import expected_errors, reason_of
from ptycho.comparison.results import ArmResult, Failure
from ptycho.comparison.settings import ComparisonSettings
from ptycho.errors import DataError
from ptycho.evaluation import ImageMetrics, compare_by_ptychopinn, compare_images
from ptycho.image.cropping import Rectangle

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores arms against a truth.

    Attributes
    ----------
    whole_truth : (H, W) complex64
        Not yet cut to the window.
    window : Rectangle
        The common frame, in pixels of the truth.
    scored : (h, w) bool
        Pixels of the window that every arm covers.
    positions_yx : (n, 2) float64
        Patch centres that PtychoPINN's convention places by.
    settings : ComparisonSettings
    """

    whole_truth: np.ndarray
    window: Rectangle
    scored: np.ndarray
    positions_yx: np.ndarray
    settings: ComparisonSettings

    def score_all(
        self, results: Sequence[ArmResult], progress: Progress
    ) -> tuple[list[ArmResult], list[Failure]]:
        """Return the results with their metrics; one that cannot be scored is a failure and keeps its image."""
        done, failures = [], []
        with progress.stage("metrics", len(results), "arms") as stage:
            for result in results:
                try:
                    done.append(self._scored(result))
                except expected_errors() as error:
                    failures.append(failure_of(result.label, error, verb="could not be scored"))
                    done.append(result)
                except KeyboardInterrupt:
                    left = results[len(done) :]
                    return [*done, *left], failures + [Failure.not_scored(arm.label) for arm in left]
                stage.advance(1)
        return done, failures

    def _scored(self, result: ArmResult) -> ArmResult:
        by_ptychopinn = self.settings.metric_convention == "ptychopinn"
        if not result.place_known and not by_ptychopinn:
            logger.warning("%s is not scored: nothing says where its image lies", result.label)
            return result
        shared = self.scored & result.aligned.covered
        if not by_ptychopinn and result.registration_failed and not shared.any():
            logger.warning("%s is not scored: it covers none of the pixels of the others", result.label)
            return result
        began = time.perf_counter()
        metrics = self._by_ptychopinn(result) if by_ptychopinn else self._by_standard(result)
        return replace(
            result, metrics=metrics, seconds=result.seconds | {"score": time.perf_counter() - began}
        )

    def _by_standard(self, result: ArmResult) -> ImageMetrics:
        return compare_images(
            result.aligned.values,
            self.window.of(self.whole_truth),
            # All of them, but for an arm that registration did not find where it ought to be.
            mask=self.scored & result.aligned.covered,
            phase_align=self.settings.phase_align,
            ms_ssim_sigma=self.settings.ms_ssim_sigma,
            frc_sigma=self.settings.frc_sigma,
        )

    def _by_ptychopinn(self, result: ArmResult) -> ImageMetrics:
        if result.mean_centred is None:
            raise DataError(
                f"{result.label} gives no image on PtychoPINN's canvas; score it by the standard convention."
            )
        metrics = compare_by_ptychopinn(
            result.mean_centred,
            self.whole_truth,
            self.positions_yx,
            crop_size=self.settings.crop_size,
            phase_align=self.settings.phase_align,
            ms_ssim_sigma=self.settings.ms_ssim_sigma,
            frc_sigma=self.settings.frc_sigma,
        )
        row, column = self.window.origin_yx
        return replace(metrics, window=metrics.window.moved_by((-row, -column)))


def failure_of(label: str, error: BaseException, *, verb: str = "failed") -> Failure:
    """Log that an arm came to an end and return it; the log at level DEBUG shows where."""
    reason = reason_of(error)
    logger.error("%s %s: %s", label, verb, reason)
    logger.debug("where %s %s", label, verb, exc_info=error)
    return Failure(label, reason)
