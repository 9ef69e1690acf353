"""The far field of exit waves, in the units of the frames."""

from __future__ import annotations

import numpy as np

from ptycho.diffraction.spline_object import SplineObject


def far_field(exit_waves: np.ndarray) -> np.ndarray:
    """Return the waves at the detector, with the DC term at pixel (0, 0) as a raw transform has it.

    Parameters
    ----------
    exit_waves : (..., N, N) complex64
        Probe times patch.

    Returns
    -------
    (..., N, N) complex64
        ``FFT(exit wave) / N``, which keeps the energy (Parseval).
    """
    from scipy import fft

    return np.asarray(fft.fft2(exit_waves, norm="ortho", workers=-1))


def far_field_intensity(exit_waves: np.ndarray) -> np.ndarray:
    """Return what a detector counts of exit waves, on average.

    Parameters
    ----------
    exit_waves : (..., N, N) complex64
        Probe times patch.

    Returns
    -------
    (..., N, N) float32
        ``|FFT(exit wave)|² / N²``, DC term at pixel (N/2, N/2).
    """
    from scipy import fft

    waves = far_field(exit_waves)
    return fft.fftshift(np.real(waves) ** 2 + np.imag(waves) ** 2, axes=(-2, -1))


def expected_amplitude(spline: SplineObject, probe: np.ndarray, positions_yx: np.ndarray) -> np.ndarray:
    """Return the frames that an object would give at some positions, without noise.

    Parameters
    ----------
    spline : SplineObject
    probe : (N, N) complex64
        Illumination, in the units of the frames; nothing is rescaled.
    positions_yx : (b, 2) float64
        Patch centres in pixels of the object, row first: a batch of them, for all (b, N, N) are in memory.

    Returns
    -------
    (b, N, N) float32
        Comparable with `ptycho.data.ScanData.amplitude`.

    Raises
    ------
    DataError
        A patch reaches outside the object.
    """
    return np.sqrt(far_field_intensity(spline.patches(positions_yx, probe.shape[-1]) * probe))
