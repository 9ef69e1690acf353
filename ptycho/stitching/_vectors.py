"""The compiled loop that adds patches to the canvas, in vectors of 16 floats.

Complex rows are handled as rows of float32 twice as long (real, imaginary, real, …): a bilinear shift by
one column is then a shift by two floats. The loop is written in vectors because a compiler finds them
only where it can prove that rows of canvas and patches do not overlap, which here it cannot. Processors
with shorter vectors do each operation in two or four steps.

Every canvas pixel belongs to one band of rows, and each band walks through the patches in their given order.
The additions into one pixel therefore happen in the same order, with the same roundings, whatever the number
of bands, threads or batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types  # noqa: TID253 - imported by `_cpu` inside a function
from numba.core import cgutils  # noqa: TID253
from numba.extending import intrinsic, models, register_model  # noqa: TID253

from ptycho._compiled.compiling import compiled

UNSEEN, FINITE, REJECTED = 0, 1, 2

_LANES = 16  # one AVX-512 register, two of AVX, four of SSE or NEON
_FLOAT_BYTES = 4
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, _LANES), ir.VectorType(_INT, _LANES)  # <16 x float>, <16 x i32>
_ZEROS = ir.Constant(_FLOATS, [0.0] * _LANES)
# IEEE 754 single precision: the exponent bits, all of which are set in an infinity and in a NaN.
_EXPONENT_BITS = 0x7F800000
_MAGNITUDE_BITS = 0x7FFFFFFF
# Rows of a patch that are added at a time: they and the canvas under them fit into a first-level cache of
# 32 KB up to M = 128.
_BLOCK_ROWS = 16
# A cache line of 64 bytes, counted in float32.
_CACHE_LINE = 16
# Parts of a crop's row: its first vector, one of the following, and the rest with the column that a shift adds.
_FIRST, _NEXT, _REST = 0, 1, 2


class _VectorType(types.Type):
    """16 float32, as numba's compiler knows them."""

    def __init__(self) -> None:
        super().__init__(name=f"Float32Vector{_LANES}")


_VECTOR = _VectorType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)  # a value in registers, never an array


def _operation(define: Any) -> Any:
    """Mark a function that tells numba the types and the code of an operation on vectors.

    `numba.extending.intrinsic`, under a type that lets compiled functions call it with their own arguments.
    """
    return intrinsic(define)


@_operation
def _zeros(typing):
    """Sixteen zeros."""
    return _VECTOR(), lambda context, builder, signature, arguments: _ZEROS


