"""Compiled loops of a sweep. Importing this module imports numba; only `_cpu_sums` does so, inside a function.

Complex arrays come as rows of real and imaginary parts in turn, (N, 2 N) float32: the loops over them are plain
and become vector instructions. The value of a pixel does not depend on which band of rows it is computed in.
"""

from __future__ import annotations

import numpy as np

from ptycho._compiled.compiling import compiled

_TAPS = 4


@compiled
def cut_patch(patch, coefficients, first_y, first_x, weights, scratch):
    """Write the patch that the spline has at a position.

    Parameters
    ----------
    patch : (N, 2 N) float32
    coefficients : (H, 2 W) float32
    first_y, first_x : int
        Row and column of the coefficient that comes first.
    weights : (4, 2) float32
        Along rows and along columns.
    scratch : (2 N + 6,) float32
    """
    side, width = patch.shape[0], patch.shape[1]
    for i in range(side):
        start = 2 * first_x
        above = coefficients[first_y + i, start : start + width + 6]
        here = coefficients[first_y + i + 1, start : start + width + 6]
        below = coefficients[first_y + i + 2, start : start + width + 6]
        last = coefficients[first_y + i + 3, start : start + width + 6]
        for j in range(width + 6):
            scratch[j] = (weights[0, 0] * above[j] + weights[1, 0] * here[j]) + (
                weights[2, 0] * below[j] + weights[3, 0] * last[j]
            )
        row = patch[i]
        for j in range(width):
            row[j] = (weights[0, 1] * scratch[j] + weights[1, 1] * scratch[j + 2]) + (
                weights[2, 1] * scratch[j + 4] + weights[3, 1] * scratch[j + 6]
            )


@compiled
def multiply(product, one, other):
    """Write ``one * other`` of complex numbers, all (N, 2 N) float32."""
    for i in range(product.shape[0]):
        row, left, right = product[i], one[i], other[i]
        for j in range(0, row.size, 2):
            real = left[j] * right[j] - left[j + 1] * right[j + 1]
            row[j + 1] = left[j] * right[j + 1] + left[j + 1] * right[j]
            row[j] = real


@compiled
def replace_modulus(waves, amplitude, counts):
    """Write what must be added to the waves at the detector so that they have the measured modulus.

    Parameters
    ----------
    waves : (N, 2 N) float32
        As the transform gives them, DC term at pixel (0, 0); overwritten by the difference.
    amplitude : (N, N) float32
        Measured, DC term at pixel (N/2, N/2).
    counts : (N, N) bool
        Pixels of the detector that count; at the others the waves stay as they are, and the difference is zero.

    Returns
    -------
    difference, measured : float
        Σ |modulus - amplitude| and Σ amplitude over the pixels that count.
    """
    side = waves.shape[0]
    half = side // 2
    difference = measured = 0.0
    for i in range(side):
        there = i + half if i + half < side else i + half - side
        for j in range(side):
            across = j + half if j + half < side else j + half - side
            real, imaginary = waves[i, 2 * j], waves[i, 2 * j + 1]
            factor = np.float32(0)
            if counts[there, across]:
                modulus = np.sqrt(real * real + imaginary * imaginary)
                wanted = amplitude[there, across]
                difference += abs(modulus - wanted)
                measured += wanted
                # A wave of zero has no phase to keep.
                if modulus > 0:
                    factor = wanted / modulus - np.float32(1)
            waves[i, 2 * j] = factor * real
            waves[i, 2 * j + 1] = factor * imaginary
    return difference, measured


