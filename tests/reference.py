"""Naive twins in plain NumPy, written for clarity: what the fast code is compared with."""

from __future__ import annotations

import numpy as np


def crop_of(patch, crop_size):
    """Central crop_size x crop_size pixels, rows and columns N//2 - M//2 … + M."""
    start = patch.shape[0] // 2 - crop_size // 2
    return patch[start : start + crop_size, start : start + crop_size]


def stitch(patches, positions_yx, crop_size):
    """Weighted mean on the square mean-centred canvas, pixel by pixel in float64.

    patches (n, N, N) complex, positions_yx (n, 2): returns (S, S) complex128 and the weights (S, S) float64.
    """
    shift = positions_yx - positions_yx.mean(axis=0)
    pad = int(np.ceil(np.abs(shift).max()))
    pad += pad % 2
    side = crop_size + 2 * pad
    return stitch_at(patches, shift + pad, crop_size, (side, side))


def stitch_at(patches, corners_yx, crop_size, shape_yx):
    """The same for crops whose first pixel lies at given (fractional) canvas rows and columns."""
    total = np.zeros((shape_yx[0] + 1, shape_yx[1] + 1), np.complex128)
    weight = np.zeros(total.shape)
    for patch, (y, x) in zip(patches, corners_yx, strict=True):
        crop = crop_of(patch, crop_size).astype(np.complex128)
        if not np.isfinite(crop).all():
            continue
        top, left = int(np.floor(y)), int(np.floor(x))
        f_y, f_x = y - top, x - left
        for r in range(crop_size):
            for c in range(crop_size):
                for dy, w_y in ((0, 1 - f_y), (1, f_y)):
                    for dx, w_x in ((0, 1 - f_x), (1, f_x)):
                        total[top + r + dy, left + c + dx] += w_y * w_x * crop[r, c]
                        weight[top + r + dy, left + c + dx] += w_y * w_x
    total, weight = total[:-1, :-1], weight[:-1, :-1]
    image = np.where(weight > 1e-9, total / (weight + 1e-9), 0)
    return image, weight


def random_patches(rng, n, patch_size):
    """Complex64 patches without any symmetry: a random field on a ramp that differs along y and x."""
    y, x = np.mgrid[:patch_size, :patch_size] / patch_size
    field = rng.standard_normal((n, patch_size, patch_size)) + 1j * rng.standard_normal(
        (n, patch_size, patch_size)
    )
    return (field + 3 * y - 1j * x + 0.5).astype(np.complex64)


def random_positions(rng, n, span_yx, centre_yx=(0.0, 0.0)):
    """Positions (n, 2) float64 spread differently along y and x, in random order."""
    span = np.asarray(span_yx, float)
    return rng.uniform(-span, span, (n, 2)) + np.asarray(centre_yx, float)
