"""Compiled loops of the CPU stitcher. Importing this module imports numba; only `_cpu` does so.

Complex rows are handled as rows of float32 twice as long (real, imaginary, real, …): a bilinear shift by
one column is then a shift by two floats, and the inner loops are plain multiply-adds that vectorise. Arrays
are flat and indices unsigned, because numba's handling of negative indices would keep them from doing so.

Every canvas pixel belongs to one band of rows, and each band walks through the patches in their given order.
The additions into one pixel therefore happen in the same order, with the same roundings, whatever the number
of bands, threads or batches.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types  # noqa: TID253 - imported by `_cpu` inside a function
from numba.extending import intrinsic  # noqa: TID253

_COMPILE = {"nogil": True, "cache": True, "fastmath": {"contract"}, "error_model": "numpy"}

UNSEEN, FINITE, REJECTED = 0, 1, 2
# IEEE 754 single precision: the exponent bits, all of which are set in an infinity and in a NaN.
_EXPONENT_BITS = 0x7F800000
_MAGNITUDE_BITS = 0x7FFFFFFF
# A cache line of 64 bytes, counted in float32.
_CACHE_LINE = 16
_PAIR = np.uint64(2)


@intrinsic
def _prefetch(typing_context, array, index):
    """Ask the processor to fetch ``array[index]`` into its cache; no other effect, and no fault if outside."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        integer = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, integer, integer, integer])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        # For reading (0), to be kept in every cache level (3), as data (1).
        builder.call(prefetch, [pointer, integer(0), integer(3), integer(1)])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


@njit(**_COMPILE)
def _is_finite(bits, start, stride, side):
    """True if no pixel of the crop is an infinity or a NaN: an integer maximum, because that vectorises."""
    largest = np.int32(0)
    for row in range(side):
        line = np.uint64(start + row * stride)
        for j in range(np.uint64(2 * side)):
            largest = max(largest, bits[line + j] & np.int32(_MAGNITUDE_BITS))
    return largest < np.int32(_EXPONENT_BITS)


@njit(**_COMPILE)
def _prefetch_row(floats, start, side):
    for j in range(np.uint64(0), np.uint64(2 * side), np.uint64(_CACHE_LINE)):
        _prefetch(floats, np.uint64(start) + j)  # pyright: ignore[reportCallIssue]


@njit(**_COMPILE)
def _add_row(canvas, at, patches, above, below, side, w_above, w_below, f_x):
    """Blend two crop rows vertically and horizontally and add them to one canvas row.

    `at`, `above` and `below` are the first floats of the three rows.
    """
    a0, a1 = np.float32(w_above * (1.0 - f_x)), np.float32(w_above * f_x)
    b0, b1 = np.float32(w_below * (1.0 - f_x)), np.float32(w_below * f_x)
    at, above, below = np.uint64(at), np.uint64(above), np.uint64(below)
    for j in range(_PAIR):
        canvas[at + j] += a0 * patches[above + j] + b0 * patches[below + j]
    at2, above2, below2 = at + _PAIR, above + _PAIR, below + _PAIR
    inner = np.uint64(2 * side - 2)
    for j in range(inner):
        canvas[at2 + j] += (a0 * patches[above2 + j] + b0 * patches[below2 + j]) + (
            a1 * patches[above + j] + b1 * patches[below + j]
        )
    if f_x > 0:
        for j in range(inner, inner + _PAIR):
            canvas[at2 + j] += a1 * patches[above + j] + b1 * patches[below + j]


@njit(**_COMPILE)
def add_band(canvas, width, patches, bits, size, first, side, top_left, fraction, status, row_begin, row_end):
    """Add to canvas rows `row_begin` … `row_end - 1` whatever the patches put there.

    While one patch is added the crop of the next one is prefetched: crops lie far apart in memory, and the
    processor's own prefetching does not guess the gaps.

    Parameters
    ----------
    canvas : (2 H W,) float32 or float64
        Interleaved sums, changed in place inside the band only.
    width : int
        W.
    patches : (2 n N N,) float32
        Interleaved patches.
    bits : (2 n N N,) int32
        The same memory as `patches`.
    size, first, side : int
        N; rows and columns `first` … `first + side - 1` are the crop.
    top_left : (n, 2) int64
        Canvas row and column of the first crop pixel, rounded down.
    fraction : (n, 2) float64
        What the rounding took away, in [0, 1).
    status : (n,) uint8
        UNSEEN on entry; becomes FINITE or REJECTED. Bands may race for it: they write the same value.
    """
    n, stride = status.size, 2 * size
    crop_offset = first * stride + 2 * first
    following = _next_in_band(top_left, 0, side, row_begin, row_end)
    while following < n:
        p = following
        following = _next_in_band(top_left, p + 1, side, row_begin, row_end)
        start = p * size * stride + crop_offset
        next_start = following * size * stride + crop_offset
        if status[p] == UNSEEN:
            status[p] = FINITE if _is_finite(bits, start, stride, side) else REJECTED
        if status[p] == REJECTED:
            continue
        top, left, f_y, f_x = top_left[p, 0], top_left[p, 1], fraction[p, 0], fraction[p, 1]
        for row in range(max(top, row_begin), min(top + side + (1 if f_y > 0 else 0), row_end)):
            r = row - top
            if following < n and r < side:
                _prefetch_row(patches, next_start + r * stride, side)
            w_above, w_below = (f_y if r > 0 else 0.0), (1.0 - f_y if r < side else 0.0)
            above, below = start + max(r - 1, 0) * stride, start + min(r, side - 1) * stride
            at = 2 * (row * width + left)
            _add_row(canvas, at, patches, above, below, side, w_above, w_below, f_x)


@njit(**_COMPILE)
def _next_in_band(top_left, p, side, row_begin, row_end):
    """Index of the first patch from `p` on that reaches into the band; the number of patches if none does."""
    while p < top_left.shape[0] and not (top_left[p, 0] < row_end and top_left[p, 0] + side >= row_begin):
        p += 1
    return p


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
