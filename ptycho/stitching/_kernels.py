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
def add_splats(splats, top_left, fraction, finite):
    """Add each finite patch's four bilinear weights to the (H - M + 1, W - M + 1) float64 point map."""
    for p in range(finite.size):
        if not finite[p]:
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
def _box_row(out, points, side, tails, new_tails):
    """Write the sums of `side` neighbouring points: ``out[j] = sum(points[j - side + 1 : j + 1])``.

    Each window is the tail of one block of `side` points plus the head of the next, so nothing is ever
    subtracted: no cancellation, and what no point reaches is exactly zero.
    """
    n = points.size
    tails[:] = 0.0
    for block in range(0, out.size, side):
        head, tail = 0.0, 0.0
        for r in range(min(side, out.size - block)):
            head += points[block + r] if block + r < n else 0.0
            out[block + r] = head + tails[r + 1]
            mirrored = side - 1 - r
            tail += points[block + mirrored] if block + mirrored < n else 0.0
            new_tails[mirrored] = tail
        tails, new_tails = new_tails, tails


@njit(**_COMPILE)
def box_blocks(out, splats, side, first_block, last_block):
    """Box-sum `splats` into the rows of `out` that belong to the given blocks of `side` rows.

    The vertical sum uses the same tail-plus-head scheme as `_box_row`, one whole row at a time; blocks are
    counted from row 0, so the result does not depend on how they are shared out.

    Parameters
    ----------
    out : (H, W) float64
    splats : (H - side + 1, W - side + 1) float64
    """
    width = out.shape[1]
    tails = np.zeros((side + 1, width))
    current = np.zeros((side, width))
    head = np.zeros(width)
    row_tails, row_scratch = np.zeros(side + 1), np.zeros(side + 1)
    for block in range(max(first_block - 1, 0), last_block):
        head[:] = 0.0
        for r in range(side):
            row = block * side + r
            if row < splats.shape[0]:
                _box_row(current[r], splats[row], side, row_tails, row_scratch)
            else:
                current[r, :] = 0.0
            if block >= first_block and row < out.shape[0]:
                for j in range(width):
                    head[j] += current[r, j]
                    out[row, j] = head[j] + tails[r + 1, j]
        for r in range(side - 1, -1, -1):
            for j in range(width):
                tails[r, j] = tails[r + 1, j] + current[r, j]


@njit(**_COMPILE)
def divide_rows(image, values, weights, floor, row_begin, row_end):
    """Write ``values / (floor + weights)`` into rows of `image`, or 0 where the weight is at most `floor`.

    Parameters
    ----------
    image : (H, 2 W) float32
    values : (H, 2 W) float32 or float64
    weights : (H, W) float64
    """
    for row in range(row_begin, row_end):
        for j in range(weights.shape[1]):
            weight = weights[row, j]
            scale = 1.0 / (floor + weight) if weight > floor else 0.0
            image[row, 2 * j] = np.float32(values[row, 2 * j] * scale)
            image[row, 2 * j + 1] = np.float32(values[row, 2 * j + 1] * scale)


@njit(**_COMPILE)
def square_band(squares, patches, first, side, top_left, fraction, finite, row_begin, row_end):
    """Add |shifted crop|² / weight to rows `row_begin` … `row_end - 1` of `squares` (H, W) float64.

    Inside a crop the weight is 1. At its edges shifted value and weight both fade; their quotient is the
    patch's own value there, which enters with that weight.
    """
    for p in range(finite.size):
        if not finite[p]:
            continue
        top, left = top_left[p, 0], top_left[p, 1]
        f_y, f_x = fraction[p, 0], fraction[p, 1]
        for row in range(max(top, row_begin), min(top + side + (1 if f_y > 0 else 0), row_end)):
            r = row - top
            w_above, w_below = (f_y if r > 0 else 0.0), (1.0 - f_y if r < side else 0.0)
            above = patches[p, first + max(r - 1, 0)]
            below = patches[p, first + min(r, side - 1)]
            for c in range(side + (1 if f_x > 0 else 0)):
                w_left, w_right = (f_x if c > 0 else 0.0), (1.0 - f_x if c < side else 0.0)
                left_column, right_column = 2 * (first + max(c - 1, 0)), 2 * (first + min(c, side - 1))
                square = 0.0
                for part in range(2):
                    value = w_left * (
                        w_above * above[left_column + part] + w_below * below[left_column + part]
                    )
                    value += w_right * (
                        w_above * above[right_column + part] + w_below * below[right_column + part]
                    )
                    square += value * value
                squares[row, left + c] += square / ((w_above + w_below) * (w_left + w_right))


@njit(**_COMPILE)
def extract(crops, image, top_left, fraction):
    """Interpolate an image at the pixels of every crop: (n, M, M) complex128 from (H, W) complex128."""
    height, width = image.shape
    side = crops.shape[1]
    for p in range(crops.shape[0]):
        f_y, f_x = fraction[p, 0], fraction[p, 1]
        for r in range(side):
            row = top_left[p, 0] + r
            row_below = min(row + 1, height - 1)
            for c in range(side):
                column = top_left[p, 1] + c
                column_right = min(column + 1, width - 1)
                crops[p, r, c] = (1 - f_y) * (
                    (1 - f_x) * image[row, column] + f_x * image[row, column_right]
                ) + f_y * ((1 - f_x) * image[row_below, column] + f_x * image[row_below, column_right])
