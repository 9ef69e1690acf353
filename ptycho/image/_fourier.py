"""Two-dimensional Fourier transforms on every core, padded to sizes that are quick."""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy import fft


def fast_shape(*sizes: int) -> tuple[int, ...]:
    """Return the next sizes, not smaller, with small prime factors."""
    return tuple(cast(int, fft.next_fast_len(size)) for size in sizes)


def fft2(image: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return the transform of an (H, W) image, zero-padded at the end to `shape`."""
    return np.asarray(fft.fft2(image, shape, workers=-1))


def ifft2(spectrum: np.ndarray) -> np.ndarray:
    """Return the inverse transform, (H, W) complex."""
    return np.asarray(fft.ifft2(spectrum, workers=-1))
