"""From two complex images to the real ones that are scored: crop, phase ramp, amplitude scale."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ptycho.errors import DataError
from ptycho.evaluation.region import Region
from ptycho.evaluation.results import ScoredImages
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
    ramp: PhaseRamp
    amplitude_scale: float
    region: Region


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
) -> tuple[np.ndarray, np.ndarray, Region]:
    """Cut both images down to the region that is scored, in complex128; the reconstruction is 0 in its holes.

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
    region = Region.of_mask(mask, (shape[0], shape[1]))
    cropped = region.cut(pair[0]), region.window.of(pair[1]).astype(np.complex128)
    for name, image in zip(("reconstruction", "truth"), cropped, strict=True):
        if not np.isfinite(image).all():
            raise DataError(f"{name} holds covered values that are not finite; leave them out with the mask.")
        if not image.any():
            raise DataError(f"{name} is zero on all {image.size} scored pixels; there is nothing to compare.")
    return cropped[0], cropped[1], region


def align_pair(
    reconstruction: np.ndarray,
    truth: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    phase_align: PhaseAlignMethod = "plane",
) -> AlignedPair:
    """Remove what no diffraction pattern can fix and return amplitude and phase images to score.

    1. Both are cropped to the largest rectangle whose holes are small.
    2. The phase ramp of the reconstruction relative to the truth is removed (or its constant, for "mean").
    3. The amplitude is scaled by ``mean |truth| / mean |reconstruction|``.
    4. The true phase is made continuous and detrended (its own plane or mean removed). The reconstruction's
       phase is that image plus the *wrapped* difference, so that a wrap in one of them is not an error of 2π.
    5. In the holes the errors are means of those around.

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
    image, true, region = cropped_pair(reconstruction, truth, mask)
    covered = region.valid if region.has_holes else None
    images, ramp, scale = aligned_fields(image, true, covered=covered, phase_align=phase_align)
    if region.has_holes:
        images = _with_filled_errors(images, region)
    return AlignedPair(images, ramp, scale, region)


def _with_filled_errors(images: ScoredImages, region: Region) -> ScoredImages:
    amplitude_error = region.filled(images.amplitude - images.true_amplitude)
    phase_error = region.filled(images.phase_error)
    return replace(
        images,
        amplitude=images.true_amplitude + amplitude_error,
        phase=images.true_phase + phase_error,
        phase_error=phase_error,
        valid=region.valid,
    )


def aligned_fields(
    image: np.ndarray,
    true: np.ndarray,
    *,
    covered: np.ndarray | None = None,
    phase_align: PhaseAlignMethod = "plane",
    true_phase: np.ndarray | None = None,
) -> tuple[ScoredImages, PhaseRamp, float]:
    """Do steps 2 to 4 of `align_pair` on images of one shape; what is scored and what is shown come from here.

    Parameters
    ----------
    image, true : (H, W) complex128
        `image` is 0 where not covered.
    covered : (H, W) bool, optional
        Pixels of `image` that mean something; default all. Others get values that mean nothing.
    phase_align : "plane" or "mean"
    true_phase : (H, W) float64, optional
        What `flattened_phase` returned for `true`, if it is at hand.

    Returns
    -------
    images : ScoredImages
    ramp : PhaseRamp
        Of `image` against `true`.
    scale : float
        Factor on the amplitude.
    """
    ramp = fit_phase_ramp(image * true.conj(), method=phase_align)  # arg R T* = c + k·r + error
    modulus, true_amplitude = np.abs(image), np.abs(true)
    inside = slice(None) if covered is None else covered
    mean = modulus[inside].mean() if modulus[inside].size else 0.0
    scale = float(true_amplitude[inside].mean() / mean) if mean > 0 else 1.0
    error = np.angle(ramp.removed_from(image) * true.conj())  # (H, W) radians, wrapped
    if true_phase is None:
        true_phase = flattened_phase(true, method=phase_align)
    # As truth plus error, so that equal images have errors of exactly zero and the ideal figures.
    amplitude = true_amplitude + _without_rounding(scale * modulus - true_amplitude, true_amplitude)
    error = _without_rounding(error, np.array([0, np.pi]))
    return ScoredImages(amplitude, true_amplitude, true_phase + error, true_phase, error), ramp, scale


def flattened_phase(image: np.ndarray, *, method: PhaseAlignMethod) -> np.ndarray:
    """Return the phase (H, W) float64 of an image, in radians, continuous and without its own plane or mean."""
    # The ramp goes as phasors first: what is left wraps less, often not at all.
    flat = fit_phase_ramp(image, method=method).removed_from(image)
    return detrended_phase(continuous_phase(flat), method=method)


def _without_rounding(error: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return exact zeros if no error exceeds rounding, so that equal images get the ideal figures."""
    return np.zeros_like(error) if np.abs(error).max() <= _ROUNDING * np.abs(truth).max() else error
