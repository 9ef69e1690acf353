"""Find the sub-pixel shift and the phase ramp that carry one complex image onto another.

The two are coupled: a ramp left in spoils the cross-correlation, a shift left in spoils the ramp. Each is
found globally while the other is held, in turn, until the shift rests. Working on the complex field rather
than its modulus keeps the search sharp on objects that are nearly pure phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ptycho.errors import DataError
from ptycho.image._overlay import LEAST_OVERLAP_PX, Field, Overlay, coarse_shift, overlay_at
from ptycho.image.phase import PhaseRamp, fit_phase_ramp
from ptycho.image.placed import PlacedImage, shift_image

_MAX_ROUNDS = 10
# Finer than the 0.005 px to which shifts are found without noise (docs/metrics.md).
_SETTLED_PX = 1e-3
_GOOD_CORRELATION = 0.5
_LEAST_CORRELATION = 0.1
# A field that varies by less than this share of its modulus holds nothing to register by.
_FEATURELESS = 1e-3
_COARSE_SIDE_PX = 512


@dataclass(frozen=True)
class Registration:
    """How the moving image lies on the reference, and whether to believe it.

    ``shift_image(moving, offset_yx)`` is, up to a real factor, ``reference · exp(i · ramp)``.

    Attributes
    ----------
    offset_yx : (float, float)
        Pixels by which the moving image's content has to move down and right. Found, not yet applied.
    ramp : PhaseRamp
        Phase of the shifted moving image relative to the reference.
    correlation : float
        Modulus of the normalised cross-correlation of the two fields, mean removed, where they overlap
        after shift and ramp removal: 1 for equal images, 0 for nothing in common.
    overlap_px : int
        Number of pixels compared.
    failure : str or None
        Why the offset is not to be applied; None if it is plausible.
    """

    offset_yx: tuple[float, float]
    ramp: PhaseRamp
    correlation: float
    overlap_px: int
    failure: str | None = None

    @property
    def plausible(self) -> bool:
        """Whether the offset lies within the stated bound and rests on a real likeness."""
        return self.failure is None

    @property
    def applied_offset_yx(self) -> tuple[float, float]:
        """The offset that `aligned` applies: (0, 0) for a failed registration."""
        return self.offset_yx if self.plausible else (0.0, 0.0)


def register(
    moving: np.ndarray,
    reference: np.ndarray,
    *,
    max_shift_px: float,
    mask: np.ndarray | None = None,
    reference_mask: np.ndarray | None = None,
) -> Registration:
    """Register two complex images that differ by a shift, a phase ramp, a constant phase and a scale.

    The shift maximises the cross-correlation of the tapered, mean-free fields (the matched filter of
    Guizar-Sicairos, Thurman and Fienup 2008, https://doi.org/10.1364/OL.33.000156; the top of the peak is
    reached by Newton steps instead of an upsampled grid). It is searched over all shifts, so that a best
    match beyond `max_shift_px` is seen and reported instead of the best wrong one inside.

    Parameters
    ----------
    moving, reference : (H, W) complex
        The images, in one frame.
    max_shift_px : float
        Longest plausible shift, in pixels.
    mask, reference_mask : (H, W) bool, optional
        Pixels of each image that mean something; default all. Others may hold anything, NaN included.

    Returns
    -------
    Registration
        With `failure` set if the best match is too far, too weak or too small to believe.

    Raises
    ------
    DataError
        Shapes differ, an image is not complex or not finite where its mask is true, a mask is empty,
        `max_shift_px` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.data import random_lines
    >>> from ptycho.image import register
    >>> image = random_lines((60, 70), rng=np.random.default_rng(3))
    >>> found = register(np.roll(image, (3, -2), axis=(0, 1)), image, max_shift_px=8)
    >>> found.plausible, [round(offset) for offset in found.offset_yx]
    (True, [-3, 2])
    """
    if not max_shift_px > 0:
        raise DataError(f"max_shift_px is {max_shift_px} but must be a positive number of pixels.")
    first = Field.checked(moving, mask, "moving")
    second = Field.checked(reference, reference_mask, "reference")
    if first.values.shape != second.values.shape:
        raise DataError(
            f"moving has shape {first.values.shape} and reference {second.values.shape}; "
            "place both in one frame first (place_image)."
        )
    # A ramp that both share is no business of theirs, but would be lost in binning.
    carrier_yx = fit_phase_ramp(second.values * second.taper).slope_yx  # radians per pixel
    first, second = first.without(carrier_yx), second.without(carrier_yx)
    overlay = _best_start(first, second)
    # Shift under the ramp of the round before, then the ramp under that shift; each lessens the other's error.
    for _ in range(_MAX_ROUNDS):
        step_yx = overlay.remaining_shift_yx()
        offset_yx = (overlay.offset_yx[0] + step_yx[0], overlay.offset_yx[1] + step_yx[1])
        overlay = overlay_at(first, second, offset_yx, overlay.ramp.slope_yx)
        if np.hypot(*step_yx) < _SETTLED_PX:
            break
    failure = _featureless(moving=first, reference=second) or _reason_to_doubt(overlay, max_shift_px)
    # The carrier was taken out about the centre of the unshifted frame, so the shift has turned it.
    # exp(i k·r) moved by d is exp(i k·(r - d)), so the constant is less by k·d.
    turned = carrier_yx[0] * overlay.offset_yx[0] + carrier_yx[1] * overlay.offset_yx[1]
    ramp = PhaseRamp(overlay.ramp.offset - turned, overlay.ramp.slope_yx)
    return Registration(overlay.offset_yx, ramp, overlay.correlation, overlay.n_pixels, failure)


def aligned(moving: np.ndarray, registration: Registration, *, mask: np.ndarray | None = None) -> PlacedImage:
    """Shift an image by what its registration found, if that is plausible; its phase is left as it is.

    Parameters
    ----------
    moving : (H, W) complex
        The image that was registered.
    registration : Registration
    mask : (H, W) bool, optional
        Pixels that mean something; default all.

    Returns
    -------
    PlacedImage
        In the frame of the reference.

    Raises
    ------
    DataError
        Image and mask do not fit together, or no pixel is valid.
    """
    return shift_image(moving, registration.applied_offset_yx, mask=mask)


def _best_start(moving: Field, reference: Field) -> Overlay:
    """Search all shifts under each likely ramp; stop at the first that clearly fits."""
    starts = []
    for slope_yx in _likely_slopes(moving):
        starts.append(_coarse_start(moving, reference, slope_yx))
        if starts[-1].correlation > _GOOD_CORRELATION:
            break
    best = max(starts, key=lambda start: start.correlation)
    return overlay_at(moving, reference, best.offset_yx, best.slope_yx)


def _likely_slopes(moving: Field) -> Iterator[tuple[float, float]]:
    # The strongest Fourier component is the undiffracted wave of any object that is not all phase wraps;
    # a shift leaves it in place and a ramp moves it.
    yield fit_phase_ramp(moving.values * moving.taper).slope_yx
    yield 0.0, 0.0


@dataclass(frozen=True)
class _Start:
    correlation: float
    offset_yx: tuple[float, float]
    slope_yx: tuple[float, float]


def _coarse_start(moving: Field, reference: Field, slope_yx: tuple[float, float]) -> _Start:
    """Search all shifts on binned images: first under the given ramp, then under the one that then fits."""
    # Only the right peak has to be found here; its top is climbed at full resolution.
    factor = -(-max(moving.values.shape) // _COARSE_SIDE_PX)
    flat, target = moving.without(slope_yx).binned(factor), reference.binned(factor)
    rest_yx = overlay_at(flat, target, coarse_shift(flat, target), (0.0, 0.0)).ramp.slope_yx
    found = overlay_at(flat, target, coarse_shift(flat.without(rest_yx), target), rest_yx)
    offset_yx = found.offset_yx[0] * factor, found.offset_yx[1] * factor
    rest_yx = found.ramp.slope_yx
    # A binned pixel is `factor` pixels wide: offsets grow by it, radians per pixel shrink.
    slope_yx = slope_yx[0] + rest_yx[0] / factor, slope_yx[1] + rest_yx[1] / factor
    return _Start(found.correlation, offset_yx, slope_yx)


def _featureless(**fields: Field) -> str | None:
    for name, field in fields.items():
        inside = field.values[field.valid]  # (number of valid pixels,)
        flat = fit_phase_ramp(field.values).removed_from(field.values)[field.valid]
        if np.linalg.norm(flat - flat.mean()) <= _FEATURELESS * np.linalg.norm(inside):
            return f"the {name} image is featureless: but for a phase ramp it is constant"
    return None


def _reason_to_doubt(overlay: Overlay, max_shift_px: float) -> str | None:
    length = float(np.hypot(*overlay.offset_yx))
    if overlay.n_pixels < LEAST_OVERLAP_PX:
        return f"the images share {overlay.n_pixels} pixels, fewer than {LEAST_OVERLAP_PX}"
    if overlay.correlation < _LEAST_CORRELATION:
        return (
            f"the images have too little in common (correlation {overlay.correlation:.3f}, "
            f"at least {_LEAST_CORRELATION} needed)"
        )
    if length > max_shift_px:
        return f"the best match needs a shift of {length:.2f} px, beyond the plausible {max_shift_px:g} px"
    return None
