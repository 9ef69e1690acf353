"""`Panel`: what is shown of the images of a comparison, as they are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptycho._showing.one_line import OneLine
from ptycho.evaluation.alignment import aligned_fields, flattened_phase
from ptycho.image.phase import PhaseAlignMethod
from ptycho.image.placed import PlacedImage

if TYPE_CHECKING:
    from ptycho.comparison.results import ComparisonResult

TRUTH_LABEL = "Ground truth"


@dataclass(frozen=True, eq=False, repr=False)
class Panel(OneLine):
    """One column of a figure, uncovered pixels masked, (h, w) the window thinned by `decimated`.

    Attributes
    ----------
    label : str
    amplitude : (h, w) masked float32
        Scaled to the truth's mean where there is a truth.
    phase : (h, w) masked float32
        Radians; the ramp (or mean) relative to the truth, or else its own, removed.
    amplitude_error, phase_error : (h, w) masked float32, optional
        Arm minus truth, the phase wrapped into [-π, π]; None without a truth.
    """

    label: str
    amplitude: np.ma.MaskedArray
    phase: np.ma.MaskedArray
    amplitude_error: np.ma.MaskedArray | None = None
    phase_error: np.ma.MaskedArray | None = None


def panels_of(result: ComparisonResult, most_px: int) -> list[Panel]:
    """Return the arms' panels in order and, if there is a truth, its own as the last.

    Images are shown as they are scored (`aligned_fields`), but over the whole window
    instead of the scored rectangle, so that a reader also sees what was left out. They are thinned to `most_px`
    pixels a side.
    """
    images = [(arm.label, arm.aligned) for arm in result.arms]
    return panels_of_images(images, result.truth, result.settings.phase_align, most_px)


def panels_of_images(
    placed: Sequence[tuple[str, PlacedImage]], true: np.ndarray | None, method: PhaseAlignMethod, most_px: int
) -> list[Panel]:
    """Return a panel for each labelled image of one window and, if there is a truth (h, w), its own as the last."""
    images = [
        (label, decimated(image.values, most_px), decimated(image.covered, most_px))
        for label, image in placed
    ]
    if true is None:
        return [_alone(*image, method) for image in images]
    truth = decimated(true, most_px).astype(np.complex128)
    true_phase = flattened_phase(truth, method=method)
    arms = [_beside_truth(*image, truth, true_phase, method) for image in images]
    nowhere = np.zeros(truth.shape, bool)
    return [*arms, Panel(TRUTH_LABEL, _masked(np.abs(truth), nowhere), _masked(true_phase, nowhere))]


def decimated(image: np.ndarray, most_px: int) -> np.ndarray:
    """Return every k-th row and column of `image` (H, W), k the least that leaves `most_px` a side."""
    step = -(-max(image.shape) // most_px)
    return image[::step, ::step]


def _alone(label: str, image: np.ndarray, covered: np.ndarray, method: PhaseAlignMethod) -> Panel:
    field = np.where(covered, image, 0).astype(np.complex128)
    return Panel(
        label, _masked(np.abs(field), ~covered), _masked(flattened_phase(field, method=method), ~covered)
    )


def _beside_truth(
    label: str,
    image: np.ndarray,
    covered: np.ndarray,
    truth: np.ndarray,
    true_phase: np.ndarray,
    method: PhaseAlignMethod,
) -> Panel:
    field = np.where(covered, image, 0).astype(np.complex128)
    shown, _, _ = aligned_fields(field, truth, covered=covered, phase_align=method, true_phase=true_phase)
    return Panel(
        label,
        _masked(shown.amplitude, ~covered),
        _masked(shown.phase, ~covered),
        _masked(shown.amplitude - shown.true_amplitude, ~covered),
        _masked(shown.phase_error, ~covered),
    )


def _masked(image: np.ndarray, mask: np.ndarray) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(image.astype(np.float32), mask)
