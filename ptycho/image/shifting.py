"""Move an image by a fraction of a pixel without letting anything wrap around or leak in."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ptycho.errors import DataError

# A quintic B-spline spans six samples: three on either side of a point between pixels.
_SPLINE_ORDER = 5
_SUPPORT_PX = 3
# The prefilter of the spline forgets by a factor 0.43 per pixel.
_MARGIN_PX = 12
_NO_SHIFT_PX = 1e-9


def place(
    image: np.ndarray, origin_yx: tuple[float, float], shape_yx: tuple[int, int], mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `ptycho.image.place_image` documents: values and covered pixels, each `shape_yx`."""
    valid = _checked_mask(image, origin_yx, mask)
    # Halves up, so that 0.5 and 1.5 are moved by the same fraction; rounding to even would not do that.
    whole = np.floor(np.asarray(origin_yx, dtype=np.float64) + 0.5)  # (2,)
    fraction = np.asarray(origin_yx, dtype=np.float64) - whole  # (2,) in [-0.5, 0.5)
    moved, covered = _moved_by_fraction(image, fraction, valid)  # (h, w) each
    values, landed = np.zeros(shape_yx, moved.dtype), np.zeros(shape_yx, bool)
    rows, columns = (
        _overlap(int(start), size, target)
        for start, size, target in zip(whole, image.shape, shape_yx, strict=True)
    )
    into, out_of = (rows[0], columns[0]), (rows[1], columns[1])
    values[into] = np.where(covered[out_of], moved[out_of], 0)
    landed[into] = covered[out_of]
    return values, landed


def whole_mask(image: np.ndarray) -> np.ndarray:
    """Return the mask (h, w) that leaves out no pixel."""
    return np.ones(image.shape, bool)


def _checked_mask(image: np.ndarray, origin_yx: tuple[float, float], mask: np.ndarray) -> np.ndarray:
    if not np.isfinite(origin_yx).all():
        raise DataError(f"the origin {tuple(origin_yx)} must be two finite numbers (row, column) in pixels.")
    valid = np.asarray(mask, dtype=bool)
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
    extended = _extended(image, valid)  # (h + 24, w + 24)
    moved = ndimage.shift(extended, np.where(between, fraction, 0.0), order=_SPLINE_ORDER, mode="mirror")
    reach = np.where(between, _SUPPORT_PX, 0)  # an axis left alone needs no neighbours
    inner = slice(_MARGIN_PX, -_MARGIN_PX)
    return moved[inner, inner], ndimage.binary_erosion(valid, np.ones(2 * reach + 1, bool))


def _extended(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Continue the image into its invalid pixels and a margin by point reflection in the nearest valid pixel.

    Keeping value and slope across the edge keeps the spline's coefficients inside from ringing.
    """
    image, valid = np.pad(image, _MARGIN_PX), np.pad(valid, _MARGIN_PX)
    # (2, H, W): row and column of the valid pixel nearest to each.
    near = np.asarray(ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True))
    outside = np.nonzero(~valid)
    edge = near[0][outside], near[1][outside]
    mirrored = [
        np.clip(2 * nearest - pixel, 0, size - 1)
        for nearest, pixel, size in zip(edge, outside, image.shape, strict=True)
    ]
    reflection = np.where(valid[mirrored[0], mirrored[1]], image[mirrored[0], mirrored[1]], image[edge])
    image[outside] = 2 * image[edge] - reflection  # f(e + d) = 2 f(e) - f(e - d)
    return image


def _overlap(start: int, size: int, target: int) -> tuple[slice, slice]:
    """Return the slice of the new frame and that of the image that hold the same pixels."""
    low, high = max(start, 0), min(start + size, target)
    high = max(low, high)
    return slice(low, high), slice(low - start, high - start)
