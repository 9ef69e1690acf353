"""How a misfit spreads over frames: what a few bad frames do not move, and what is left without them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

N_LEVELS = 512
# Levels of equal ratio, 5 % each: nothing that frames leave of their noise or of their energy lies beyond.
_LOWEST, _HIGHEST = 1e-4, 1e7


@dataclass(frozen=True)
class Remainder:
    """The frames that are left without the worst ones.

    Attributes
    ----------
    n_left_out : int
        How many frames are not among them.
    misfit : float
        Of all that are left together, as `FrameMisfit.misfit` is of one.
    unexplained : float
        As in `Misfit`.
    """

    n_left_out: int
    misfit: float
    unexplained: float


@dataclass(frozen=True, eq=False)
class FrameSpread:
    """Frames by the level of their misfit, so that memory does not grow with their number.

    Attributes
    ----------
    sums : (4, 512) float64
        Per level, the lowest first: frames, and sums over these of squared differences, of their scale (what counting
        noise leaves, or four times the energy where counts are not known) and of the energy.
    counted : bool
        Whether counts are known.
    """

    sums: np.ndarray
    counted: bool

    @property
    def median(self) -> float:
        """Median over frames of `FrameMisfit.misfit`, to 3 %; NaN without frames."""
        frames, squares, scale, _ = self.sums
        if not frames.any():
            return float("nan")
        level = int(np.searchsorted(np.cumsum(frames), frames.sum() / 2))
        return float(squares[level] / scale[level])

    def without_worst(self) -> Iterator[Remainder]:
        """Leave out level after level, the worst first, as long as a frame is left.

        Returns
        -------
        iterator of Remainder
            What the frames that are left say.
        """
        frames, squares, scale, energy = self.sums.cumsum(axis=1)
        for level in np.flatnonzero(self.sums[0])[:0:-1] - 1:
            noise = scale[level] if self.counted else 0.0
            yield Remainder(
                n_left_out=int(frames[-1] - frames[level]),
                misfit=float(squares[level] / scale[level]),
                unexplained=float((squares[level] - noise) / (4 * energy[level])),
            )


def empty_levels() -> np.ndarray:
    """Return `FrameSpread.sums` of no frame."""
    return np.zeros((4, N_LEVELS))


def add_to_levels(sums: np.ndarray, squares: np.ndarray, scale: np.ndarray, energy: np.ndarray) -> None:
    """Add frames, of which each has its squared differences, their scale and its energy (b,), to `sums` in place."""
    scale = np.maximum(scale, np.finfo(np.float64).tiny)
    share = np.log(np.clip(squares / scale, _LOWEST, _HIGHEST) / _LOWEST) / np.log(_HIGHEST / _LOWEST)
    levels = np.minimum((share * N_LEVELS).astype(int), N_LEVELS - 1)
    for row, values in zip(sums, (np.ones(len(levels)), squares, scale, energy), strict=True):
        np.add.at(row, levels, values)
