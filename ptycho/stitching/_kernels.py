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


def _compiled(function):
    """Compile without the interpreter's lock, and keep the machine code on disk where that can be written."""
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache folder can be written: compile in every process.
        return njit(**options)(function)


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
        # For reading (0), into the second-level cache (2), because the crop in hand fills the first; data (1).
        builder.call(prefetch, [pointer, integer(0), integer(2), integer(1)])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


@_compiled
def _is_finite(bits, start, stride, side):
    """True if no pixel of the crop is an infinity or a NaN: an integer maximum, because that vectorises.

    Four rows at a time share the cost of reducing the vector to a number; the last four may overlap others.
    """
    magnitude = np.int32(_MAGNITUDE_BITS)
    largest = np.int32(0)
    for row in range(0, side, 4):
        a = np.uint64(start + min(row, max(side - 4, 0)) * stride)
        b = np.uint64(start + min(row + 1, max(side - 3, 0)) * stride)
        c = np.uint64(start + min(row + 2, max(side - 2, 0)) * stride)
        d = np.uint64(start + min(row + 3, side - 1) * stride)
        for j in range(np.uint64(2 * side)):
            first, second = bits[a + j] & magnitude, bits[b + j] & magnitude
            third, fourth = bits[c + j] & magnitude, bits[d + j] & magnitude
            largest = max(largest, max(max(first, second), max(third, fourth)))
    return largest < np.int32(_EXPONENT_BITS)


@_compiled
def _prefetch_row(floats, start, side):
    for j in range(np.uint64(0), np.uint64(2 * side), np.uint64(_CACHE_LINE)):
        _prefetch(floats, np.uint64(start) + j)  # pyright: ignore[reportCallIssue]


@_compiled
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


@_compiled
def _add_splat(splats, top_left, fraction, row_begin, row_end):
    """Add one patch's weights to the rows `row_begin` … `row_end - 1` of the point map."""
    left, f_x = top_left[1], fraction[1]
    for down in range(2):
        row = top_left[0] + down
        weight = fraction[0] if down else 1.0 - fraction[0]
        if weight > 0 and row_begin <= row < row_end:
            splats[row, left] += weight * (1.0 - f_x)
            if f_x > 0:
                splats[row, left + 1] += weight * f_x


@_compiled
def add_band(
    canvas, splats, patches, bits, size, first, side, top_left, fraction, status, row_begin, row_end
):
    """Add to rows `row_begin` … `row_end - 1` of canvas and point map whatever the patches put there.

    While one patch is added the crop of the next one is prefetched, and the canvas rows that it will change:
    both lie far apart in memory, and the processor's own prefetching does not guess the gaps.

    Parameters
    ----------
    canvas : (2 H W,) float32 or float64
        Interleaved sums, changed in place inside the band only.
    splats : (H - M + 1, W - M + 1) float64
        Point map of the weights, likewise.
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
    n, stride, width = status.size, 2 * size, splats.shape[1] + side - 1
    crop_offset = first * stride + 2 * first
    following = _next_in_band(top_left, 0, side, row_begin, row_end)
    while following < n:
        p = following
        following = _next_in_band(top_left, p + 1, side, row_begin, row_end)
        upcoming = min(following, n - 1)
        start = p * size * stride + crop_offset
        next_start = upcoming * size * stride + crop_offset
        next_at = 2 * (top_left[upcoming, 0] * width + top_left[upcoming, 1])
        if status[p] == UNSEEN:
            status[p] = FINITE if _is_finite(bits, start, stride, side) else REJECTED
        if status[p] == REJECTED:
            continue
        _add_splat(splats, top_left[p], fraction[p], row_begin, row_end)
        top, left, f_y, f_x = top_left[p, 0], top_left[p, 1], fraction[p, 0], fraction[p, 1]
        for row in range(max(top, row_begin), min(top + side + (1 if f_y > 0 else 0), row_end)):
            r = row - top
            if r < side:
                _prefetch_row(patches, next_start + r * stride, side)
                _prefetch_row(canvas, next_at + 2 * r * width, side)
            w_above, w_below = (f_y if r > 0 else 0.0), (1.0 - f_y if r < side else 0.0)
            above, below = start + max(r - 1, 0) * stride, start + min(r, side - 1) * stride
            at = 2 * (row * width + left)
            _add_row(canvas, at, patches, above, below, side, w_above, w_below, f_x)


@_compiled
def _next_in_band(top_left, p, side, row_begin, row_end):
    """Index of the first patch from `p` on that reaches into the band; the number of patches if none does."""
    while p < top_left.shape[0] and not (top_left[p, 0] < row_end and top_left[p, 0] + side >= row_begin):
        p += 1
    return p


@_compiled
def add_splats(splats, top_left, fraction, finite):
    """Add each finite patch's four bilinear weights to the (H - M + 1, W - M + 1) float64 point map."""
    for p in range(finite.size):
        if finite[p]:
            _add_splat(splats, top_left[p], fraction[p], 0, splats.shape[0])


@_compiled
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
    doubled, doubled_again = scratch[0], scratch[1]
    doubled[side : side + n] = points
    doubled[side + n :] = 0.0
    out[:] = 0.0
    reach, length = 0, 1
    while True:
        if side & length:
            source = doubled[side - reach : side - reach + width]
            for j in range(width):
                out[j] += source[j]
            reach += length
        if 2 * length > side:
            return
        near, far, total = doubled[side:], doubled[side - length :], doubled_again[side:]
        for j in range(width):
            total[j] = near[j] + far[j]
        doubled, doubled_again = doubled_again, doubled
        length *= 2


@_compiled
def box_blocks(weights, image, values, floor, splats, side, first_block, last_block):
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
    splats : (H - side + 1, W - side + 1) float64
    first_block, last_block : int
        Rows ``first_block * side`` … ``last_block * side - 1`` are written.
    """
    height, width = splats.shape[0] + side - 1, splats.shape[1] + side - 1
    tails = np.zeros((side + 1, width))
    current = np.zeros((side, width))
    head, weight = np.zeros(width), np.zeros(width)
    scratch = np.zeros((2, side + width))
    for block in range(max(first_block - 1, 0), last_block):
        head[:] = 0.0
        for r in range(side):
            row = block * side + r
            if row < splats.shape[0]:
                _box_row(current[r], splats[row], side, scratch)
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


@_compiled
def _divide_row(image, values, weight, floor):
    for j in range(weight.size):
        scale = 1.0 / (floor + weight[j]) if weight[j] > floor else 0.0
        image[2 * j] = np.float32(values[2 * j] * scale)
        image[2 * j + 1] = np.float32(values[2 * j + 1] * scale)


@_compiled
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


@_compiled
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
