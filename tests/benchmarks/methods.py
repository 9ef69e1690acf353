"""The ways to stitch that are compared: all take patches, positions (y, x) and M, and return an image."""

from __future__ import annotations

import functools

import numpy as np

# The full-canvas method needs time and memory by the canvas per patch; this many patches show its pace.
NAIVE_PATCHES = 40


def _reassemble(patches, positions_yx, crop_size, *, backend):
    from ptycho.stitching import reassemble_position

    return reassemble_position(
        patches[..., None], positions_yx[:, None, None, ::-1], M=crop_size, batch_size="auto", backend=backend
    )


def ptychodus(patches, positions_yx, crop_size):
    """One call of BarycentricArrayStitcher.add_patch per patch, as ptychodus itself does."""
    centres, side = _canvas_centres(positions_yx, crop_size)
    stitcher = ptychodus_stitcher((side, side))
    add_with_ptychodus(stitcher, _crops(patches, crop_size), centres)
    return stitcher.stitch()


def ptychodus_stitcher(shape_yx):
    """Make an empty BarycentricArrayStitcher."""
    from ptychodus.api.interpolate import BarycentricArrayStitcher  # pyright: ignore[reportMissingImports]

    return BarycentricArrayStitcher(np.zeros(shape_yx, np.complex64), np.zeros(shape_yx))


def add_with_ptychodus(stitcher, crops, centres_yx):
    """Add crops (n, M, M) whose centres lie at canvas coordinates (y, x)."""
    ones = np.ones(crops.shape[1:])
    for crop, (y, x) in zip(crops, centres_yx, strict=True):
        # Its centre of M pixels is (M - 1) / 2, ours is M / 2.
        stitcher.add_patch(x - 0.5, y - 0.5, crop, ones)


def numpy_loop(patches, positions_yx, crop_size):
    """Four weighted additions per patch, for values and for weights."""
    centres, side = _canvas_centres(positions_yx, crop_size)
    total, weight = np.zeros((side, side), np.complex64), np.zeros((side, side), np.float32)
    add_with_numpy(total, weight, _crops(patches, crop_size), centres)
    return total / (weight + np.float32(1e-9))


def add_with_numpy(total, weight, crops, centres_yx):
    """Add crops (n, M, M) whose centres lie at canvas coordinates (y, x), and their weights."""
    crop_size = crops.shape[1]
    corners = centres_yx - crop_size / 2
    whole = np.floor(corners).astype(int)
    for crop, (top, left), (f_y, f_x) in zip(crops, whole, corners - whole, strict=True):
        for down, w_y in ((0, 1 - f_y), (1, f_y)):
            for right, w_x in ((0, 1 - f_x), (1, f_x)):
                rows = slice(top + down, top + down + crop_size)
                columns = slice(left + right, left + right + crop_size)
                total[rows, columns] += np.float32(w_y * w_x) * crop
                weight[rows, columns] += np.float32(w_y * w_x)


def naive_full_canvas(patches, positions_yx, crop_size):
    """Every patch padded to the canvas and shifted there; only the first NAIVE_PATCHES, to be scaled up."""
    import naive_tf

    # The two corners of the scan come along, so that the canvas is as large as that of all patches.
    extremes = [positions_yx.sum(axis=1).argmin(), positions_yx.sum(axis=1).argmax()]
    chosen = np.r_[extremes, np.arange(NAIVE_PATCHES - 2)]
    return naive_tf.stitch(patches[chosen], positions_yx[chosen], crop_size).numpy()


def copy_crops(patches, positions_yx, crop_size):
    """Only copy what is stitched: what memory alone costs."""
    return _crops(patches, crop_size).copy()


def read_crops(patches, positions_yx, crop_size):
    """Only look at every pixel of what is stitched once, on all threads: no method can do with less."""
    # Here, because the methods that need no numba are measured without its memory.
    from benchmarks.reading import count_finite

    return count_finite(patches, crop_size)


def _crops(patches, crop_size):
    start = patches.shape[1] // 2 - crop_size // 2
    return patches[:, start : start + crop_size, start : start + crop_size]


def _canvas_centres(positions_yx, crop_size):
    shift = positions_yx - positions_yx.mean(axis=0)
    pad = int(np.ceil(np.abs(shift).max())) + 2
    return shift + pad + crop_size / 2, crop_size + 2 * pad


METHODS = {
    "copy": copy_crops,
    "read": read_crops,
    "ours, CPU": functools.partial(_reassemble, backend="cpu"),
    "ours, TensorFlow": functools.partial(_reassemble, backend="tensorflow"),
    "ptychodus": ptychodus,
    "NumPy loop": numpy_loop,
    "naive full canvas": naive_full_canvas,
}
