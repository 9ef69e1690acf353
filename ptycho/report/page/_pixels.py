"""Pixels as text within a page: block means, rounding, compression."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator

import numpy as np

# A tenth of the least pixels that a screen shows of an image, so that a band of rows is always a small part of it.
_BAND_PX = 1 << 20


def bands(height: int, width: int, block: int) -> Iterator[slice]:
    """Give bands of whole blocks of rows, about a million pixels each, that make up an image."""
    rows = max(_BAND_PX // width // block, 1) * block
    return (slice(start, min(start + rows, height)) for start in range(0, height, rows))


def block_means(values: np.ndarray, counted: np.ndarray, block: int) -> np.ndarray:
    """Return the mean of `values` over the `counted` pixels of each block.

    Parameters
    ----------
    values : (h, w) float or complex
    counted : (h, w) bool
    block : int
        Side of a block in pixels; those at the lower and right edge may be smaller.

    Returns
    -------
    (ceil(h / block), ceil(w / block)) float64 or complex128
        NaN where a block has no such pixel.
    """
    sums = _block_sums(np.where(counted, values, 0), block)
    numbers = _block_sums(counted.astype(np.float64), block)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)


def _block_sums(values: np.ndarray, block: int) -> np.ndarray:
    rows, columns = (np.arange(0, side, block) for side in values.shape)
    wide = values.astype(np.complex128 if np.iscomplexobj(values) else np.float64, copy=False)
    return np.add.reduceat(np.add.reduceat(wide, rows, axis=0), columns, axis=1)


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Return float32 numbers with `bits` binary digits after the first, which compress better; NaN stays NaN."""
    drop = 23 - bits
    raw = np.ascontiguousarray(values, np.float32).view(np.uint32)
    kept = (raw + np.uint32(1 << (drop - 1))) & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    return np.where(np.isnan(values), np.float32(np.nan), kept.view(np.float32)).astype(np.float32)


def encoded(values: np.ndarray) -> str:
    """Return float32 numbers as Base64 of a zlib stream of their first bytes, their second bytes, and so on.

    Bytes of one rank are alike, which makes the stream shorter; `unpacked` in assets/page.js is the inverse.
    """
    raw = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4)
    return base64.b64encode(zlib.compress(raw.T.tobytes(), 6)).decode("ascii")