@compiled
def add_patches(sums, patches, first_yx, weights, step, begin, end):
    """Add patches to the coefficients under them, in rows `begin` … `end - 1` of these: the adjoint of `cut_patch`.

    Patches are added in order, so that no bit depends on the bands.

    Parameters
    ----------
    sums : (H, step W) float32
    patches : (b, N, step N) float32, or (1, N, step N)
        One for each position, or one for all.
    first_yx : (b, 2) int64
    weights : (b, 4, 2) float32
    step : int
        Numbers that make up a pixel: 2 of complex patches, 1 of real ones.
    begin, end : int
    """
    side, width, pad = patches.shape[1], patches.shape[2], 3 * step
    row = np.empty(width + 2 * pad, np.float32)  # three pixels of zeros on either side
    for index in range(first_yx.shape[0]):
        patch, weight = patches[min(index, patches.shape[0] - 1)], weights[index]
        first_y, first_x = first_yx[index, 0], step * first_yx[index, 1]
        for y in range(max(begin, first_y), min(end, first_y + side + _TAPS - 1)):
            row[:] = 0
            for tap in range(_TAPS):
                above = y - first_y - tap
                if 0 <= above < side:
                    share, source = weight[tap, 0], patch[above]
                    for j in range(width):
                        row[pad + j] += share * source[j]
            target = sums[y, first_x : first_x + width + pad]
            for j in range(width + pad):
                target[j] += (weight[0, 1] * row[j + pad] + weight[1, 1] * row[j + 2 * step]) + (
                    weight[2, 1] * row[j + step] + weight[3, 1] * row[j]
                )


@compiled
def largest(weights_sum, first_yx, side):
    """Return the largest weight under any patch."""
    found = np.float32(0)
    for index in range(first_yx.shape[0]):
        for y in range(first_yx[index, 0], first_yx[index, 0] + side + _TAPS - 1):
            row = weights_sum[y, first_yx[index, 1] : first_yx[index, 1] + side + _TAPS - 1]
            for x in range(row.size):
                found = max(found, row[x])
    return found


@compiled
def step_and_clear(coefficients, light, sums, weights_sum, alpha, peak, first_yx, side, begin, end):
    """Add ``sums / ((1 - alpha) weight + alpha peak)`` where patches lie, the weights to `light`, and clear both sums.

    Rows `begin` … `end - 1` of the coefficients (H, 2 W) and of the light (H, W), both float32, are done.
    """
    for index in range(first_yx.shape[0]):
        first_y, first_x = first_yx[index, 0], first_yx[index, 1]
        for y in range(max(begin, first_y), min(end, first_y + side + _TAPS - 1)):
            for x in range(first_x, first_x + side + _TAPS - 1):
                weight = weights_sum[y, x]
                if weight > 0:
                    divisor = (np.float32(1) - alpha) * weight + alpha * peak
                    coefficients[y, 2 * x] += sums[y, 2 * x] / divisor
                    coefficients[y, 2 * x + 1] += sums[y, 2 * x + 1] / divisor
                    light[y, x] += weight
                    weights_sum[y, x] = 0
                    sums[y, 2 * x] = 0
                    sums[y, 2 * x + 1] = 0


@compiled
def normal_equations(equations, along_y, along_x, gradient, intensity):
    """Write the least-squares problem of one frame's shift.

    Parameters
    ----------
    equations : (5,) float64
        Receives Σ |P|² of ∂y·∂y, ∂y·∂x, ∂x·∂x, and Σ ∂y·g, Σ ∂x·g; a·b is the real part of conj(a) b.
    along_y, along_x : (N, 2 N) float32
        Slopes of the patch.
    gradient : (N, 2 N) float32
        conj(P) times the difference of the exit wave.
    intensity : (N, N) float32
        |P|².
    """
    equations[:] = 0.0
    for i in range(gradient.shape[0]):
        slope_y, slope_x, wish = along_y[i], along_x[i], gradient[i]
        for j in range(wish.size):
            light = intensity[i, j // 2]
            equations[0] += light * slope_y[j] * slope_y[j]
            equations[1] += light * slope_y[j] * slope_x[j]
            equations[2] += light * slope_x[j] * slope_x[j]
            equations[3] += slope_y[j] * wish[j]
            equations[4] += slope_x[j] * wish[j]
