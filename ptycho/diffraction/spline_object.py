"""An object as a cubic spline: patches of it at any position, between pixels too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho._showing.one_line import OneLine
from ptycho.errors import DataError

# Coefficients beyond each side of the object: a patch that ends at its border needs one before it and two after.
MARGIN_PX = 2
# Spline coefficients that a pixel between them hangs on, along an axis.
TAPS = 4
_BATCH = 256


@dataclass(frozen=True, eq=False, repr=False)
class SplineObject(OneLine):
    """The transmission of an object as coefficients of cubic B-splines, one a pixel.

    Sub-pixel positions are met by cubic spline interpolation, which keeps far more of the fine detail than a
    bilinear one. A patch is linear in the coefficients and touches `TAPS` of them along an axis for each of its
    pixels, so what can be computed patch by patch stays local.

    Attributes
    ----------
    coefficients : (H + 4, W + 4) complex64
        Mirrored `MARGIN_PX` pixels beyond each side of the object.
    """

    coefficients: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray) -> SplineObject:
        """Return the spline that goes through every pixel of `image`.

        Parameters
        ----------
        image : (H, W) complex64
            Both sides of at least 3 pixels.

        Returns
        -------
        SplineObject
        """
        # SciPy's image functions take as long to load as all the rest of reading a scan, which needs none of them.
        from scipy import ndimage

        coefficients = ndimage.spline_filter(
            np.asarray(image, dtype=np.complex64),
            order=3,
            mode="mirror",
            output=np.complex64,  # pyright: ignore[reportArgumentType]
        )
        return cls(np.pad(coefficients, MARGIN_PX, mode="reflect"))

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns of the object."""
        rows, columns = self.coefficients.shape
        return rows - 2 * MARGIN_PX, columns - 2 * MARGIN_PX

    def image(self) -> np.ndarray:
        """Return the object at its pixels.

        Returns
        -------
        (H, W) complex64
        """
        rows = (self.coefficients[:-2] + 4 * self.coefficients[1:-1] + self.coefficients[2:]) / 6
        image = (rows[:, :-2] + 4 * rows[:, 1:-1] + rows[:, 2:]) / 6
        inner = slice(MARGIN_PX - 1, 1 - MARGIN_PX)
        return np.ascontiguousarray(image[inner, inner])

    def patches(self, positions_yx: np.ndarray, patch_size: int) -> np.ndarray:
        """Return the patches under `positions_yx`.

        Parameters
        ----------
        positions_yx : (n, 2) float64
            Patch centres in pixels of the object, row first.
        patch_size : int
            Side N of a patch in pixels.

        Returns
        -------
        (n, N, N) complex64

        Raises
        ------
        DataError
            A patch reaches outside the object.
        """
        positions = np.asarray(positions_yx, dtype=np.float64)
        check_inside(self.shape_yx, positions, patch_size)
        taps = patch_size + TAPS - 1
        windows = np.lib.stride_tricks.sliding_window_view(self.coefficients, (taps, taps))
        first, weights = spline_taps(positions, patch_size)
        patches = np.empty((len(positions), patch_size, patch_size), np.complex64)
        for start in range(0, len(positions), _BATCH):
            batch = slice(start, start + _BATCH)
            chosen = windows[first[batch, 0], first[batch, 1]]
            rows = _weighted_taps(chosen, weights[batch, :, 0], patch_size)
            patches[batch] = _weighted_taps(rows.swapaxes(1, 2), weights[batch, :, 1], patch_size).swapaxes(
                1, 2
            )
        return patches


def extract_patches(object_image: np.ndarray, positions_yx: np.ndarray, patch_size: int) -> np.ndarray:
    """Cut patches out of an object at sub-pixel positions, by cubic spline interpolation.

    Parameters
    ----------
    object_image : (H, W) complex64
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object, row first.
    patch_size : int
        Side N of a patch in pixels.

    Returns
    -------
    (n, N, N) complex64

    Raises
    ------
    DataError
        A patch reaches outside the object.
    """
    check_inside(np.shape(object_image), np.asarray(positions_yx, dtype=np.float64), patch_size)
    return SplineObject.of(object_image).patches(positions_yx, patch_size)


def spline_taps(positions_yx: np.ndarray, patch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which coefficients of a `SplineObject` make the first pixel of each patch, and their weights.

    Parameters
    ----------
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object, row first.
    patch_size : int
        Side N of a patch in pixels.

    Returns
    -------
    first : (n, 2) int64
        Row and column, in `SplineObject.coefficients`, of the first of the 4 x 4 coefficients under the patch's
        pixel (0, 0); those of its pixel (i, j) lie i rows down and j columns to the right.
    weights : (n, 4, 2) float32
        Along rows and along columns.
    """
    corners = positions_yx - patch_size / 2
    whole = np.floor(corners).astype(np.int64)
    return whole + MARGIN_PX - 1, _cubic_spline_weights(corners - whole)


def spline_slopes(positions_yx: np.ndarray, patch_size: int) -> np.ndarray:
    """Return how the weights of `spline_taps` change as a position moves.

    Parameters
    ----------
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object, row first.
    patch_size : int
        Side N of a patch in pixels.

    Returns
    -------
    (n, 4, 2) float32
        Their derivatives, per pixel: in place of the weights along one axis they give the slope of a patch along it.
    """
    corners = positions_yx - patch_size / 2
    signed = (corners - np.floor(corners))[:, None, :] - np.array([-1, 0, 1, 2])[None, :, None]
    distance = np.abs(signed)
    slope = np.where(distance < 1, -2 * distance + 1.5 * distance**2, -((2 - distance) ** 2) / 2)
    return (np.sign(signed) * slope).astype(np.float32)


def check_inside(object_shape: tuple[int, ...], positions_yx: np.ndarray, patch_size: int) -> None:
    """Refuse patches that reach outside an object.

    Parameters
    ----------
    object_shape : (int, int)
        Rows and columns.
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object, row first.
    patch_size : int
        Side N of a patch in pixels.

    Raises
    ------
    DataError
        A patch does.
    """
    half = patch_size / 2
    outside = ((positions_yx < half) | (positions_yx > np.array(object_shape) - half)).any(axis=1)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise DataError(
            f"{int(outside.sum())} of {len(positions_yx)} patches reach outside the object of {object_shape} pixels, "
            f"first number {first} centred at (y, x) = ({positions_yx[first, 0]:g}, {positions_yx[first, 1]:g}); "
            f"keep centres {half:g} pixels from every side."
        )


def _weighted_taps(windows: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Sum four views of `windows` (n, size + 3, ·), each a row further down, with `weights` (n, 4)."""
    total = weights[:, 0, None, None] * windows[:, :size]
    for tap in range(1, TAPS):
        total += weights[:, tap, None, None] * windows[:, tap : tap + size]
    return total


def _cubic_spline_weights(fraction: np.ndarray) -> np.ndarray:
    """Weights (n, 4, 2) of the spline coefficients at pixels -1, 0, 1, 2 for `fraction` (n, 2) in [0, 1).

    The cubic B-spline of Unser, doi:10.1109/79.799930, equation 7.
    """
    distance = np.abs(fraction[:, None, :] - np.array([-1, 0, 1, 2])[None, :, None])
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = (2 - distance) ** 3 / 6
    return np.where(distance < 1, inner, outer).astype(np.float32)
