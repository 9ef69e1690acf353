"""The naive full-canvas method in TensorFlow: every patch is padded to the canvas, shifted, and all are summed.

Time and memory grow with n S², which is what runs out of memory on large scans. It serves as an oracle for small
scans, as the column to beat in the benchmarks, and as the program that must fail under a memory cap.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def stitch(patches, positions_yx, crop_size):
    """patches (n, N, N) complex64, positions_yx (n, 2) float64: the image (S, S) complex64 tensor."""
    shift = positions_yx - positions_yx.mean(axis=0)
    pad = int(np.ceil(np.abs(shift).max()))
    pad += pad % 2
    start = patches.shape[1] // 2 - crop_size // 2
    crops = patches[:, start : start + crop_size, start : start + crop_size]
    parts = np.stack([crops.real, crops.imag, np.ones(crops.shape, np.float32)], axis=-1)
    return _sum_of_shifted(parts, shift.astype(np.float32), tf.constant(pad))


@tf.function(reduce_retracing=True)
def _sum_of_shifted(parts, shift_yx, pad):
    full = tf.pad(parts, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    n = tf.shape(shift_yx)[0]
    ones, zeros = tf.ones([n]), tf.zeros([n])
    # Rows of the inverse map: output pixel (x, y) is read at (x - dx, y - dy).
    maps = tf.stack([ones, zeros, -shift_yx[:, 1], zeros, ones, -shift_yx[:, 0], zeros, zeros], axis=1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=full,
        transforms=maps,
        output_shape=tf.shape(full)[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    total = tf.reduce_sum(moved, axis=0)
    weight = total[..., 2]
    return tf.complex(total[..., 0] / (1e-9 + weight), total[..., 1] / (1e-9 + weight))
