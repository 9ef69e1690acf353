"""Find the sub-pixel shift and the phase ramp that carry one complex image onto another.

The two are coupled: a ramp left in spoils the cross-correlation, a shift left in spoils the ramp. Each is
found globally while the other is held, in turn, until the shift rests. Working on the complex field rather
than its modulus keeps the search sharp on objects that are nearly pure phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage
from scipy.fft import next_fast_len

from ptycho.errors import DataError
from ptycho.image._phasor_peak import refine_peak
from ptycho.image.phase import PhaseRamp, fit_phase_ramp
from ptycho.image.shifting import PlacedImage, shift_image

_MAX_ROUNDS = 10
_SETTLED_PX = 1e-3
_GOOD_CORRELATION = 0.5
_LEAST_CORRELATION = 0.1
_LEAST_OVERLAP_PX = 256
# A field that varies by less than this share of its modulus holds nothing to register by.
_FEATURELESS = 1e-3
_TAPER_FRACTION = 0.1


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
    """
    if not max_shift_px > 0:
        raise DataError(f"max_shift_px is {max_shift_px} but must be a positive number of pixels.")
    first = _Field.checked(moving, mask, "moving")
    second = _Field.checked(reference, reference_mask, "reference")
    if first.values.shape != second.values.shape:
        raise DataError(
            f"moving has shape {first.values.shape} and reference {second.values.shape}; "
            "place both in one frame first (place_image)."
        )
    overlay = _best_start(first, second)
    for _ in range(_MAX_ROUNDS):
        step_yx = overlay.remaining_shift_yx()
        offset_yx = (overlay.offset_yx[0] + step_yx[0], overlay.offset_yx[1] + step_yx[1])
        overlay = _overlay(first, second, offset_yx, overlay.ramp.slope_yx)
        if np.hypot(*step_yx) < _SETTLED_PX:
            break
    failure = _featureless(moving=first, reference=second) or _reason_to_doubt(overlay, max_shift_px)
    return Registration(overlay.offset_yx, overlay.ramp, overlay.correlation, overlay.n_pixels, failure)


def aligned(moving: np.ndarray, registration: Registration, *, mask: np.ndarray | None = None) -> PlacedImage:
    """Return `moving` (H, W) shifted by the registration, if plausible; its phase is left as it is."""
    return shift_image(moving, registration.applied_offset_yx, mask=mask)


@dataclass(frozen=True, eq=False)
class _Field:
    """A complex image, zero wherever it means nothing, and weights that fade towards those places."""

    values: np.ndarray
    valid: np.ndarray
    taper: np.ndarray

    @classmethod
    def checked(cls, image: np.ndarray, mask: np.ndarray | None, name: str) -> _Field:
        image = np.asarray(image)
        valid = np.ones(image.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
        if image.ndim != 2 or not np.iscomplexobj(image):
            raise DataError(f"{name} is {image.dtype} {image.shape} but must be a complex 2-D image (H, W).")
        if valid.shape != image.shape or not valid.any():
            raise DataError(
                f"the mask of {name} has shape {valid.shape} and {valid.sum()} true pixels; "
                f"it must have shape {image.shape} and at least one."
            )
        values = np.where(valid, image, 0).astype(np.complex128)
        if not np.isfinite(values).all():
            raise DataError(f"{name} holds values that are not finite; leave those pixels out with a mask.")
        return cls(values, valid, _taper(valid))


def _taper(valid: np.ndarray) -> np.ndarray:
    """Return weights that rise smoothly from the edge of the valid region inwards."""
    # The frame's own border is an edge too, hence the ring of invalid pixels around it.
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(valid, 1)))[1:-1, 1:-1]
    width = max(2.0, _TAPER_FRACTION * float(np.sqrt(valid.sum())))
    return np.sin(np.pi / 2 * np.clip(depth / width, 0, 1)) ** 2


@dataclass(frozen=True, eq=False)
class _Overlay:
    """The moving image laid on the reference: both tapered alike, mean-free, the ramp between them gone."""

    offset_yx: tuple[float, float]
    ramp: PhaseRamp
    moved: np.ndarray
    target: np.ndarray
    n_pixels: int

    @property
    def correlation(self) -> float:
        product = float(np.linalg.norm(self.moved) * np.linalg.norm(self.target))
        if self.n_pixels < _LEAST_OVERLAP_PX or product == 0:
            return 0.0
        return float(abs(np.vdot(self.target, self.moved))) / product

    def remaining_shift_yx(self) -> tuple[float, float]:
        """Return the shift, at most a few pixels, that would still improve the match."""
        # Lags are short and the fields fade to zero, so the periodic correlation equals the linear one.
        if self.correlation == 0:
            return 0.0, 0.0
        shape = _fast_shape(*self.moved.shape)
        cross_power = np.fft.fft2(self.moved, shape) * np.fft.fft2(self.target, shape).conj()
        start = _peak_shift(cross_power)
        angular = [2 * np.pi * np.fft.fftfreq(size) for size in shape]
        return refine_peak(cross_power, *angular, start_yx=start, step_yx=(1.0, 1.0)).rate_yx


