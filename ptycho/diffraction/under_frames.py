"""An image that covers a part of what the frames saw, spread over all of it."""

from __future__ import annotations

import numpy as np

from ptycho.errors import DataError


def spread_under_frames(
    values: np.ndarray,
    covered: np.ndarray,
    origin_yx: tuple[float, float],
    positions_yx: np.ndarray,
    patch_size: int,
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Return the image on all pixels that any frame saw, on the same pixel grid.

    A stitched image ends where the crops do; whole frames reach further. Pixels that are not covered take the value
    of the nearest one that is: any other guess would put an edge into the frames at the border.

    Parameters
    ----------
    values : (h, w) complex64
    covered : (h, w) bool
        Pixels that hold the image.
    origin_yx : (float, float)
        Pixel of the object under ``values[0, 0]``.
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object, row first.
    patch_size : int
        Side N of a frame in pixels.

    Returns
    -------
    image : (H, W) complex64
        Every patch lies inside it.
    covered : (H, W) bool
        Pixels that the image given covered.
    origin_yx : (float, float)
        Pixel of the object under ``image[0, 0]``.

    Raises
    ------
    DataError
        No pixel under a frame is covered.
    """
    from scipy import ndimage

    first, shape_yx = _bounds(positions_yx - np.asarray(origin_yx), patch_size)
    image, known = np.zeros(shape_yx, np.complex64), np.zeros(shape_yx, bool)
    into, out_of = _shared(first, shape_yx, values.shape)
    image[into], known[into] = values[out_of], covered[out_of]
    if not known.any():
        raise DataError(
            f"the image of {values.shape[0]}x{values.shape[1]} pixels at (y, x) = ({origin_yx[0]:g}, {origin_yx[1]:g}) "
            "covers no pixel that a frame saw; pass the image of this very scan."
        )
    # (2, H, W): row and column of the covered pixel nearest to each.
    near = np.asarray(ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True))
    origin = origin_yx[0] + int(first[0]), origin_yx[1] + int(first[1])
    return image[near[0], near[1]], known, origin


def _bounds(positions_yx: np.ndarray, patch_size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the first pixel under all patches, (2,) int64, and how many rows and columns they span."""
    low = np.floor(positions_yx.min(axis=0) - patch_size / 2).astype(np.int64)
    high = np.ceil(positions_yx.max(axis=0) + patch_size / 2).astype(np.int64)
    rows, columns = (int(size) for size in high - low)
    return low, (rows, columns)


def _shared(
    first: np.ndarray, shape_yx: tuple[int, int], image_shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the pixels that both hold, in the frame that begins at `first` and in the image."""
    starts = [max(int(low), 0) for low in first]
    stops = [
        max(start, min(int(low) + size, there))
        for start, low, size, there in zip(starts, first, shape_yx, image_shape, strict=True)
    ]
    out_of = slice(starts[0], stops[0]), slice(starts[1], stops[1])
    into = tuple(
        slice(start - int(low), stop - int(low))
        for start, stop, low in zip(starts, stops, first, strict=True)
    )
    return (into[0], into[1]), out_of
