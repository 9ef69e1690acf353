"""Phase ambiguities of a reconstruction: a constant and a ramp that no diffraction pattern can fix.

Multiplying the object by ``exp(i (c + k·r))`` turns the exit waves by a constant and moves the far field by
a constant vector, which the probe absorbs; so both must be removed before phases are compared
(Guizar-Sicairos et al. 2011, https://doi.org/10.1364/OE.19.021345).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ptycho.image._fourier import fft2
from ptycho.image._phasor_peak import refine_peak

PhaseAlignMethod = Literal["plane", "mean"]
PHASE_ALIGN_METHODS: tuple[PhaseAlignMethod, ...] = ("plane", "mean")


@dataclass(frozen=True)
class PhaseRamp:
    """The phase ``offset + slope_y (y - (H-1)/2) + slope_x (x - (W-1)/2)`` of an (H, W) image.

    Attributes
    ----------
    offset : float
        Radians at the centre of the image.
    slope_yx : (float, float)
        Radians per pixel.
    """

    offset: float
    slope_yx: tuple[float, float] = (0.0, 0.0)

    def phasor(self, shape_yx: tuple[int, int]) -> np.ndarray:
        """Return ``exp(i · ramp)``.

        Parameters
        ----------
        shape_yx : (int, int)
            Rows H and columns W.

        Returns
        -------
        (H, W) complex128
        """
        y, x = centred_coordinates(shape_yx)
        column = np.exp(1j * (self.offset + self.slope_yx[0] * y))  # (H,): H + W exponentials, not H W
        return column[:, None] * np.exp(1j * self.slope_yx[1] * x)

    def removed_from(self, field: np.ndarray) -> np.ndarray:
        """Take the ramp out of the phase of an image.

        Parameters
        ----------
        field : (H, W) complex

        Returns
        -------
        (H, W) complex128
        """
        return field * self.phasor((field.shape[0], field.shape[1])).conj()


def centred_coordinates(shape_yx: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column coordinates in pixels, zero at the centre of the image."""
    height, width = shape_yx
    return np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2


def fit_phase_ramp(field: np.ndarray, *, method: PhaseAlignMethod = "plane") -> PhaseRamp:
    """Find the ramp (or, with "mean", the constant) that best explains the phase of a complex field.

    The ramp maximises ``|sum(field · exp(-i ramp))|``: the least-squares fit of a turning phasor, weighted
    by the modulus. Being a fit of phasors it needs no unwrapping, and ramps of many turns are found. To fit
    the ramp *between* two images pass ``first * second.conj()``; to leave pixels out, set them to zero.

    Parameters
    ----------
    field : (H, W) complex
        The phasors.
    method : "plane" or "mean"
        Fit offset and slope, or the offset alone.

    Returns
    -------
    PhaseRamp
        Radians, and radians per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.image import PhaseRamp, fit_phase_ramp
    >>> ramp = fit_phase_ramp(PhaseRamp(0.5, (0.02, -0.3)).phasor((40, 50)))
    >>> round(ramp.offset, 6), [round(slope, 6) for slope in ramp.slope_yx]
    (0.5, [0.02, -0.3])
    """
    if method == "mean":
        return PhaseRamp(float(np.angle(field.sum(dtype=np.complex128))))
    height, width = field.shape
    spectrum = np.abs(fft2(field))  # (H, W), one ramp of whole turns each
    row, column = np.unravel_index(np.argmax(spectrum), spectrum.shape)
    step = (2 * np.pi / height, 2 * np.pi / width)  # radians per pixel: one turn over the image
    start = (step[0] * _signed(int(row), height), step[1] * _signed(int(column), width))
    y, x = centred_coordinates((height, width))
    peak = refine_peak(field.astype(np.complex128, copy=False), y, x, start_yx=start, step_yx=step)
    return PhaseRamp(float(np.angle(peak.total)), peak.rate_yx)


def _signed(index: int, size: int) -> int:
    return index if index <= size // 2 else index - size


def continuous_phase(field: np.ndarray) -> np.ndarray:
    """Return the phase of a complex field without the jumps of 2π that wrapping makes.

    Angles are taken about the mean direction of the field; only if neighbours still differ by more than π
    is the phase unwrapped by sorted reliability (Herráez et al. 2002,
    https://doi.org/10.1364/AO.41.007437).

    Parameters
    ----------
    field : (H, W) complex
        Image; the phase of a zero pixel is that of the mean direction.

    Returns
    -------
    (H, W) float64
        Radians, measured from the mean direction.
    """
    phase = np.angle(fit_phase_ramp(field, method="mean").removed_from(field))
    # Unwrapping may go wrong where the phase is noise, so it is done only where it must be.
    jumps = any(bool((np.abs(np.diff(phase, axis=axis)) > np.pi).any()) for axis in (0, 1))
    return _unwrapped(phase) if jumps else phase


def _unwrapped(phase: np.ndarray) -> np.ndarray:
    from skimage.restoration import unwrap_phase

    # Ties between equally reliable pixels are broken at random; the seed makes that repeatable.
    return np.asarray(unwrap_phase(phase, rng=0), dtype=np.float64)


def detrended_phase(phase: np.ndarray, *, method: PhaseAlignMethod) -> np.ndarray:
    """Return a real phase image minus its least-squares plane ("plane") or its mean ("mean").

    Parameters
    ----------
    phase : (H, W) float
        Radians, free of wraps that matter.
    method : "plane" or "mean"
        What is taken off.

    Returns
    -------
    (H, W) float64
        Radians, of mean 0.
    """
    level = phase - phase.mean(dtype=np.float64)
    if method == "mean":
        return level
    # On a full rectangle the columns of the design matrix are orthogonal, so each slope stands alone.
    y, x = centred_coordinates((phase.shape[0], phase.shape[1]))
    slope_y = (y @ level).sum() / max(phase.shape[1] * (y @ y), 1e-300)  # Σ y φ / Σ y²
    slope_x = (level @ x).sum() / max(phase.shape[0] * (x @ x), 1e-300)
    return level - slope_y * y[:, None] - slope_x * x
