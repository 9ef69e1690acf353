"""One image laid on another: the two halves of registration, a shift and a phase ramp, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ptycho.errors import DataError
from ptycho.image._fourier import fast_shape, fft2, ifft2
from ptycho.image._phasor_peak import refine_peak
from ptycho.image.phase import PhaseRamp, fit_phase_ramp
from ptycho.image.shifting import place, whole_mask

LEAST_OVERLAP_PX = 256
_COARSE_SIDE_PX = 512
_TAPER_FRACTION = 0.1


@dataclass(frozen=True, eq=False)
class Field:
    """A complex image, zero wherever it means nothing, and weights that fade towards those places.

    Attributes
    ----------
    values : (H, W) complex128
    valid : (H, W) bool
    taper : (H, W) float64
        0 at the edge of what is valid (the frame's border included), 1 well inside.
    """

    values: np.ndarray
    valid: np.ndarray
    taper: np.ndarray

    @classmethod
    def checked(cls, image: np.ndarray, mask: np.ndarray | None, name: str) -> Field:
        """Check the caller's image and mask (see `register`) and convert them."""
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
        return cls.whole(values, valid)

    @classmethod
    def whole(cls, values: np.ndarray, valid: np.ndarray) -> Field:
        """Give an image (H, W), zero where it is not valid, the weights that belong to it."""
        return cls(values, valid, _taper(valid))

    @property
    def conjugated(self) -> Field:
        """The complex conjugate, whose phase has the other sign."""
        return replace(self, values=self.values.conj())

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> Field:
        """Return the field with its values, what is valid and the taper turned, or padded, alike."""
        return Field(change(self.values), change(self.valid), change(self.taper))

    def without(self, slope_yx: tuple[float, float]) -> Field:
        """Return the field free of a phase ramp about its centre."""
        return replace(self, values=PhaseRamp(0.0, slope_yx).removed_from(self.values))

    def binned(self, factor: int) -> Field:
        """Return means over blocks of `factor` x `factor` pixels; a ramp must be out before."""
        if factor == 1:
            return self
        return Field(
            block_means(self.values, factor),
            block_means(self.valid, factor) == 1,
            block_means(self.taper, factor),
        )


def _taper(valid: np.ndarray) -> np.ndarray:
    """Return weights that rise smoothly from the edge of the valid region inwards."""
    # The frame's own border is an edge too, hence the ring of invalid pixels around it.
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(valid, 1)))[1:-1, 1:-1]  # (H, W) pixels
    width = max(2.0, _TAPER_FRACTION * float(np.sqrt(valid.sum())))  # a tenth of a square of that area
    return np.sin(np.pi / 2 * np.clip(depth / width, 0, 1)) ** 2


@dataclass(frozen=True, eq=False)
class Overlay:
    """The moving image laid on the reference: both tapered alike, mean-free, the ramp between them gone."""

    offset_yx: tuple[float, float]
    ramp: PhaseRamp
    moved: np.ndarray
    target: np.ndarray
    weights: np.ndarray
    n_pixels: int

    @property
    def weighted_px(self) -> float:
        """Number of pixels that weigh as much as all do under their weights."""
        squares = self.weights**2
        return float(squares.sum() ** 2 / max((squares**2).sum(), np.finfo(np.float64).tiny))

    def side_of_independent_px(self, n_independent: float) -> float:
        """Return the side in pixels of one of so many squares that make up what was compared."""
        return float(np.sqrt(self.weighted_px / max(n_independent, 1.0)))

    @property
    def agreement(self) -> float:
        """The correlation with a sign: that of variations in phase with those of the reference, -1 for opposite ones.

        The ramp between the images is mostly that of their means, so that variations of equal sign are in phase.
        """
        product = float(np.linalg.norm(self.moved) * np.linalg.norm(self.target))
        return float(np.vdot(self.target, self.moved).real) / product if self.correlation else 0.0

    @property
    def correlation(self) -> float:
        """Modulus of the normalised correlation; 0 if too little overlaps to speak of."""
        product = float(np.linalg.norm(self.moved) * np.linalg.norm(self.target))
        if self.n_pixels < LEAST_OVERLAP_PX or product == 0:
            return 0.0
        return float(abs(np.vdot(self.target, self.moved))) / product

    def remaining_shift_yx(self) -> tuple[float, float]:
        """Return the shift, at most a few pixels, that would still improve the match."""
        # Lags are short and the fields fade to zero, so the periodic correlation equals the linear one.
        if self.correlation == 0:
            return 0.0, 0.0
        shape = fast_shape(*self.moved.shape)
        # If `moved` lies s pixels off, this is |T|² exp(-i ω·s): its phasors turn at a rate -s, the shift to apply.
        cross_power = fft2(self.moved, shape) * fft2(self.target, shape).conj()
        start = _peak_shift(cross_power)
        angular = [2 * np.pi * np.fft.fftfreq(size) for size in shape]  # rad/px, so rates are in pixels
        return refine_peak(cross_power, *angular, start_yx=start, step_yx=(1.0, 1.0)).rate_yx


