"""Pixels of a detector that hold no measurement in any frame: gaps between modules, beam stops, dead areas."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._io.mapped import blocks_of, rows_of
from ptycho._io.row_store import made_of

logger = logging.getLogger(__name__)

# What files put where nothing was measured, as counts: the largest 16- and 32-bit integers.
_SENTINEL_COUNTS = (65535.0, 2.0**32 - 1)
# The same as counts and as amplitudes, in the precision of the frames.
_SENTINELS = np.array([*_SENTINEL_COUNTS, *np.sqrt(_SENTINEL_COUNTS)], np.float32)


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
    first = rows_of(amplitude, slice(1))[0]
    gaps = _empty(first)  # (N, N)
    for _, frames in blocks_of(amplitude) if gaps.any() else ():
        in_question = frames[:, gaps]  # (n, pixels)
        gaps[gaps] = (np.isnan(in_question) | (in_question == first[gaps])).all(axis=0)
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
    filled = made_of(
        amplitude.shape,
        np.result_type(amplitude, np.float32),
        ((block, np.where(gaps, np.float32(0), frames)) for block, frames in blocks_of(amplitude)),
        what="the scan with its gaps masked",
    )
    return filled, ~gaps if mask is None else mask & ~gaps


def _empty(frame: np.ndarray) -> np.ndarray:
    """Return where a frame holds what may stand for "not measured": NaN, a sentinel, a negative number."""
    return np.isnan(frame) | np.isin(frame.astype(np.float32), _SENTINELS) | (frame < 0)
