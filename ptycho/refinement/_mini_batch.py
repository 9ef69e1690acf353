"""The frames of one step, and what they want changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.diffraction.spline_object import spline_slopes, spline_taps


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """The frames whose wishes make one step, and where they lie while it is computed.

    Attributes
    ----------
    frames : (m,) int64
        Their numbers in the scan.
    first_yx : (m, 2) int64
        Row and column, in the spline's coefficients, of the first one under each.
    weights, slopes : (m, 4, 2) float32
        Of the coefficients, along rows and along columns, and their derivatives by the position.
    """

    frames: np.ndarray
    first_yx: np.ndarray
    weights: np.ndarray
    slopes: np.ndarray

    @classmethod
    def at(cls, frames: np.ndarray, positions_yx: np.ndarray, patch_size: int) -> MiniBatch:
        """Return the mini-batch of `frames` (m,) at their centres (m, 2), in pixels of the spline's image."""
        first_yx, weights = spline_taps(positions_yx, patch_size)
        return cls(frames, first_yx, weights, spline_slopes(positions_yx, patch_size))

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    def part(self, start: int, stop: int) -> MiniBatch:
        """Return frames `start` … `stop` - 1 of it."""
        part = slice(start, stop)
        return MiniBatch(self.frames[part], self.first_yx[part], self.weights[part], self.slopes[part])


@dataclass(frozen=True, eq=False)
class Wishes:
    """What b frames want changed, computed from the object as it was before the step.

    Attributes
    ----------
    gradients : (b, N, N) complex64
        conj(P) times the difference of each exit wave: what the object should gain.
    misfit : (b, 2) float64
        Σ |modulus - amplitude| and Σ amplitude of each frame.
    patches, differences : (b, N, N) complex64, or (0, N, N)
        The object under each frame and the difference of its exit wave, if the probe is refined.
    shifts_yx : (b, 2) float64, or (0, 2)
        How far each frame should move, if the positions are refined.
    """

    gradients: np.ndarray
    misfit: np.ndarray
    patches: np.ndarray
    differences: np.ndarray
    shifts_yx: np.ndarray

    @classmethod
    def of(cls, n_frames: int, patch_size: int, *, probe: bool, positions: bool) -> Wishes:
        """Return arrays to be filled; those that nobody asks for are empty."""
        frame = (patch_size, patch_size)
        n_kept = n_frames if probe else 0
        return cls(
            np.empty((n_frames, *frame), np.complex64),
            np.empty((n_frames, 2)),
            np.empty((n_kept, *frame), np.complex64),
            np.empty((n_kept, *frame), np.complex64),
            np.empty((n_frames if positions else 0, 2)),
        )

    @staticmethod
    def bytes_per_frame(patch_size: int, *, probe: bool) -> int:
        """Return the memory that one more frame takes."""
        return (3 if probe else 1) * 8 * patch_size**2
