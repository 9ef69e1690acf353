"""Compiled loops of the CPU stitcher. Importing this module imports numba; only `_cpu` does so.

Complex rows are handled as rows of float32 twice as long (real, imaginary, real, …): a bilinear shift by
one column is then a shift by two floats, and the inner loops are plain multiply-adds that vectorise.

Every canvas pixel belongs to one band of rows, and each band walks through the patches in their given order.
The additions into one pixel therefore happen in the same order, with the same roundings, whatever the number
of bands, threads or batches.
"""

from __future__ import annotations

import numpy as np
from numba import njit  # noqa: TID253 - imported by `_cpu` inside a function

_COMPILE = {"nogil": True, "cache": True, "fastmath": {"contract"}, "error_model": "numpy"}

UNSEEN, FINITE, REJECTED = 0, 1, 2
# IEEE 754 single precision: the exponent bits, all of which are set in an infinity and in a NaN.
_EXPONENT_BITS = 0x7F800000
_MAGNITUDE_BITS = 0x7FFFFFFF


@njit(**_COMPILE)
def _is_finite(bits, first, side):
    """True if no pixel of the crop is an infinity or a NaN: an integer maximum, because that vectorises."""
    largest = np.int32(0)
    for row in range(first, first + side):
        line = bits[row, 2 * first : 2 * (first + side)]
        for j in range(line.size):
            largest = max(largest, line[j] & np.int32(_MAGNITUDE_BITS))
    return largest < np.int32(_EXPONENT_BITS)


@njit(**_COMPILE)
def _add_row(target, above, below, w_above, w_below, w_right):
    """Blend two crop rows vertically and add them to one canvas row at a fractional column.

    `target` has two floats more than the crop row if the shift is fractional, else as many.
    """
    n = above.size
    one = np.float32(1)
    w_left = one - w_right
    a0, a1 = np.float32(w_above * w_left), np.float32(w_above * w_right)
    b0, b1 = np.float32(w_below * w_left), np.float32(w_below * w_right)
    middle, above_next, below_next = target[2:n], above[2:], below[2:]
    for j in range(2):
        target[j] += a0 * above[j] + b0 * below[j]
    for j in range(n - 2):
        middle[j] += (a0 * above_next[j] + b0 * below_next[j]) + (a1 * above[j] + b1 * below[j])
    for j in range(n, target.size):
        target[j] += a1 * above[j - 2] + b1 * below[j - 2]


@njit(**_COMPILE)
def add_band(canvas, patches, bits, first, side, top_left, fraction, status, row_begin, row_end):
    """Add to canvas rows `row_begin` … `row_end - 1` whatever the patches put there.

    Parameters
    ----------
    canvas : (H, 2 W) float32 or float64
        Interleaved sums, changed in place inside the band only.
    patches : (n, N, 2 N) float32, C-contiguous
        Interleaved patches; rows and columns `first` … `first + side - 1` are the crop.
    bits : (n, N, 2 N) int32
        The same memory as `patches`.
    top_left : (n, 2) int64
        Canvas row and column of the first crop pixel, rounded down.
    fraction : (n, 2) float64
        What the rounding took away, in [0, 1).
    status : (n,) uint8
        UNSEEN on entry; becomes FINITE or REJECTED. Bands may race for it: they write the same value.
    """
    for p in range(patches.shape[0]):
        top, left = top_left[p, 0], top_left[p, 1]
        f_y, f_x = fraction[p, 0], fraction[p, 1]
        begin = max(top, row_begin)
        end = min(top + side + (1 if f_y > 0 else 0), row_end)
        if begin >= end:
            continue
        if status[p] == UNSEEN:
            status[p] = FINITE if _is_finite(bits[p], first, side) else REJECTED
        if status[p] == REJECTED:
            continue
        columns = slice(2 * left, 2 * (left + side + (1 if f_x > 0 else 0)))
        crop_columns = slice(2 * first, 2 * (first + side))
        for row in range(begin, end):
            r = row - top
            w_above = f_y if r > 0 else 0.0
            w_below = 1.0 - f_y if r < side else 0.0
            above = patches[p, first + max(r - 1, 0), crop_columns]
            below = patches[p, first + min(r, side - 1), crop_columns]
            _add_row(canvas[row, columns], above, below, w_above, w_below, f_x)


@njit(**_COMPILE)
def add_splats(splats, top_left, fraction, status):
    """Add each finite patch's four bilinear weights to the (H - M + 1, W - M + 1) float64 point map."""
    for p in range(status.size):
        if status[p] != FINITE:
            continue
        top, left = top_left[p, 0], top_left[p, 1]
        f_y, f_x = fraction[p, 0], fraction[p, 1]
        splats[top, left] += (1.0 - f_y) * (1.0 - f_x)
        if f_x > 0:
            splats[top, left + 1] += (1.0 - f_y) * f_x
        if f_y > 0:
            splats[top + 1, left] += f_y * (1.0 - f_x)
        if f_y > 0 and f_x > 0:
            splats[top + 1, left + 1] += f_y * f_x


@njit(**_COMPILE)
def _box_row(out, points, side, tails):
    """Write the sums of `side` neighbouring points: ``out[j] = sum(points[j - side + 1 : j + 1])``.

    Each window is the tail of one block of `side` points plus the head of the next, so nothing is ever
    subtracted: no cancellation, and what no point reaches is exactly zero.
    """
    n = points.size
    tails[:] = 0.0
    for block in range(0, out.size, side):
        head = 0.0
        for r in range(min(side, out.size - block)):
            if block + r < n:
                head += points[block + r]
            out[block + r] = head + tails[r + 1]
        for r in range(side - 1, -1, -1):
            tails[r] = tails[r + 1] + (points[block + r] if block + r < n else 0.0)


@njit(**_COMPILE)
def add_weights(weights, splats, side, first_block, last_block):
    """Box-sum `splats` into the rows of `weights` (float64) that belong to the given blocks of `side` rows.

    The vertical sum uses the same tail-plus-head scheme as `_box_row`, one whole row at a time; blocks are
    counted from row 0, so the result does not depend on how they are shared out.
    """
    width = weights.shape[1]
    tails = np.zeros((side + 1, width))
    current = np.zeros((side, width))
    head = np.zeros(width)
    row_tails = np.zeros(side + 1)
    for block in range(max(first_block - 1, 0), last_block):
        head[:] = 0.0
        for r in range(side):
            row = block * side + r
            if row < splats.shape[0]:
                _box_row(current[r], splats[row], side, row_tails)
            else:
                current[r, :] = 0.0
            if block >= first_block and row < weights.shape[0]:
                for j in range(width):
                    head[j] += current[r, j]
                    weights[row, j] = head[j] + tails[r + 1, j]
        for r in range(side - 1, -1, -1):
            for j in range(width):
                tails[r, j] = tails[r + 1, j] + current[r, j]
