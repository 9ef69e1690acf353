"""`PlacedImage`: an image of the object, which of its pixels hold it, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ptycho._showing.one_line import OneLine
from ptycho.errors import DataError
from ptycho.image.shifting import place, whole_mask

if TYPE_CHECKING:
    from ptycho.image.cropping import Rectangle

# Share of one patch below which a pixel at the rim of a canvas does not count as reconstructed.
COVERED_ABOVE = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class PlacedImage(OneLine):
    """The one form that an image has on its way from canvas to report.

    Attributes
    ----------
    values : (H, W), complex64 for an image of the object
        Zero where not covered.
    covered : (H, W) bool
        Pixels that truly hold the image.
    origin_yx : (float, float), optional
        Pixel of the surrounding frame (the object's) under ``values[0, 0]``; None if it is not known.
    coverage : (H, W) float32, optional
        How many patches lie on each pixel; None for an image that was not stitched from patches.
    """

    values: np.ndarray
    covered: np.ndarray
    origin_yx: tuple[float, float] | None = None
    coverage: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse arrays of different shapes."""
        shapes = {array.shape for array in (self.values, self.covered, self.coverage) if array is not None}
        if len(shapes) > 1 or self.values.ndim != 2:
            raise DataError(
                f"values have shape {self.values.shape}, covered {self.covered.shape}"
                f"{'' if self.coverage is None else f', coverage {self.coverage.shape}'}; all must be the same (H, W)."
            )

    @classmethod
    def of_coverage(
        cls, values: np.ndarray, coverage: np.ndarray, origin_yx: tuple[float, float] | None
    ) -> PlacedImage:
        """Return a stitched image; a pixel is covered where more than a thousandth of a patch lies on it.

        Parameters
        ----------
        values : (H, W) complex64
        coverage : (H, W) float32
            How many patches lie on each pixel.
        origin_yx : (float, float) or None
            Pixel of the surrounding frame under ``values[0, 0]``.

        Returns
        -------
        PlacedImage
        """
        return cls(values, coverage > COVERED_ABOVE, origin_yx, coverage)

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[0], self.values.shape[1]

    def in_window(self, window: Rectangle) -> PlacedImage:
        """Return the image in the frame of `window`, in its middle if it is not known where it lies.

        Parameters
        ----------
        window : Rectangle
            In pixels of the surrounding frame.

        Returns
        -------
        PlacedImage
            As large as the window, zero and not covered where it held nothing.

        Raises
        ------
        DataError
            No pixel is covered.
        """
        if self.origin_yx is None:
            height, width = self.shape_yx
            rows, columns = window.shape_yx
            origin_yx = float((rows - height) // 2), float((columns - width) // 2)
        else:
            origin_yx = self.origin_yx[0] - window.row_start, self.origin_yx[1] - window.column_start
        values, covered = place(self.values, origin_yx, window.shape_yx, self.covered)
        coverage = None
        if self.coverage is not None:
            coverage, _ = place(self.coverage, origin_yx, window.shape_yx, self.covered)
        return PlacedImage(values, covered, window.origin_yx, coverage)

    def shifted(self, offset_yx: tuple[float, float]) -> PlacedImage:
        """Return the image with its content moved by `offset_yx` pixels (down, right) within its frame.

        How many patches lie where is not carried along.

        Parameters
        ----------
        offset_yx : (float, float)
            Pixels down and right.

        Returns
        -------
        PlacedImage
            In the same frame.

        Raises
        ------
        DataError
            No pixel is covered, or the offset is not finite.
        """
        values, covered = place(self.values, offset_yx, self.shape_yx, self.covered)
        return replace(self, values=values, covered=covered, coverage=None)


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
        Valid pixels of the image; default all.

    Returns
    -------
    PlacedImage
        In the dtype of the image (integers as float64), its origin that of the new frame.

    Raises
    ------
    DataError
        Image and mask do not fit together, the origin is not finite, or no pixel is valid.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.image import place_image
    >>> placed = place_image(np.ones((2, 3)), origin_yx=(1, 2), shape_yx=(4, 6))
    >>> placed.values
    array([[0., 0., 0., 0., 0., 0.],
           [0., 0., 1., 1., 1., 0.],
           [0., 0., 1., 1., 1., 0.],
           [0., 0., 0., 0., 0., 0.]])
    >>> int(placed.covered.sum())
    6
    """
    values, covered = place(image, origin_yx, shape_yx, whole_mask(image) if mask is None else mask)
    return PlacedImage(values, covered, (0.0, 0.0))


def shift_image(
    image: np.ndarray, offset_yx: tuple[float, float], *, mask: np.ndarray | None = None
) -> PlacedImage:
    """Move the content of an image within its own frame.

    See `place_image`; content that leaves the frame is lost, what enters is not covered.

    Parameters
    ----------
    image : (H, W) real or complex
        Finite where `mask` is true.
    offset_yx : (float, float)
        Pixels down and right.
    mask : (H, W) bool, optional
        Valid pixels; default all.

    Returns
    -------
    PlacedImage

    Raises
    ------
    DataError
        Image and mask do not fit together, the offset is not finite, or no pixel is valid.
    """
    return place_image(image, origin_yx=offset_yx, shape_yx=(image.shape[0], image.shape[1]), mask=mask)
