"""The forward model of far-field ptychography as TensorFlow operations: object patches to intensity.

Sub-pixel shifts are products with banded matrices of bilinear weights, so that merging patches and cutting
them out again are adjoint, differentiable and free of gathers.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ptycho.models.predictor import SUPPORT_FLOOR


class FarField(keras.layers.Layer):
    """Diffraction intensity of predicted object patches.

    Parameters
    ----------
    probes : (K, N, N) complex64
        One illumination per scan, in the units of the normalised frames.
    reach_px : float
        Largest distance of a frame from the centre of its group along an axis, in pixels.
    masks : (K, N, N) bool, optional
        True where a pixel of a scan's frames counts. The others are dark in what is predicted, as in what was
        measured, so that they add nothing to a loss nor to its gradient.
    """

    def __init__(self, probes: np.ndarray, *, reach_px: float = 0.0, masks: np.ndarray | None = None) -> None:
        super().__init__(dtype="float32", trainable=False)
        side = probes.shape[-1]
        # The sign pattern moves the DC term of the transform to pixel (N/2, N/2); the modulus is untouched.
        signs = (-1.0) ** np.add.outer(np.arange(side), np.arange(side))
        # Σ |F(x)|² = N² Σ |x|² for this transform: divided by N it keeps the energy (Parseval).
        self._probes = (probes * signs / side).astype(np.complex64)
        self._canvas_side = side + 2 * math.ceil(reach_px)
        self._masks = None if masks is None else masks.astype(np.float32)

    def call(self, amplitude: Any, phase: Any, offsets_yx: Any, probe_index: Any) -> Any:
        """Return the intensity (B, N, N, C) float32.

        `amplitude` and `phase` are (B, N, N, C) float32, `offsets_yx` (B, C, 2) float32 is the position of
        each patch relative to the centre of its group, `probe_index` (B,) int32 picks illumination and mask.
        """
        patches = polar(amplitude, phase)
        if patches.shape[-1] != 1:
            # Where patches of a group overlap they are one object: each frame is explained by their common mean.
            canvas = merge_patches(patches, offsets_yx, self._canvas_side)
            patches = cut_patches(canvas, offsets_yx, patches.shape[1])
        probe = tf.gather(tf.constant(self._probes), probe_index)
        exit_waves = tf.transpose(patches, (0, 3, 1, 2)) * probe[:, None]  # (B, C, N, N), for the FFT
        far_field = tf.signal.fft2d(exit_waves)
        intensity = tf.math.real(far_field) ** 2 + tf.math.imag(far_field) ** 2
        if self._masks is not None:
            intensity *= tf.gather(tf.constant(self._masks), probe_index)[:, None]
        return tf.transpose(intensity, (0, 2, 3, 1))


class Background(keras.layers.Layer):
    """Adds its background to the intensity of each scan.

    Parameters
    ----------
    backgrounds : (K,) float32
        One per scan, in the units of the normalised intensity.
    """

    def __init__(self, backgrounds: np.ndarray) -> None:
        super().__init__(dtype="float32", trainable=False)
        self._backgrounds = backgrounds

    def call(self, intensity: Any, probe_index: Any) -> Any:
        """Return the sum, of the shape (B, N, N, C) of `intensity`; `probe_index` (B,) int32 picks the background."""
        return intensity + tf.gather(tf.constant(self._backgrounds), probe_index)[:, None, None, None]


def polar(amplitude: Any, phase: Any) -> Any:
    """Return ``amplitude * exp(i * phase)`` as complex64; `phase` is in radians."""
    return tf.complex(amplitude * tf.cos(phase), amplitude * tf.sin(phase))


def merge_patches(patches: Any, offsets_yx: Any, side: int, *, support_size: int | None = None) -> Any:
    """Average the patches of each group on a canvas of `side` pixels about the group's centre.

    `patches` is (B, N, N, C) complex64, `offsets_yx` (B, C, 2) in pixels; the result is (B, side, side)
    complex64, zero where no patch reaches. With `support_size` the sum of the patches is divided, instead
    of by their number on a pixel, by that of their central squares of this side, plus `SUPPORT_FLOOR`.
    """
    rows, columns = _shift_matrices(offsets_yx, side, patches.shape[1])  # (B, C, S, N) each
    # Σ_c R_c P_c Q_cᵀ with rows R and columns Q; cutting is R_cᵀ canvas Q_c, its adjoint.
    summed = tf.einsum(
        "bcir,brsc,bcjs->bij", tf.cast(rows, tf.complex64), patches, tf.cast(columns, tf.complex64)
    )
    if support_size is not None:
        start = (patches.shape[1] - support_size) // 2
        rows, columns = (matrix[..., start : start + support_size] for matrix in (rows, columns))
    # The same of patches of ones, (B, S, S): R 1 1ᵀ Qᵀ is an outer product.
    weights = tf.einsum("bci,bcj->bij", tf.reduce_sum(rows, -1), tf.reduce_sum(columns, -1))
    # Below a thousandth of a patch values fade out, which bounds their gradient.
    divisor = tf.maximum(weights, 1e-3) if support_size is None else weights + SUPPORT_FLOOR
    return summed / tf.cast(divisor, tf.complex64)


def cut_patches(canvas: Any, offsets_yx: Any, side: int) -> Any:
    """Cut patches (B, N, N, C) of N = `side` pixels out of `canvas` (B, S, S) at `offsets_yx` (B, C, 2)."""
    rows, columns = _shift_matrices(offsets_yx, canvas.shape[1], side)
    return tf.einsum(
        "bcir,bij,bcjs->brsc", tf.cast(rows, tf.complex64), canvas, tf.cast(columns, tf.complex64)
    )


def _shift_matrices(offsets_yx: Any, canvas_side: int, patch_side: int) -> tuple[Any, Any]:
    """Bilinear weights (B, C, S, N) from patch pixel to canvas pixel, along rows and along columns."""
    canvas = tf.range(canvas_side, dtype=tf.float32) - canvas_side // 2
    patch = tf.range(patch_side, dtype=tf.float32) - patch_side // 2
    offsets = tf.cast(offsets_yx, tf.float32)[..., None, None, :]
    distance = (canvas[:, None] - patch[None, :])[..., None] - offsets
    rows, columns = tf.unstack(tf.nn.relu(1.0 - tf.abs(distance)), axis=-1)  # max(0, 1 - |d|)
    return rows, columns


def poisson_deviance(measured: Any, predicted: Any) -> Any:
    """Poisson negative log-likelihood of the intensity, less its value for a perfect prediction.

    Mean over pixels of ``predicted - measured + measured * log(measured / predicted)`` for intensities
    (B, N, N, C): the gradient of the likelihood with a floor at zero, so that losses of different scans
    compare (deviance of a Poisson model, Nelder and Wedderburn, doi:10.2307/2344614). Both hold the same
    background above zero, so that the minimum stays at predicted = measured.
    """
    return tf.reduce_mean(predicted - measured + measured * tf.math.log(measured / predicted))