@_operation
def _load(typing, array, index):
    """Floats ``array[index]`` … ``array[index + 15]``."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], arguments, _FLOATS)
        return builder.load(pointer, align=_FLOAT_BYTES)  # rows begin at any float

    return _VECTOR(array, types.int64), generate


@_operation
def _add_to(typing, array, index, vector):
    """Add a vector to ``array[index]`` … ``array[index + 15]``, float32 or float64."""

    def generate(context, builder, signature, arguments):
        element = context.get_data_type(signature.args[0].dtype)
        kind, n_bytes = ir.VectorType(element, _LANES), signature.args[0].dtype.bitwidth // 8
        pointer = _pointer(context, builder, signature.args[0], arguments, kind)
        added = arguments[2] if element == _FLOAT else builder.fpext(arguments[2], kind)
        builder.store(builder.fadd(builder.load(pointer, align=n_bytes), added), pointer, align=n_bytes)
        return context.get_dummy_value()

    return types.void(array, types.int64, vector), generate


@_operation
def _blend(typing, here, weight, before, weight_before):
    """``weight * here + weight_before * before``."""

    def generate(context, builder, signature, arguments):
        here, weight, before, weight_before = arguments
        # Fused where the processor can; every band runs this same code, so every band rounds alike.
        product = builder.fmul(_spread(builder, weight), here)
        return _call(builder, "llvm.fmuladd", _FLOATS, _spread(builder, weight_before), before, product)

    return _VECTOR(here, types.float32, before, types.float32), generate


@_operation
def _one_pixel_later(typing, vector):
    """Move all floats up by two lanes; zeros come in."""
    lanes = [_LANES - 2 + lane for lane in range(_LANES)]  # of zeros and vector in a row: 14 … 29
    return _VECTOR(vector), lambda context, builder, signature, arguments: builder.shuffle_vector(
        _ZEROS, arguments[0], ir.Constant(_INTS, lanes)
    )


@_operation
def _one_pixel_earlier(typing, vector):
    """Move all floats down by two lanes; zeros come in."""
    lanes = [2 + lane for lane in range(_LANES)]  # of vector and zeros in a row: 2 … 17
    return _VECTOR(vector), lambda context, builder, signature, arguments: builder.shuffle_vector(
        arguments[0], _ZEROS, ir.Constant(_INTS, lanes)
    )


@_operation
def _keep_last(typing, vector, count):
    """Zero all but the last `count` floats."""
    from_end = ir.Constant(_INTS, [_LANES - lane for lane in range(_LANES)])  # 16, 15, … 1

    def generate(context, builder, signature, arguments):
        kept = builder.icmp_signed("<=", from_end, _spread(builder, builder.trunc(arguments[1], _INT)))
        return builder.select(kept, arguments[0], _ZEROS)

    return _VECTOR(vector, types.int64), generate


@_operation
def _larger_magnitude(typing, one, other):
    """Take the larger modulus, lane by lane; an infinity counts as larger than any number, a NaN as larger yet."""
    magnitude = ir.Constant(_INTS, [_MAGNITUDE_BITS] * _LANES)

    def generate(context, builder, signature, arguments):
        # Without their sign, floats are in the order of their bits read as integers; no comparison meets a NaN.
        bits = [builder.and_(builder.bitcast(argument, _INTS), magnitude) for argument in arguments]
        return builder.bitcast(_call(builder, "llvm.smax", _INTS, *bits), _FLOATS)

    return _VECTOR(one, other), generate


@_operation
def _all_finite(typing, vector):
    """True if no lane holds an infinity or a NaN; for what `_larger_magnitude` returned."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_INT, [_INTS])
        reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.smax.v{_LANES}i32")
        largest = builder.call(reduce, [builder.bitcast(arguments[0], _INTS)])
        return builder.icmp_signed("<", largest, _INT(_EXPONENT_BITS))  # infinity equals them, NaN exceeds

    return types.boolean(vector), generate


