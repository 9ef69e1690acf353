"""Which part of an image to look at: rectangles from positions, from coverage, about the centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.errors import DataError


@dataclass(frozen=True)
class Rectangle:
    """Rows ``row_start … row_stop - 1`` and columns ``column_start … column_stop - 1`` of an image.

    Attributes
    ----------
    row_start, row_stop : int
        First row, and the one behind the last.
    column_start, column_stop : int
        First column, and the one behind the last.
    """

    row_start: int
    row_stop: int
    column_start: int
    column_stop: int

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.row_stop - self.row_start, self.column_stop - self.column_start

    @property
    def origin_yx(self) -> tuple[int, int]:
        """Pixel of the surrounding image that becomes pixel (0, 0)."""
        return self.row_start, self.column_start

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return self.shape_yx[0] * self.shape_yx[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index that cuts the rectangle out of an (H, W) array."""
        return slice(self.row_start, self.row_stop), slice(self.column_start, self.column_stop)

    def moved_by(self, offset_yx: tuple[int, int]) -> Rectangle:
        """Return the rectangle so many rows further down and columns further right.

        Parameters
        ----------
        offset_yx : (int, int)
            Rows and columns, in pixels.

        Returns
        -------
        Rectangle
            Of the same shape.
        """
        rows, columns = offset_yx
        return Rectangle(
            self.row_start + rows,
            self.row_stop + rows,
            self.column_start + columns,
            self.column_stop + columns,
        )

    def of(self, image: np.ndarray) -> np.ndarray:
        """Cut the rectangle out of an image.

        Parameters
        ----------
        image : (H, W) array

        Returns
        -------
        (h, w) array
            A view.
        """
        return image[self.slices]


def whole_image(shape_yx: tuple[int, int]) -> Rectangle:
    """Return the rectangle that holds every pixel.

    Parameters
    ----------
    shape_yx : (int, int)
        Rows and columns.

    Returns
    -------
    Rectangle
    """
    return Rectangle(0, shape_yx[0], 0, shape_yx[1])


def window_of_positions(positions_yx: np.ndarray, *, crop_size: int, shape_yx: tuple[int, int]) -> Rectangle:
    """Return the pixels that the central crops of patches at these positions can touch.

    A crop of M pixels centred at ``c`` starts at row ``c - M//2`` (`docs/conventions.md`); a fractional centre
    touches one row more.

    Parameters
    ----------
    positions_yx : (n, 2) float64
        Patch centres in pixels of the image, row first.
    crop_size : int
        Side M of the crop in pixels.
    shape_yx : (int, int)
        Shape of the image; the window is cut to it.

    Returns
    -------
    Rectangle
        In pixels of the image.

    Raises
    ------
    DataError
        No crop touches the image.
    """
    positions = np.asarray(positions_yx, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2 or not len(positions):
        raise DataError(f"positions_yx has shape {positions.shape} but must be (n, 2) with n > 0, row first.")
    low = np.floor(positions.min(axis=0)).astype(int) - crop_size // 2
    high = np.ceil(positions.max(axis=0)).astype(int) - crop_size // 2 + crop_size
    start, stop = np.maximum(low, 0), np.minimum(high, shape_yx)
    if (start >= stop).any():
        raise DataError(
            f"the scan covers rows {low[0]}…{high[0] - 1} and columns {low[1]}…{high[1] - 1}, which lies outside "
            f"the image of {shape_yx[0]}x{shape_yx[1]} pixels; check the order (row, column) and the origin "
            "of the positions."
        )
    return Rectangle(int(start[0]), int(stop[0]), int(start[1]), int(stop[1]))


def object_window(centres_yx: np.ndarray, crop_size: int) -> Rectangle:
    """Return the pixels of the object under any central crop of these patches.

    Parameters
    ----------
    centres_yx : (n, 2) float64
        Patch centres in pixels of the object, row first.
    crop_size : int
        Side M of the crops.

    Returns
    -------
    Rectangle
        May reach beyond any image of the object.
    """
    low = np.floor(centres_yx.min(axis=0)).astype(int) - crop_size // 2
    high = np.floor(centres_yx.max(axis=0)).astype(int) - crop_size // 2 + crop_size + 1
    return Rectangle(int(low[0]), int(high[0]), int(low[1]), int(high[1]))


def largest_rectangle(mask: np.ndarray) -> Rectangle:
    """Return the largest axis-aligned rectangle of true pixels; of equals, the one that ends first.

    Row by row each column knows how far the true run above it reaches, and how far that height extends left
    and right; every step is one vectorised pass, so the cost is O(H·W).

    Parameters
    ----------
    mask : (H, W) bool
        True where the image is covered.

    Returns
    -------
    Rectangle

    Raises
    ------
    DataError
        No pixel is true.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.ndim != 2 or not mask.any():
        raise DataError(
            f"the coverage mask of shape {mask.shape} has no covered pixel; check that positions and crop size "
            "put patches inside the image."
        )
    width = mask.shape[1]
    columns = np.arange(width)
    height, left, right = np.zeros(width, int), np.zeros(width, int), np.full(width, width)
    best_area, best = 0, whole_image((0, 0))
    for row, covered in enumerate(mask):
        height = np.where(covered, height + 1, 0)
        run_start = np.maximum.accumulate(np.where(covered, 0, columns + 1))
        run_stop = np.minimum.accumulate(np.where(covered, width, columns)[::-1])[::-1]
        left = np.where(covered, np.maximum(left, run_start), 0)
        right = np.where(covered, np.minimum(right, run_stop), width)
        area = height * (right - left)
        column = int(np.argmax(area))
        if area[column] > best_area:
            best_area = int(area[column])
            best = Rectangle(row + 1 - int(height[column]), row + 1, int(left[column]), int(right[column]))
    return best


def centre_crop(image: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """Cut the central pixels out of an image, starting at ``(size - target) // 2``.

    Parameters
    ----------
    image : (H, W) array
    shape_yx : (int, int)
        Rows h and columns w that are wanted.

    Returns
    -------
    (h, w) array
        A view.

    Raises
    ------
    DataError
        The image is smaller than the crop.
    """
    start = [(size - target) // 2 for size, target in zip(image.shape, shape_yx, strict=True)]
    if min(start) < 0:
        raise DataError(
            f"an image of shape {image.shape} cannot be centre-cropped to {shape_yx}; ask for at most its own shape."
        )
    return image[start[0] : start[0] + shape_yx[0], start[1] : start[1] + shape_yx[1]]