def overlay_at(
    moving: Field, reference: Field, offset_yx: tuple[float, float], slope_yx: tuple[float, float]
) -> Overlay:
    """Shift `moving`, free of a first ramp, onto `reference` and fit the ramp that is left.

    The ramp comes out before the Fourier shift: it moves the spectrum, and what it moves past Nyquist would
    be shifted the wrong way. Tapered fields have no edge to ring, so here, unlike in an image to be scored,
    the Fourier shift has no error at all.
    """
    moved = _fourier_moved(moving.without(slope_yx).values * moving.taper, offset_yx)
    faded = ndimage.shift(moving.taper, offset_yx, order=1)  # (H, W), smooth: linear will do
    rest = fit_phase_ramp(moved * reference.values.conj() * reference.taper)  # of moved relative to reference
    weights = faded * reference.taper
    moved = rest.removed_from(moved) * reference.taper
    target = weights * reference.values
    # Means make any two bright images alike. Subtracted under the weights, the sum is zero and the edge stays faded.
    variations = [field - weights * (field.sum() / max(weights.sum(), 1e-300)) for field in (moved, target)]
    # The first ramp came out before the shift: exp(i k·r) moved by d is exp(i k·(r - d)), less by k·d.
    turned = slope_yx[0] * offset_yx[0] + slope_yx[1] * offset_yx[1]
    total = (slope_yx[0] + rest.slope_yx[0], slope_yx[1] + rest.slope_yx[1])
    n_pixels = int((_moved_whole(moving.valid, offset_yx) & reference.valid).sum())
    ramp = PhaseRamp(rest.offset - turned, total)
    return Overlay(offset_yx, ramp, variations[0], variations[1], weights, n_pixels)


def _moved_whole(image: np.ndarray, offset_yx: tuple[float, float]) -> np.ndarray:
    whole = (float(np.rint(offset_yx[0])), float(np.rint(offset_yx[1])))
    values, _ = place(image, whole, (image.shape[0], image.shape[1]), whole_mask(image))
    return values.astype(image.dtype, copy=False)


def _fourier_moved(image: np.ndarray, offset_yx: tuple[float, float]) -> np.ndarray:
    fraction = np.subtract(offset_yx, np.rint(offset_yx))  # -0.5 … 0.5; whole pixels are copied
    shape = fast_shape(*image.shape)
    # The shift theorem: f(r - d) has the spectrum F(q) exp(-2πi q·d).
    turns = [np.exp(-2j * np.pi * f * np.fft.fftfreq(size)) for f, size in zip(fraction, shape, strict=True)]
    spectrum = fft2(image, shape) * turns[0][:, None] * turns[1]
    return _moved_whole(ifft2(spectrum)[: image.shape[0], : image.shape[1]], offset_yx)


def coarse_shift(moving: Field, reference: Field) -> tuple[float, float]:
    """Return the best shift in whole pixels over the whole range, each image under its own taper."""
    # Padded to all lags of two images, so that no shift is taken for its complement by wrapping round.
    shape = fast_shape(*(2 * size - 1 for size in moving.values.shape))
    cross_power = fft2(mean_free(moving.values, moving.taper), shape)
    cross_power *= fft2(mean_free(reference.values, reference.taper), shape).conj()
    return _peak_shift(cross_power)


def mean_free(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return `weights` times `values`, (H, W) each, less the weighted mean, so that their sum is zero."""
    return weights * (values - (weights * values).sum() / weights.sum())


def _peak_shift(cross_power: np.ndarray) -> tuple[float, float]:
    surface = np.abs(ifft2(cross_power))  # (H', W'), a lag per pixel, negative ones in the second half
    index = np.unravel_index(np.argmax(surface), surface.shape)
    y, x = (float(i if i <= size // 2 else i - size) for i, size in zip(index, surface.shape, strict=True))
    # The peak says how far the moving image lies away; the shift to apply is its opposite.
    return -y, -x


def binning_factor(shape_yx: tuple[int, ...]) -> int:
    """Return by how much images are binned where all shifts are searched."""
    return -(-max(shape_yx) // _COARSE_SIDE_PX)


def block_means(image: np.ndarray, factor: int) -> np.ndarray:
    """Return means over blocks of `factor` x `factor` pixels."""
    height, width = (size // factor for size in image.shape)
    # What does not fill a block is left out: at most `factor` - 1 rows and columns of a coarse search.
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return blocks.mean(axis=(1, 3))
