"""What is refused before any work is done, each with the value, the expectation and the remedy."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from autobatch import imported_tensorflow

# Further out, float64 has no fractions of a pixel any more.
_FURTHEST_PX = 2.0**52


def check_integer(value: Any, name: str) -> int:
    """Return `value` as a Python int; NumPy integers are welcome, floats and bools are not."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r} but must be an integer.")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r} but must be an integer; convert it with int().") from None


def check_crop_size(crop_size: Any, patch_size: int | None = None) -> int:
    """Return the crop side M as an int, refusing what does not satisfy 0 < M (<= N, where N is known)."""
    side = check_integer(crop_size, "crop_size M")
    if side < 1:
        raise ValueError(f"crop_size M is {side} but must satisfy 0 < M <= N; pass at least 1.")
    if patch_size is not None and side > patch_size:
        raise ValueError(
            f"crop_size M is {side} but must satisfy 0 < M <= N = {patch_size}; "
            "pass a size between 1 and the side of the patches."
        )
    return side


def check_threads(n_threads: Any) -> int | None:
    """Return a number of threads as an int >= 1, or None where none is given."""
    if n_threads is None:
        return None
    count = check_integer(n_threads, "n_threads")
    if count < 1:
        raise ValueError(f"n_threads is {count} but must be at least 1, or None for every processor.")
    return count


def check_eager(*arrays: Any) -> None:
    """Refuse what TensorFlow hands to a function while it traces it: it has no values yet."""
    tensorflow = imported_tensorflow()
    if tensorflow is not None and any(tensorflow.is_symbolic_tensor(array) for array in arrays):
        raise TypeError(
            "patches or offsets are a symbolic tensor without values; stitch outside of tf.function and Keras layers."
        )


def numpy_dtype(array: Any) -> np.dtype:
    """Return the dtype of a NumPy, HDF5 or TensorFlow array as NumPy's."""
    dtype = array.dtype
    return np.dtype(getattr(dtype, "as_numpy_dtype", dtype))


def check_patches(patches: Any) -> tuple[int, int]:
    """Return (n, N) of patches shaped (n, N, N) complex64, refusing anything else.

    Raises
    ------
    TypeError
        If the dtype is not complex64.
    ValueError
        If the shape is not that of n square patches.
    """
    shape = tuple(int(side) for side in patches.shape)
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] == 0:
        raise ValueError(f"patches have shape {shape} but must be (n, N, N): one square patch per position.")
    if numpy_dtype(patches) != np.complex64:
        raise TypeError(
            f"patches are {numpy_dtype(patches)} but must be complex64; cast them with "
            "patches.astype(numpy.complex64), or tf.cast(patches, tf.complex64) for a tensor."
        )
    return shape[0], shape[1]


def check_positions(positions_yx: Any) -> np.ndarray:
    """Return patch centres as an array (n, 2) float64 of finite numbers.

    Raises
    ------
    TypeError
        If the dtype is not float64: float32 would move patches by 1e-2 px far from the origin.
    ValueError
        If the shape is not (n, 2), or a coordinate is not finite or too large for fractions of a pixel.
    """
    dtype = numpy_dtype(positions_yx) if hasattr(positions_yx, "dtype") else np.dtype(np.float64)
    if dtype != np.float64:
        raise TypeError(
            f"positions are {dtype} but must be float64 pixels; cast them with "
            "positions.astype(numpy.float64), or tf.cast(positions, tf.float64) for a tensor."
        )
    positions = np.asarray(positions_yx, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(f"positions have shape {positions.shape} but must be (n, 2): row, column per patch.")
    finite = np.isfinite(positions)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        raise ValueError(
            f"{bad.size} of {len(positions)} positions are not finite, the first at index {bad[0]} "
            f"({positions[bad[0], 0]}, {positions[bad[0], 1]}); remove these frames and their patches."
        )
    if positions.size and max(positions.max(), -positions.min()) > _FURTHEST_PX:
        worst = int(np.abs(positions).max(axis=1).argmax())
        y, x = positions[worst]
        raise ValueError(
            f"position {worst} is (y, x) = ({y:g}, {x:g}) pixels but must lie within {_FURTHEST_PX:g} pixels of "
            "the origin; check its unit, or remove that frame."
        )
    return positions


def check_counts(n_patches: int, n_positions: int) -> None:
    """Refuse patches and positions that differ in number."""
    if n_patches != n_positions:
        raise ValueError(
            f"{n_patches} patches came with {n_positions} positions but each patch needs exactly one; "
            "select the same frames in both."
        )


def check_shape(shape_yx: Sequence[Any], crop_size: int) -> tuple[int, int]:
    """Return canvas rows and columns as ints, refusing a canvas smaller than one crop."""
    if len(shape_yx) != 2:
        raise ValueError(f"the canvas shape is {tuple(shape_yx)} but must be (rows, columns).")
    height, width = (check_integer(side, "canvas shape") for side in shape_yx)
    if min(height, width) < crop_size:
        raise ValueError(
            f"a canvas of {height}x{width} pixels cannot hold one crop of {crop_size}x{crop_size}; "
            "pass a larger shape or a smaller crop_size."
        )
    return height, width


def check_offsets(global_offsets: Any) -> np.ndarray:
    """Return (n, 2) float64 (y, x) positions from offsets whose last pair is (x, y).

    Parameters
    ----------
    global_offsets : (n, 1, 2, 1), (n, 1, 1, 2) or (n, 2) float64
        Patch centres in pixels, x (right) before y (down).

    Raises
    ------
    TypeError, ValueError
        As `check_positions`, and for any other shape.
    """
    shape = tuple(int(side) for side in global_offsets.shape)
    if shape[1:] not in ((1, 2, 1), (1, 1, 2), (2,)):
        raise ValueError(
            f"offsets have shape {shape} but must be (n, 1, 2, 1), (n, 1, 1, 2) or (n, 2), "
            "the pair being (x, y)."
        )
    return check_positions(np.asarray(global_offsets).reshape(shape[0], 2)[:, ::-1])


def check_origin(origin_yx: Sequence[float]) -> tuple[float, float]:
    """Return the origin as two finite floats (y, x)."""
    if len(origin_yx) != 2 or not np.isfinite(origin_yx).all():
        raise ValueError(f"origin_yx is {tuple(origin_yx)} but must be two finite numbers (y, x).")
    return float(origin_yx[0]), float(origin_yx[1])


def check_choice(value: str | None, choices: tuple[str | None, ...], name: str) -> Any:
    """Return `value` if it is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r} but must be one of {', '.join(map(repr, choices))}.")
    return value