@_operation
def _prefetch(typing, array, index):
    """Ask the processor to fetch ``array[index]`` into its cache; no other effect, and no fault if outside."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], arguments, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _INT, _INT, _INT])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        # For reading (0), into the second-level cache (2), because the crop in hand fills the first; data (1).
        builder.call(prefetch, [pointer, _INT(0), _INT(2), _INT(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def _pointer(context, builder, array_type, arguments, kind):
    """Address of ``array[index]`` as a pointer to `kind`; array and index are the first two arguments."""
    data = context.make_array(array_type)(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), kind.as_pointer())


def _spread(builder, number):
    """Return the vector that holds one number in every lane."""
    kind = ir.VectorType(number.type, _LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, _INT(0))
    return builder.shuffle_vector(one, one, ir.Constant(_INTS, [0] * _LANES))


def _call(builder, name, kind, *arguments):
    """Call an LLVM intrinsic whose arguments and result are vectors of one kind."""
    element = "f32" if kind == _FLOATS else "i32"
    signature = ir.FunctionType(kind, [kind] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, signature, f"{name}.v{_LANES}{element}")
    return builder.call(function, arguments)


@compiled
def _is_finite(patches, start, stride, side):
    """True if no pixel of the crop is an infinity or a NaN."""
    n = 2 * side
    if n < _LANES:
        for row in range(side):
            for j in range(n):
                if not np.isfinite(patches[start + row * stride + j]):
                    return False
        return True
    largest = largest_last = _zeros()  # largest modulus so far, lane by lane
    for row in range(side):
        at = start + row * stride
        for j in range(0, n - _LANES + 1, _LANES):
            largest = _larger_magnitude(largest, _load(patches, at + j))
        # The last floats of the row, some of them a second time.
        largest_last = _larger_magnitude(largest_last, _load(patches, at + n - _LANES))
    return _all_finite(_larger_magnitude(largest, largest_last))


@compiled
def _prefetch_row(floats, start, side):
    for j in range(0, 2 * side, _CACHE_LINE):
        _prefetch(floats, start + j)


@compiled(inline="always")
def _shifted(patches, at, part, kept, stay, move):
    """One vector of a crop's row, of which `move` goes one pixel to the right; zeros lie beside the crop.

    `at` is where the vector begins, for the rest of a row 16 floats before the row's end; `kept` counts the
    floats of the rest.
    """
    here = _load(patches, at)
    if part == _FIRST:
        return _blend(here, stay, _one_pixel_later(here), move)  # nothing lies to the left
    if part == _NEXT:
        return _blend(here, stay, _load(patches, at - 2), move)  # one pixel is two floats
    if move > 0:
        # On the canvas this vector ends a pixel further right than in the crop: what moves lies in place, what stays
        # goes back. Lanes that the vector before has done are zeroed.
        return _keep_last(_blend(_one_pixel_earlier(here), stay, here, move), kept)
    return _keep_last(here, kept)  # nothing moves, so all of it stays


@compiled(inline="always")
def _add_strip(canvas, at, canvas_stride, patches, start, stride, side, begin, end, shares, part, kept):
    """Add rows `begin` … `end - 1` of a strip that is one vector wide."""
    stay_y, move_y, stay_x, move_x = shares
    above = _zeros()
    if begin > 0:
        above = _shifted(patches, start + (begin - 1) * stride, part, kept, stay_x, move_x)
    for row in range(begin, min(end, side)):
        here = _shifted(patches, start + row * stride, part, kept, stay_x, move_x)
        _add_to(canvas, at + row * canvas_stride, _blend(here, stay_y, above, move_y))
        above = here  # shifted along the row once, blended into two rows
    if end > side:  # the row that a fraction adds below the crop
        _add_to(canvas, at + side * canvas_stride, _blend(_zeros(), stay_y, above, move_y))


@compiled
def _add_rows(canvas, at, canvas_stride, patches, start, stride, side, begin, end, shares):
    """Shift a crop down and to the right by less than a pixel and add its rows `begin` … `end - 1`.

    `at` and `start` are the first floats of canvas and crop. `shares` holds what stays of a pixel and what
    moves, first down, then to the right.
    """
    n = 2 * side
    whole = n - n % _LANES  # floats of a row that fill vectors
    if whole == 0:
        _add_narrow(canvas, at, canvas_stride, patches, start, stride, side, begin, end, shares)
        return
    _add_strip(canvas, at, canvas_stride, patches, start, stride, side, begin, end, shares, _FIRST, 0)
    for j in range(_LANES, whole, _LANES):
        at_j, start_j = at + j, start + j
        _add_strip(canvas, at_j, canvas_stride, patches, start_j, stride, side, begin, end, shares, _NEXT, 0)
    rest_end = n + 2 if shares[3] > 0 else n
    kept = rest_end - whole  # floats of the rest, 2 to 16 if there is one
    if kept > 0:
        at_j, start_j = at + rest_end - _LANES, start + n - _LANES
        _add_strip(
            canvas, at_j, canvas_stride, patches, start_j, stride, side, begin, end, shares, _REST, kept
        )


@compiled
def _add_narrow(canvas, at, canvas_stride, patches, start, stride, side, begin, end, shares):
    """Do the work of `_add_rows` for a crop that is narrower than a vector."""
    for row in range(begin, end):
        for column in range(side + 1 if shares[3] > 0 else side):
            for part in range(2):
                value = np.float32(0.0)
                for up in range(2):
                    for left in range(2):
                        r, c = row - up, column - left
                        if 0 <= r < side and 0 <= c < side:
                            pixel = patches[start + r * stride + 2 * c + part]
                            value += (shares[up] * shares[2 + left]) * pixel
                canvas[at + row * canvas_stride + 2 * column + part] += value


@compiled
def _add_corner_weight(corner_weights, top_left, fraction, row_begin, row_end):
    """Add one patch's weights to the rows `row_begin` … `row_end - 1` of the point map."""
    left, f_x = top_left[1], fraction[1]
    for down in range(2):
        row = top_left[0] + down
        weight = fraction[0] if down else 1.0 - fraction[0]
        if weight > 0 and row_begin <= row < row_end:  # no row below the map where f is 0
            corner_weights[row, left] += weight * (1.0 - f_x)
            if f_x > 0:
                corner_weights[row, left + 1] += weight * f_x


