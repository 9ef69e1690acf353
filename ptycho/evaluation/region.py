"""Which pixels are scored: a rectangle, as SSIM windows and Fourier transforms need it, but for its small holes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage

from ptycho.image.cropping import Rectangle, largest_rectangle, whole_image

# A hole may be as large as one bad pixel is after a shift by a fraction of a pixel, three times a side; and all of
# them together so small that what fills them decides no figure (docs/metrics.md).
LARGEST_HOLE_PX = 144
MOST_IN_HOLES = 0.03
_FILL_SIGMA_PX = 3.0


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels that are scored.

    Attributes
    ----------
    window : Rectangle
        In the frame of the mask.
    valid : (h, w) bool
        Pixels of the window that count; the others are small holes.
    share : float
        How many of the covered pixels these are.
    """

    window: Rectangle
    valid: np.ndarray
    share: float

    @property
    def has_holes(self) -> bool:
        """Whether a pixel of the window does not count."""
        return not self.valid.all()

    @classmethod
    def of_mask(cls, mask: np.ndarray | None, shape_yx: tuple[int, int]) -> Region:
        """Lay the largest rectangle whose holes are small.

        Parameters
        ----------
        mask : (H, W) bool, optional
            Covered pixels; default all.
        shape_yx : (int, int)
            Of the image.

        Raises
        ------
        DataError
            No pixel is covered.
        """
        if mask is None:
            return cls(whole_image(shape_yx), np.ones(shape_yx, bool), 1.0)
        mask = np.asarray(mask, bool)
        n_covered = max(int(np.count_nonzero(mask)), 1)
        window = largest_rectangle(mask | _small_holes(mask))
        valid = window.of(mask)
        if np.count_nonzero(~valid) > MOST_IN_HOLES * valid.size:
            window = largest_rectangle(mask)
            valid = window.of(mask)
        return cls(window, valid, float(np.count_nonzero(valid) / n_covered))

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Return the window of a complex image (H, W) in complex128, 0 in its holes."""
        return np.where(self.valid, self.window.of(image), 0).astype(np.complex128)

    def filled(self, image: np.ndarray) -> np.ndarray:
        """Return a real or complex image (h, w) whose holes hold a weighted mean of the pixels around them.

        The weights are a Gaussian of 3 pixels (Knutsson and Westin 1993, normalised convolution,
        https://doi.org/10.1109/CVPR.1993.341081), so that no detail is made up.
        """
        if not self.has_holes:
            return image
        weights = _blurred(self.valid.astype(np.float64))
        means = _blurred(np.where(self.valid, image, 0)) / np.maximum(weights, np.finfo(np.float64).tiny)
        return np.where(self.valid, image, means)


def _blurred(image: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(image):
        return _blurred(np.real(image)) + 1j * _blurred(np.imag(image))
    return np.asarray(ndimage.gaussian_filter(image, _FILL_SIGMA_PX))


def _small_holes(mask: np.ndarray) -> np.ndarray:
    """Return pixels (H, W) bool that are not covered and lie in small holes, away from the border of the frame."""
    labels = np.asarray(cast(tuple[np.ndarray, int], ndimage.label(~mask))[0], dtype=np.intp)
    sizes = np.bincount(labels.ravel())
    small = sizes <= LARGEST_HOLE_PX
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    small[border] = False
    small[0] = False
    return small[labels]
