"""Find the sub-pixel shift and the phase ramp that carry one complex image onto another.

The two are coupled: a ramp left in spoils the cross-correlation, a shift left in spoils the ramp. Each is
found globally while the other is held, in turn, until the shift rests. Working on the complex field rather
than its modulus keeps the search sharp on objects that are nearly pure phase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.errors import DataError
from ptycho.image._alternatives import better_alternative
from ptycho.image._likeness import likeness_of, repeats
from ptycho.image._overlay import LEAST_OVERLAP_PX, Field, Overlay, overlay_at
from ptycho.image._search import best_match, climbed
from ptycho.image.phase import PhaseRamp, fit_phase_ramp
from ptycho.image.placed import PlacedImage, shift_image

# Two matches are equal if they leave as much unexplained, but for the noise and for what interpolation leaves.
_NEARLY_EQUAL, _NEARLY_EQUAL_TO_NOTHING = 1.5, 5e-3
# An image agrees clearly better with the reference in another way; or about as well.
_BETTER, _AS_GOOD = 0.05, 0.02
# A field that varies by less than this share of its modulus holds nothing to register by.
_FEATURELESS = 1e-3


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
    independent_px : float
        How many of these are as good as independent: few in a smooth image.
    needed_correlation : float
        What unrelated images of as many independent pixels reach; `correlation` has to be above.
    rivalry : float
        How well another shift matches, relative to the best: noise for true matches, about 1 for unrelated images.
    notes : tuple of str
        One sentence for each peculiarity of a match: an object that repeats itself, a conjugate, inverted contrast.
    """

    offset_yx: tuple[float, float]
    ramp: PhaseRamp
    correlation: float
    overlap_px: int
    failure: str | None = None
    independent_px: float = float("nan")
    needed_correlation: float = float("nan")
    rivalry: float = float("nan")
    notes: tuple[str, ...] = ()

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
    suggest: bool = True,
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
    suggest : bool
        Look what an image that is refused would match as: turned, mirrored, conjugated, or of another pixel size.

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
    overlay, notes = best_match(first, second), ()
    likeness = likeness_of(overlay, first, second)
    failure = _featureless(moving=first, reference=second) or _too_small(overlay)
    if failure is None and likeness.doubt is not None:
        other = better_alternative(first, second, overlay.correlation) if suggest else None
        failure = likeness.doubt + ("" if other is None else f"; {other}")
    elif failure is None:
        overlay, notes = _nearest_of_equals(overlay, first, second)
        failure, notes = _too_far(overlay, max_shift_px), notes + _opposite(overlay, first, second)
    # The carrier was taken out about the centre of the unshifted frame, so the shift has turned it.
    # exp(i k·r) moved by d is exp(i k·(r - d)), so the constant is less by k·d.
    turned = carrier_yx[0] * overlay.offset_yx[0] + carrier_yx[1] * overlay.offset_yx[1]
    ramp = PhaseRamp(overlay.ramp.offset - turned, overlay.ramp.slope_yx)
    return Registration(
        offset_yx=overlay.offset_yx,
        ramp=ramp,
        correlation=overlay.correlation,
        overlap_px=overlay.n_pixels,
        failure=failure,
        independent_px=likeness.independent_px,
        needed_correlation=likeness.needed_correlation,
        rivalry=likeness.rivalry,
        notes=notes,
    )


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


def _featureless(**fields: Field) -> str | None:
    for name, field in fields.items():
        inside = field.values[field.valid]  # (number of valid pixels,)
        flat = fit_phase_ramp(field.values).removed_from(field.values)[field.valid]
        if np.linalg.norm(flat - flat.mean()) <= _FEATURELESS * np.linalg.norm(inside):
            return f"the {name} image is featureless: but for a phase ramp it is constant"
    return None


def _too_small(overlay: Overlay) -> str | None:
    if overlay.n_pixels < LEAST_OVERLAP_PX:
        return f"the images share {overlay.n_pixels} pixels, fewer than {LEAST_OVERLAP_PX}"
    return None


def _too_far(overlay: Overlay, max_shift_px: float) -> str | None:
    length = float(np.hypot(*overlay.offset_yx))
    if length > max_shift_px:
        return f"the best match needs a shift of {length:.2f} px, beyond the plausible {max_shift_px:g} px"
    return None


def _nearest_of_equals(overlay: Overlay, moving: Field, reference: Field) -> tuple[Overlay, tuple[str, ...]]:
    """Return the match nearest to zero of those that are as good as `overlay`, and what is to be said of the others."""
    equals = [overlay]
    left_over = (1 - overlay.correlation**2) * _NEARLY_EQUAL + _NEARLY_EQUAL_TO_NOTHING
    for offset_yx in repeats(overlay, moving, reference):
        other = climbed(overlay_at(moving, reference, offset_yx, overlay.ramp.slope_yx), moving, reference)
        apart = min(np.hypot(*np.subtract(other.offset_yx, each.offset_yx)) for each in equals)
        if 1 - other.correlation**2 < left_over and apart > 1:
            equals.append(other)
    nearest = min(equals, key=lambda each: np.hypot(*each.offset_yx))
    if len(equals) == 1:
        return nearest, ()
    listed = ", ".join(
        f"({each.offset_yx[0]:+.1f}, {each.offset_yx[1]:+.1f})" for each in equals if each is not nearest
    )
    return nearest, (
        f"The object repeats itself: shifts of {listed} px match as well as "
        f"({nearest.offset_yx[0]:+.1f}, {nearest.offset_yx[1]:+.1f}) px, which is taken as the nearest to none.",
    )


def _opposite(overlay: Overlay, moving: Field, reference: Field) -> tuple[str, ...]:
    """Return what is to be said of an image that matches by the opposite of its variations, or of its phase."""
    conjugated = moving.conjugated
    slope_yx = -overlay.ramp.slope_yx[0], -overlay.ramp.slope_yx[1]
    mirrored = overlay_at(conjugated, reference, overlay.offset_yx, slope_yx)
    if mirrored.agreement > max(overlay.agreement + _BETTER, -overlay.agreement - _AS_GOOD):
        return (
            "The image looks like the complex conjugate of the reference, its phase of opposite sign; conjugate it.",
        )
    if overlay.agreement < 0:
        return ("The contrast of the image is inverted: it is dark where the reference is bright.",)
    return ()
