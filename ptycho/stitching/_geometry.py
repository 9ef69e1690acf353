"""Where a patch lands: crop window, canvas around a scan, whole pixels and fractions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A position may leave the canvas by this much through rounding alone (float64 at 1e9 px from the origin).
_EDGE_TOLERANCE_PX = 1e-6


@dataclass(frozen=True)
class Placement:
    """Bilinear placement of n crops on a canvas.

    Attributes
    ----------
    top_left : (n, 2) int64
        Canvas (row, column) of the first crop pixel, rounded down.
    fraction : (n, 2) float64
        The rest, in [0, 1).
    """

    top_left: np.ndarray
    fraction: np.ndarray

    def __len__(self) -> int:
        """Number of crops placed."""
        return self.top_left.shape[0]

    def __getitem__(self, items: slice) -> Placement:
        """Placement of some of the crops."""
        return Placement(self.top_left[items], self.fraction[items])


def crop_start(patch_size: int, crop_size: int) -> int:
    """First row and column of the central `crop_size` pixels of a patch: ``N//2 - M//2``."""
    return patch_size // 2 - crop_size // 2


def canvas_around(positions_yx: np.ndarray, *, crop_size: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """Find the square canvas centred on the mean position that holds every crop.

    The padding on each side is the largest distance from the mean along either axis, rounded up to an even
    number of pixels.

    Parameters
    ----------
    positions_yx : (n, 2) float64
        Patch centres in pixels, n >= 1.
    crop_size : int
        Side M of the crops.

    Returns
    -------
    shape_yx : tuple of int
        Rows and columns.
    origin_yx : tuple of float
        Object (row, column) of canvas pixel (0, 0).
    """
    mean = positions_yx.mean(axis=0)  # (2,) float64
    # Contiguous columns: a maximum along the long axis of an (n, 2) array takes ten times as long.
    reach = max(np.abs(positions_yx[:, axis] - mean[axis]).max() for axis in range(2))
    pad = int(np.ceil(reach))
    # Even, and as large on every side, because callers of `reassemble_position` know the image so.
    pad += pad % 2
    side = crop_size + 2 * pad
    return (side, side), (float(mean[0]) - pad - crop_size // 2, float(mean[1]) - pad - crop_size // 2)


def place(
    positions_yx: np.ndarray, *, shape_yx: tuple[int, int], origin_yx: tuple[float, float], crop_size: int
) -> Placement:
    """Turn patch centres in the object's frame into whole canvas pixels and fractions.

    Raises
    ------
    ValueError
        If a crop does not lie wholly on the canvas.
    """
    # In the order that the kernel is compiled for.
    exact = np.ascontiguousarray(positions_yx) - np.asarray(origin_yx) - crop_size // 2  # (n, 2)
    furthest = np.asarray(shape_yx, dtype=np.float64) - crop_size
    inside = np.minimum(np.maximum(exact, 0.0), furthest)
    outside = np.abs(inside - exact) > _EDGE_TOLERANCE_PX
    if outside.any():
        worst = int(np.flatnonzero(outside.any(axis=1))[0])
        y, x = positions_yx[worst]
        raise ValueError(
            f"patch {worst} at (y, x) = ({y:g}, {x:g}) does not lie wholly on the canvas of "
            f"{shape_yx[0]}x{shape_yx[1]} pixels whose origin is ({origin_yx[0]:g}, {origin_yx[1]:g}); "
            "make the canvas with Canvas.around(all positions)."
        )
    # Down and not to the nearest: a fraction in [0, 1) moves a pixel one way only.
    whole = np.floor(inside)
    return Placement(whole.astype(np.int64), inside - whole)
