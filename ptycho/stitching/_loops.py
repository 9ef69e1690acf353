"""Compiled loops of the CPU stitcher: weights, division, and the way back; `_vectors` has the one that adds patches.

Importing this module imports numba; only `_cpu` does so.
"""

from __future__ import annotations

import numpy as np

from ptycho._compiled.compiling import compiled
from ptycho.stitching._vectors import FINITE, add_band, add_corner_weights

__all__ = ["FINITE", "add_band", "add_corner_weights", "box_blocks", "extract", "square_band"]


@compiled
def _box_row(out, points, side, scratch):
    """Write the sums of `side` neighbouring points: ``out[j] = sum(points[j - side + 1 : j + 1])``.

    Sums of 1, 2, 4, … neighbours are made by doubling, and those that make up `side` are added. Nothing is
    ever subtracted: no cancellation, and what no point reaches is exactly zero.

    Parameters
    ----------
    out : (W,) float64
    points : (W - side + 1,) float64
    scratch : (2, side + W) float64
        The first `side` columns are zero and stay so.
    """
    n, width = points.size, out.size
    # The binary digits of `side` say which of the sums make it up: 20 = 16 + 4 takes four doublings and two additions.
    doubled, doubled_again = scratch[0], scratch[1]  # (side + W,) each
    doubled[side : side + n] = points
    doubled[side + n :] = 0.0
    out[:] = 0.0
    reach, length = 0, 1
    while True:
        if side & length:
            shifted = doubled[side - reach : side - reach + width]  # sums that end `reach` columns before j
            for j in range(width):
                out[j] += shifted[j]
            reach += length
        if 2 * length > side:
            return
        # A sum of `length` points that ends at j and one that ends at j - length: 2 length points that end at j.
        near, far, total = doubled[side:], doubled[side - length :], doubled_again[side:]
        for j in range(width):
            total[j] = near[j] + far[j]
        doubled, doubled_again = doubled_again, doubled
        length *= 2


@compiled
def box_blocks(weights, image, values, floor, corner_weights, side, first_block, last_block):
    """Box-sum the point map into pixel weights and divide the sums by them, in blocks of `side` rows.

    A vertical window is the tail of one block of rows plus the head of the next. Blocks are counted from
    row 0, so the result does not depend on how they are shared out.

    Parameters
    ----------
    weights : (H, W) float64, or (0, W)
        Receives the weights unless it is empty.
    image : (H, 2 W) float32, or (0, 2 W)
        Receives ``values / (floor + weight)``, or 0 where the weight is at most `floor`, unless it is empty.
    values : (H, 2 W) float32 or float64
    corner_weights : (H - side + 1, W - side + 1) float64
    first_block, last_block : int
        Rows ``first_block * side`` … ``last_block * side - 1`` are written.
    """
    height, width = corner_weights.shape[0] + side - 1, corner_weights.shape[1] + side - 1
    # Heads and tails of blocks: a window costs the same whatever its height, as in van Herk's running maximum
    # (doi:10.1016/0167-8655(92)90069-C), and like it takes nothing away again.
    tails = np.zeros((side + 1, width))  # rows r … side - 1 of the block before, added up
    current = np.zeros((side, width))  # the block's rows, each box-summed along itself
    head, weight = np.zeros(width), np.zeros(width)  # rows 0 … r of the block; the window that ends at r
    scratch = np.zeros((2, side + width))
    # The block before the first is worked through for its tails alone.
    for block in range(max(first_block - 1, 0), last_block):
        head[:] = 0.0
        for r in range(side):
            row = block * side + r
            if row < corner_weights.shape[0]:
                _box_row(current[r], corner_weights[row], side, scratch)
            else:
                current[r, :] = 0.0
            if block >= first_block and row < height:
                for j in range(width):
                    head[j] += current[r, j]
                    weight[j] = head[j] + tails[r + 1, j]
                if weights.shape[0] > 0:
                    weights[row] = weight
                if image.shape[0] > 0:
                    _divide_row(image[row], values[row], weight, floor)
        for r in range(side - 1, -1, -1):
            for j in range(width):
                tails[r, j] = tails[r + 1, j] + current[r, j]


@compiled
def _divide_row(image, values, weight, floor):
    for j in range(weight.size):
        scale = 1.0 / (floor + weight[j]) if weight[j] > floor else 0.0  # one division for both parts
        image[2 * j] = np.float32(values[2 * j] * scale)
        image[2 * j + 1] = np.float32(values[2 * j + 1] * scale)


@compiled
def square_band(squares, patches, first, side, top_left, fraction, finite, row_begin, row_end):
    """Add |shifted crop|² / weight to rows `row_begin` … `row_end - 1` of `squares` (H, W) float64.

    Inside a crop the weight is 1. At its edges shifted value and weight both fade; their quotient is the
    patch's own value there, which enters with that weight.
    """
    blend = np.zeros(2 * side)  # a row of the crop, shifted along the column
    for p in range(finite.size):
        if not finite[p]:
            continue
        top, left = top_left[p, 0], top_left[p, 1]
        f_y, f_x = fraction[p, 0], fraction[p, 1]
        # A fraction f moves the share f of each pixel on by one, so the last row spills over into one more.
        for row in range(max(top, row_begin), min(top + side + (1 if f_y > 0 else 0), row_end)):
            r = row - top
            w_above, w_below = (f_y if r > 0 else 0.0), (1.0 - f_y if r < side else 0.0)
            # What is clamped to the crop here has weight 0.
            above = patches[p, first + max(r - 1, 0), 2 * first : 2 * (first + side)]
            below = patches[p, first + min(r, side - 1), 2 * first : 2 * (first + side)]
            for k in range(2 * side):
                blend[k] = w_above * above[k] + w_below * below[k]
            # With w the shifted weight, v / w is the patch's own value, and w |v / w|² = |v|² / w.
            share = 1.0 / (w_above + w_below)
            target = squares[row, left : left + side + (1 if f_x > 0 else 0)]
            for c in range(1, side):
                real = f_x * blend[2 * c - 2] + (1.0 - f_x) * blend[2 * c]
                imaginary = f_x * blend[2 * c - 1] + (1.0 - f_x) * blend[2 * c + 1]
                target[c] += share * (real * real + imaginary * imaginary)
            # At either edge one pixel alone fades: |f v|² / (f w).
            target[0] += share * (1.0 - f_x) * (blend[0] ** 2 + blend[1] ** 2)
            if f_x > 0:
                target[side] += share * f_x * (blend[2 * side - 2] ** 2 + blend[2 * side - 1] ** 2)


@compiled
def extract(crops, image, top_left, fraction):
    """Interpolate an image at the pixels of every crop: (n, M, M) complex128 from (H, W) complex128."""
    height, width = image.shape
    side = crops.shape[1]
    for p in range(crops.shape[0]):
        f_y, f_x = fraction[p, 0], fraction[p, 1]
        for r in range(side):
            row = top_left[p, 0] + r
            row_below = min(row + 1, height - 1)  # beyond the canvas f is 0
            for c in range(side):
                column = top_left[p, 1] + c
                column_right = min(column + 1, width - 1)
                # The weights with which adding writes these four pixels: hence the adjoint.
                crops[p, r, c] = (1 - f_y) * (
                    (1 - f_x) * image[row, column] + f_x * image[row, column_right]
                ) + f_y * ((1 - f_x) * image[row_below, column] + f_x * image[row_below, column_right])
