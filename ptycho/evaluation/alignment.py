"""From two complex images to the real ones that are scored: crop, phase ramp, amplitude scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.errors import DataError
from ptycho.evaluation.results import ScoredImages
from ptycho.image.cropping import Rectangle, largest_rectangle, whole_image
from ptycho.image.phase import (
    PHASE_ALIGN_METHODS,
    PhaseAlignMethod,
    PhaseRamp,
    continuous_phase,
    detrended_phase,
    fit_phase_ramp,
)

# Errors below this share of the data range are float64 rounding of equal inputs.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class AlignedPair:
    """Images ready to be scored, and what was done to make them so (fields as in `ImageMetrics`)."""

    images: ScoredImages
    window: Rectangle
    ramp: PhaseRamp
    amplitude_scale: float


def checked_pair(reconstruction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays after checking that they are complex images of one shape.

    Raises
    ------
    DataError
        Otherwise.
    """
    pair = np.asarray(reconstruction), np.asarray(truth)
    for name, image in zip(("reconstruction", "truth"), pair, strict=True):
        if image.ndim != 2 or not np.iscomplexobj(image):
            raise DataError(f"{name} is {image.dtype} {image.shape} but must be a complex 2-D image (H, W).")
    return pair


def cropped_pair(
    reconstruction: np.ndarray, truth: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, Rectangle]:
    """Cut both images down to the largest rectangle of covered pixels, in complex128.

    Every metric sees the same pixels; SSIM windows and Fourier transforms need a rectangle.

    Raises
    ------
    DataError
        Shapes differ, nothing is covered, a covered value is not finite, or an image is zero throughout.
    """
    pair = checked_pair(reconstruction, truth)
    shape = pair[0].shape
    mask_shape = shape if mask is None else np.shape(mask)
    if not shape == pair[1].shape == mask_shape:
        raise DataError(
            f"reconstruction has shape {shape}, truth {pair[1].shape}, mask {mask_shape}; all must be equal: "
            "place the reconstruction in the truth's frame first (ptycho.image.place_image)."
        )
    window = whole_image(shape) if mask is None else largest_rectangle(mask)
    cropped = tuple(window.of(image).astype(np.complex128) for image in pair)
    for name, image in zip(("reconstruction", "truth"), cropped, strict=True):
        if not np.isfinite(image).all():
            raise DataError(f"{name} holds covered values that are not finite; leave them out with the mask.")
        if not image.any():
            raise DataError(f"{name} is zero on all {image.size} scored pixels; there is nothing to compare.")
    return cropped[0], cropped[1], window


def align_pair(
    reconstruction: np.ndarray,
    truth: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    phase_align: PhaseAlignMethod = "plane",
) -> AlignedPair:
    """Remove what no diffraction pattern can fix and return amplitude and phase images to score.

    1. Both are cropped to the largest covered rectangle.
    2. The phase ramp of the reconstruction relative to the truth is removed (or its constant, for "mean").
    3. The amplitude is scaled by ``mean |truth| / mean |reconstruction|``.
    4. The true phase is made continuous and detrended (its own plane or mean removed). The reconstruction's
       phase is that image plus the *wrapped* difference, so that a wrap in one of them is not an error of 2π.

    Parameters
    ----------
    reconstruction, truth : (H, W) complex
        In one frame.
    mask : (H, W) bool, optional
        Pixels to be scored at most; default all.
    phase_align : "plane" or "mean"
        Whether a ramp is an ambiguity or an error.

    Raises
    ------
    DataError
        See `cropped_pair`; or `phase_align` is neither.
    """
    if phase_align not in PHASE_ALIGN_METHODS:
        raise DataError(
            f"phase_align is {phase_align!r} but must be one of {', '.join(PHASE_ALIGN_METHODS)}."
        )
    image, true, window = cropped_pair(reconstruction, truth, mask)
    ramp = fit_phase_ramp(image * true.conj(), method=phase_align)
    scale = float(np.abs(true).mean() / np.abs(image).mean())
    error = np.angle(ramp.removed_from(image) * true.conj())
    flat = fit_phase_ramp(true, method=phase_align).removed_from(true)
    true_phase = detrended_phase(continuous_phase(flat), method=phase_align)
    true_amplitude = np.abs(true)
    amplitude = true_amplitude + _without_rounding(scale * np.abs(image) - true_amplitude, true_amplitude)
    error = _without_rounding(error, np.array([0, np.pi]))
    return AlignedPair(
        ScoredImages(amplitude, true_amplitude, true_phase + error, true_phase, error), window, ramp, scale
    )


def _without_rounding(error: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return exact zeros if no error exceeds rounding, so that equal images get the ideal figures."""
    return np.zeros_like(error) if np.abs(error).max() <= _ROUNDING * np.abs(truth).max() else error
