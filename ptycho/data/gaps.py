"""Pixels of a detector that hold no measurement in any frame: gaps between modules, beam stops, dead areas."""

from __future__ import annotations

import logging

import numpy as np

logger = logging.getLogger(__name__)

# What files put where nothing was measured, as counts: the largest 16- and 32-bit integers.
_SENTINEL_COUNTS = (65535.0, 2.0**32 - 1)
# The same as counts and as amplitudes, in the precision of the frames.
_SENTINELS = np.array([*_SENTINEL_COUNTS, *np.sqrt(_SENTINEL_COUNTS)], np.float32)
_FRAMES_AT_ONCE = 256


def mask_gaps(amplitude: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Set pixels that hold NaN, or one and the same sentinel, in every frame to zero, and mask them.

    Parameters
    ----------
    amplitude : (n, N, N) real
        Left as it is; a copy is made only if there is such a pixel.
    mask : (N, N) bool, optional
        Pixels that count, as far as the file says.

    Returns
    -------
    amplitude : (n, N, N)
    mask : (N, N) bool or None
        Without the gaps; None if all pixels count.
    """
    if amplitude.ndim != 3 or not amplitude.size or amplitude.dtype.kind != "f":
        return amplitude, mask
    gaps = _empty(amplitude[0])  # (N, N)
    for start in range(0, len(amplitude) if gaps.any() else 0, _FRAMES_AT_ONCE):
        frames = amplitude[start : start + _FRAMES_AT_ONCE][:, gaps]  # (n, pixels still in question)
        first = amplitude[0][gaps]
        gaps[gaps] = (np.isnan(frames) | (frames == first)).all(axis=0)
    if not gaps.any():
        return amplitude, mask
    rows, columns = (np.flatnonzero(gaps.any(axis=axis)) for axis in (1, 0))
    logger.warning(
        "%d pixels (rows %d to %d, columns %d to %d) hold no measurement in any frame, as gaps between the "
        "modules of a detector do; they are set to zero and masked",
        np.count_nonzero(gaps),
        rows[0],
        rows[-1],
        columns[0],
        columns[-1],
    )
    filled = np.where(gaps, np.float32(0), amplitude)
    return filled, ~gaps if mask is None else mask & ~gaps


def _empty(frame: np.ndarray) -> np.ndarray:
    """Return where a frame holds what may stand for "not measured": NaN, a sentinel, a negative number."""
    return np.isnan(frame) | np.isin(frame.astype(np.float32), _SENTINELS) | (frame < 0)