def _overlay(
    moving: _Field, reference: _Field, offset_yx: tuple[float, float], slope_yx: tuple[float, float]
) -> _Overlay:
    """Shift `moving`, free of a first ramp, onto `reference` and fit the ramp that is left.

    The ramp comes out before the Fourier shift: it moves the spectrum, and what it moves past Nyquist would
    be shifted the wrong way. Tapered fields have no edge to ring, so here, unlike in an image to be scored,
    the Fourier shift has no error at all.
    """
    flat = PhaseRamp(0.0, slope_yx).removed_from(moving.values) * moving.taper
    moved = _fourier_moved(flat, offset_yx)
    faded = np.real(_fourier_moved(moving.taper, offset_yx))
    rest = fit_phase_ramp(moved * reference.values.conj() * reference.taper)
    weights = faded * reference.taper
    moved = rest.removed_from(moved) * reference.taper
    target = weights * reference.values
    variations = [field - weights * (field.sum() / max(weights.sum(), 1e-300)) for field in (moved, target)]
    turned = slope_yx[0] * offset_yx[0] + slope_yx[1] * offset_yx[1]
    total = (slope_yx[0] + rest.slope_yx[0], slope_yx[1] + rest.slope_yx[1])
    n_pixels = int((_moved_whole(moving.valid, offset_yx) & reference.valid).sum())
    ramp = PhaseRamp(rest.offset - turned, total)
    return _Overlay(offset_yx, ramp, variations[0], variations[1], n_pixels)


def _moved_whole(image: np.ndarray, offset_yx: tuple[float, float]) -> np.ndarray:
    whole = (float(np.rint(offset_yx[0])), float(np.rint(offset_yx[1])))
    return shift_image(image, whole).image.astype(image.dtype, copy=False)


def _fast_shape(*sizes: int) -> list[int]:
    return [cast(int, next_fast_len(size)) for size in sizes]


def _fourier_moved(image: np.ndarray, offset_yx: tuple[float, float]) -> np.ndarray:
    fraction = np.subtract(offset_yx, np.rint(offset_yx))
    shape = _fast_shape(*image.shape)
    turns = [np.exp(-2j * np.pi * f * np.fft.fftfreq(size)) for f, size in zip(fraction, shape, strict=True)]
    spectrum = np.fft.fft2(image, shape) * turns[0][:, None] * turns[1]
    return _moved_whole(np.fft.ifft2(spectrum)[: image.shape[0], : image.shape[1]], offset_yx)


def _best_start(moving: _Field, reference: _Field) -> _Overlay:
    """Try the ramp that the two carriers suggest, then none; stop at the first that clearly fits."""
    overlays = []
    for slope_yx in _likely_slopes(moving, reference):
        first = _overlay(moving, reference, _coarse_shift(moving, reference, slope_yx), slope_yx)
        slope_yx = first.ramp.slope_yx
        overlays.append(_overlay(moving, reference, _coarse_shift(moving, reference, slope_yx), slope_yx))
        if overlays[-1].correlation > _GOOD_CORRELATION:
            break
    return max(overlays, key=lambda overlay: overlay.correlation)


def _likely_slopes(moving: _Field, reference: _Field) -> Iterator[tuple[float, float]]:
    # The strongest Fourier component is the undiffracted wave of any object that is not all phase wraps;
    # a shift leaves it in place and a ramp moves it.
    carriers = [fit_phase_ramp(field.values * field.taper).slope_yx for field in (moving, reference)]
    yield carriers[0][0] - carriers[1][0], carriers[0][1] - carriers[1][1]
    yield 0.0, 0.0


def _coarse_shift(moving: _Field, reference: _Field, slope_yx: tuple[float, float]) -> tuple[float, float]:
    """Return the best shift in whole pixels over the whole range, each image under its own taper."""
    shape = _fast_shape(*(2 * size - 1 for size in moving.values.shape))
    flat = PhaseRamp(0.0, slope_yx).removed_from(moving.values)
    cross_power = np.fft.fft2(_mean_free(flat, moving.taper), shape)
    cross_power *= np.fft.fft2(_mean_free(reference.values, reference.taper), shape).conj()
    return _peak_shift(cross_power)


def _mean_free(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights * (values - (weights * values).sum() / weights.sum())


def _peak_shift(cross_power: np.ndarray) -> tuple[float, float]:
    surface = np.abs(np.fft.ifft2(cross_power))
    index = np.unravel_index(np.argmax(surface), surface.shape)
    y, x = (float(i if i <= size // 2 else i - size) for i, size in zip(index, surface.shape, strict=True))
    # The peak says how far the moving image lies away; the shift to apply is its opposite.
    return -y, -x


def _featureless(**fields: _Field) -> str | None:
    for name, field in fields.items():
        inside = field.values[field.valid]
        flat = fit_phase_ramp(field.values).removed_from(field.values)[field.valid]
        if np.linalg.norm(flat - flat.mean()) <= _FEATURELESS * np.linalg.norm(inside):
            return f"the {name} image is featureless: but for a phase ramp it is constant"
    return None


def _reason_to_doubt(overlay: _Overlay, max_shift_px: float) -> str | None:
    length = float(np.hypot(*overlay.offset_yx))
    if overlay.n_pixels < _LEAST_OVERLAP_PX:
        return f"the images share {overlay.n_pixels} pixels, fewer than {_LEAST_OVERLAP_PX}"
    if overlay.correlation < _LEAST_CORRELATION:
        return (
            f"the images have too little in common (correlation {overlay.correlation:.3f}, "
            f"at least {_LEAST_CORRELATION} needed)"
        )
    if length > max_shift_px:
        return f"the best match needs a shift of {length:.2f} px, beyond the plausible {max_shift_px:g} px"
    return None
