"""Move an image by a fraction of a pixel without letting anything wrap around or leak in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ptycho.errors import DataError

# A quintic B-spline spans six samples: three on either side of a point between pixels.
_SPLINE_ORDER = 5
_SUPPORT_PX = 3
# The prefilter of the spline forgets by a factor 0.43 per pixel.
_MARGIN_PX = 12
_NO_SHIFT_PX = 1e-9


@dataclass(frozen=True, eq=False)
class PlacedImage:
    """An image in a new pixel frame, with the pixels that truly come from it.

    Attributes
    ----------
    image : (H, W), the dtype of the source (integers as float64)
        Zero where not covered.
    covered : (H, W) bool
        True where every sample that the interpolation used was a valid pixel of the source.
    """

    image: np.ndarray
    covered: np.ndarray


def place_image(
    image: np.ndarray,
    *,
    origin_yx: tuple[float, float],
    shape_yx: tuple[int, int],
    mask: np.ndarray | None = None,
) -> PlacedImage:
    """Put `image` into a frame of `shape_yx` pixels so that its pixel (0, 0) lands on `origin_yx`.

    Whole pixels are copied. A fraction (at most half a pixel) is a quintic spline
    (Unser 1999, https://doi.org/10.1109/79.799930): unlike a Fourier shift it is local, so neither the far
    border nor an uncovered region reaches into the image. Pixels whose spline would need an invalid sample
    are reported as not covered.

    Parameters
    ----------
    image : (h, w) real or complex
        Source, finite where `mask` is true.
    origin_yx : (float, float)
        Row and column of the new frame, in pixels; may be negative or fractional.
    shape_yx : (int, int)
        Shape of the new frame.
    mask : (h, w) bool, optional
        Valid pixels of the source; default all.

    Raises
    ------
    DataError
        Image and mask do not fit together, the origin is not finite, or no pixel is valid.
    """
    valid = _checked_mask(image, origin_yx, mask)
    whole = np.floor(np.asarray(origin_yx, dtype=np.float64) + 0.5)
    fraction = np.asarray(origin_yx, dtype=np.float64) - whole
    moved, covered = _moved_by_fraction(image, fraction, valid)
    placed = PlacedImage(np.zeros(shape_yx, moved.dtype), np.zeros(shape_yx, bool))
    rows, columns = (
        _overlap(int(start), size, target)
        for start, size, target in zip(whole, image.shape, shape_yx, strict=True)
    )
    into, out_of = (rows[0], columns[0]), (rows[1], columns[1])
    placed.image[into] = np.where(covered[out_of], moved[out_of], 0)
    placed.covered[into] = covered[out_of]
    return placed


def shift_image(
    image: np.ndarray, offset_yx: tuple[float, float], *, mask: np.ndarray | None = None
) -> PlacedImage:
    """Move the content of `image` by `offset_yx` pixels (down, right) within its own frame.

    See `place_image`; content that leaves the frame is lost, what enters is not covered.
    """
    return place_image(image, origin_yx=offset_yx, shape_yx=(image.shape[0], image.shape[1]), mask=mask)


def _checked_mask(image: np.ndarray, origin_yx: tuple[float, float], mask: np.ndarray | None) -> np.ndarray:
    if not np.isfinite(origin_yx).all():
        raise DataError(f"the origin {tuple(origin_yx)} must be two finite numbers (row, column) in pixels.")
    valid = np.ones(image.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    if image.ndim != 2 or valid.shape != image.shape:
        raise DataError(
            f"image has shape {image.shape} and mask {valid.shape}; both must be the same 2-D shape (h, w)."
        )
    if not valid.any():
        raise DataError("the mask has no valid pixel; there is nothing to place.")
    return valid


def _moved_by_fraction(
    image: np.ndarray, fraction: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if image.dtype.kind not in "fc":
        image = image.astype(np.float64)
    between = np.abs(fraction) > _NO_SHIFT_PX
    if not between.any():
        return image, valid
    extended = _extended(image, valid)
    moved = ndimage.shift(extended, np.where(between, fraction, 0.0), order=_SPLINE_ORDER, mode="mirror")
    reach = np.where(between, _SUPPORT_PX, 0)
    inner = slice(_MARGIN_PX, -_MARGIN_PX)
    return moved[inner, inner], ndimage.binary_erosion(valid, np.ones(2 * reach + 1, bool))


def _extended(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Continue the image into its invalid pixels and a margin by point reflection in the nearest valid pixel.

    Keeping value and slope across the edge keeps the spline's coefficients inside from ringing.
    """
    image, valid = np.pad(image, _MARGIN_PX), np.pad(valid, _MARGIN_PX)
    near = np.asarray(ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True))
    outside = np.nonzero(~valid)
    edge = near[0][outside], near[1][outside]
    mirrored = [
        np.clip(2 * nearest - pixel, 0, size - 1)
        for nearest, pixel, size in zip(edge, outside, image.shape, strict=True)
    ]
    reflection = np.where(valid[mirrored[0], mirrored[1]], image[mirrored[0], mirrored[1]], image[edge])
    image[outside] = 2 * image[edge] - reflection
    return image


def _overlap(start: int, size: int, target: int) -> tuple[slice, slice]:
    """Return the slice of the new frame and that of the source that hold the same pixels."""
    low, high = max(start, 0), min(start + size, target)
    high = max(low, high)
    return slice(low, high), slice(low - start, high - start)