@compiled
def add_corner_weights(corner_weights, top_left, fraction, finite):
    """Add each finite patch's four bilinear weights to the (H - M + 1, W - M + 1) float64 point map."""
    for p in range(finite.size):
        if finite[p]:
            _add_corner_weight(corner_weights, top_left[p], fraction[p], 0, corner_weights.shape[0])


@compiled
def add_band(
    canvas, corner_weights, patches, size, first, side, top_left, fraction, status, row_begin, row_end
):
    """Add to rows `row_begin` … `row_end - 1` of canvas and point map whatever the patches put there.

    While one patch is added, the canvas rows that the next one will change are prefetched, and its crop too
    unless that is whole: they lie far apart, and the processor's own prefetching does not guess the gaps.
    A crop without gaps comes fastest by itself, when it is searched for infinities and NaNs.

    Parameters
    ----------
    canvas : (2 H W,) float32 or float64
        Interleaved sums, changed in place inside the band only.
    corner_weights : (H - M + 1, W - M + 1) float64
        Point map of the weights, likewise.
    patches : (2 n N N,) float32
        Interleaved patches.
    size, first, side : int
        N; rows and columns `first` … `first + side - 1` are the crop.
    top_left : (n, 2) int64
        Canvas row and column of the first crop pixel, rounded down.
    fraction : (n, 2) float64
        What the rounding took away, in [0, 1).
    status : (n,) uint8
        UNSEEN on entry; becomes FINITE or REJECTED. Bands may race for it: they write the same value.
    """
    n, stride, canvas_stride = status.size, 2 * size, 2 * (corner_weights.shape[1] + side - 1)  # 2 W
    crop_offset = first * stride + 2 * first  # from a patch's first float to its crop's
    following = _next_in_band(top_left, 0, side, row_begin, row_end)
    while following < n:
        p = following
        following = _next_in_band(top_left, p + 1, side, row_begin, row_end)
        start = p * size * stride + crop_offset
        if status[p] == UNSEEN:
            status[p] = FINITE if _is_finite(patches, start, stride, side) else REJECTED
        if status[p] == REJECTED:
            continue
        upcoming = min(following, n - 1)
        next_start = upcoming * size * stride + crop_offset
        next_at = canvas_stride * top_left[upcoming, 0] + 2 * top_left[upcoming, 1]
        _add_corner_weight(corner_weights, top_left[p], fraction[p], row_begin, row_end)
        top, at = top_left[p, 0], canvas_stride * top_left[p, 0] + 2 * top_left[p, 1]
        shares = _shares(fraction[p, 0], fraction[p, 1])
        begin, end = max(row_begin - top, 0), min(row_end - top, side + 1 if fraction[p, 0] > 0 else side)
        for block in range(begin, end, _BLOCK_ROWS):
            block_end = min(block + _BLOCK_ROWS, end)
            for row in range(block, min(block_end, side)):
                if side < size:
                    _prefetch_row(patches, next_start + row * stride, side)
                _prefetch_row(canvas, next_at + row * canvas_stride, side)
            _add_rows(canvas, at, canvas_stride, patches, start, stride, side, block, block_end, shares)


@compiled
def _shares(f_y, f_x):
    """What stays and what moves, down and to the right.

    Each is rounded by itself: 1 less a rounded fraction would be far off, relatively, where little stays.
    """
    return np.float32(1.0 - f_y), np.float32(f_y), np.float32(1.0 - f_x), np.float32(f_x)


@compiled
def _next_in_band(top_left, p, side, row_begin, row_end):
    """Index of the first patch from `p` on that reaches into the band; the number of patches if none does."""
    while p < top_left.shape[0] and not (top_left[p, 0] < row_end and top_left[p, 0] + side >= row_begin):
        p += 1
    return p
