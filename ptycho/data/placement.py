"""Where scan positions lie on an object: recognised are those that count from another origin than pixel (0, 0)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ptycho.errors import DataError

# A scan does not move by less.
CLOSEST_PX = 0.5
# Below this many places a distance between neighbours says nothing of a scan.
_LEAST_PLACES = 4
# Patches of a scan may leave the object by so much of their side: canvases of small crops hold no more.
_USUAL_OVERHANG = 0.25
# A refinement, or an object cut to whole pixels, leaves so many pixels.
_TOLERANCE_PX = 2.0


def check_on_object(positions_yx: np.ndarray, shape_yx: Sequence[int], patch_size: int) -> None:
    """Refuse patch centres that cannot be those of patches of an object.

    Recognised, by patches that leave the object by about N/2 or H/2 at its upper left and fit once they are shifted,
    are the corners of patches in place of their centres, and positions that count from the object's centre.

    Parameters
    ----------
    positions_yx : (n, 2) float64
        What should be patch centres in the pixel frame of the object, row first.
    shape_yx : (int, int)
        Height H and width W of the object, in pixels.
    patch_size : int
        Side N of a patch, in pixels.

    Raises
    ------
    DataError
        Says by how much the patches leave the object, and which shift mends it.
    """
    shape = np.array(shape_yx, np.float64)
    _refuse_other_origin(positions_yx, shape, patch_size)
    outside = ((positions_yx < 0) | (positions_yx > shape)).any(axis=1)
    if not outside.any():
        return
    swapped = positions_yx[:, ::-1]
    hint = "shift them into the object's pixel frame, or leave the object out"
    if ((swapped >= 0) & (swapped <= shape)).all():
        hint = "x (columns) and y (rows) seem to be swapped, so exchange them"
    first = int(outside.argmax())
    y, x = positions_yx[first]
    raise DataError(
        f"{outside.sum()} of {len(positions_yx)} positions lie outside the object, the first being frame "
        f"{first} at y = {y:.6g}, x = {x:.6g}, but 0 <= y <= {shape[0]:g} and 0 <= x <= {shape[1]:g} is needed; "
        f"{hint}."
    )


def spacing_px(positions_yx: np.ndarray) -> float:
    """Return the median distance of positions (n, 2) to their nearest neighbours; NaN for fewer than 4 places."""
    from scipy.spatial import KDTree

    places = np.unique(positions_yx, axis=0)
    if len(places) < _LEAST_PLACES:
        return math.nan
    return float(np.median(KDTree(places).query(places, k=2)[0][:, 1]))


def _refuse_other_origin(positions_yx: np.ndarray, shape: np.ndarray, patch_size: int) -> None:
    if not spacing_px(positions_yx) >= CLOSEST_PX:
        # In another unit, or one place alone, they fit anywhere.
        return
    beyond = _overhang(positions_yx, shape, patch_size)
    if beyond.min() <= _USUAL_OVERHANG * patch_size:
        return
    origins = (
        ("the corners of the patches, not their centres", np.full(2, patch_size / 2)),
        ("counted from the centre of the object, not from its pixel (0, 0)", (shape - 1) / 2),
    )
    for what, shift in origins:
        if (_overhang(positions_yx + shift, shape, patch_size) <= _TOLERANCE_PX).all():
            raise DataError(
                f"patches of {patch_size} pixels at these positions leave the object of "
                f"{shape[0]:g}x{shape[1]:g} pixels by {beyond[0]:.4g} rows and {beyond[1]:.4g} columns, and fit "
                f"into it once the positions are shifted: they seem to be {what}; add {shift[0]:g} to y (rows) and "
                f"{shift[1]:g} to x (columns)."
            )


def _overhang(positions_yx: np.ndarray, shape: np.ndarray, patch_size: int) -> np.ndarray:
    """Return by how many pixels patches leave the object along each axis, (2,); below 0 if they lie within."""
    half = patch_size / 2
    return np.maximum(half - positions_yx.min(axis=0), positions_yx.max(axis=0) + half - shape)
