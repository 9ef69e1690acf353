"""Plain NumPy twins of PtychoPINN's networks, which take the weights of `ptychopinn_files`."""

import numpy as np
import scipy.signal
import scipy.special
from ptychopinn_files import DECODER, ENCODER


def convolve(image, weights, activation=lambda x: np.maximum(x, 0)):
    """Correlate (H, W, Ci) with a kernel (3, 3, Ci, Co), zeros outside."""
    kernel, bias = (np.asarray(part, np.float64) for part in weights)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    planes = [
        scipy.signal.correlate(padded, kernel[..., index], mode="valid", method="direct")[..., 0]
        for index in range(kernel.shape[-1])
    ]
    return activation(np.stack(planes, axis=-1) + bias)


def _pool(image):
    height, width, channels = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, channels).max(axis=(1, 3))


def _up(image):
    return image.repeat(2, axis=0).repeat(2, axis=1)


def _silu(x):
    return x * scipy.special.expit(x)


def pinn_twin(frames, weights, *, activation=scipy.special.expit, probe_big=True, pad_object=True):
    """Amplitude and phase (N, N, C) of frames (N, N, C), each weight taken by its number in the file.

    For N = 64, as usual: encoder 0 to 5, amplitude branch 6, 8 | 10, 12, border 14, 16, 18, centre 20; the phase
    branch has the numbers between.
    """
    side = frames.shape[0]

    def branch(first, last_activation):
        x, number = encoded, first
        for _ in DECODER[side]:
            x = _up(convolve(convolve(x, weights[number]), weights[number + 2]))
            number += 4
        if not pad_object:
            x = _up(convolve(convolve(x, weights[number]), weights[number + 2]))
            return convolve(x, weights[number + 4], last_activation)
        inner = slice(side // 4, side - side // 4)
        if probe_big:
            border = _up(convolve(convolve(x[..., -4:], weights[number]), weights[number + 2]))
            whole = convolve(border, weights[number + 4], _silu)
            number += 6
        else:
            whole = np.zeros((side, side, weights[number][0].shape[-1]))
        whole[inner, inner] = convolve(x[..., :-4], weights[number], last_activation)
        return whole

    encoded = np.asarray(frames, np.float64)
    n_encoder = 2 * len(ENCODER[side])
    for number in range(0, n_encoder, 2):
        encoded = _pool(convolve(convolve(encoded, weights[number]), weights[number + 1]))
    return branch(n_encoder, activation), branch(n_encoder + 1, lambda x: np.pi * np.tanh(x))


def baseline_twin(frame, weights):
    """Amplitude and phase (N, N, 1) of a frame (N, N, 1); the branches lie one after the other in the file."""
    encoded = np.asarray(frame, np.float64)
    for number in (0, 2, 4):
        encoded = _pool(convolve(convolve(encoded, weights[number]), weights[number + 1]))
    images = []
    for first in (6, 13):
        x = encoded
        for number in (first, first + 2, first + 4):
            x = _up(convolve(convolve(x, weights[number]), weights[number + 1]))
        images.append(convolve(x, weights[first + 6], lambda x: x))
    return images


def merge_twin(patches, offsets_yx):
    """Sum of patches (N, N, C) shifted by `offsets_yx` (C, 2), and count of their central squares: (N, N)."""
    side = patches.shape[0]
    reach = int(np.ceil(np.abs(offsets_yx).max())) + 1
    sums = np.zeros((side + 2 * reach,) * 2, complex)
    counts = np.zeros(sums.shape)
    square = np.zeros((side, side))
    square[side // 4 : side - side // 4, side // 4 : side - side // 4] = 1
    for channel, (y, x) in enumerate(offsets_yx):
        for row, weight_y in ((int(np.floor(y)), 1 - y % 1), (int(np.floor(y)) + 1, y % 1)):
            for column, weight_x in ((int(np.floor(x)), 1 - x % 1), (int(np.floor(x)) + 1, x % 1)):
                window = (
                    slice(reach + row, reach + row + side),
                    slice(reach + column, reach + column + side),
                )
                sums[window] += weight_y * weight_x * patches[..., channel]
                counts[window] += weight_y * weight_x * square
    inner = slice(reach, reach + side)
    return sums[inner, inner], counts[inner, inner]
