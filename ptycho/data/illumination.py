"""The scale of the probe against the frames."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ptycho.data.defects import defects_of, sound_energies
from ptycho.data.scan import ScanData, bright_among

logger = logging.getLogger(__name__)

# Σ|probe|² over the energy of the brightest frames. Below 0.9 the object would have to amplify; above
# 100 it would have to absorb 99 % of the light everywhere.
PLAUSIBLE_RATIO = (0.9, 100.0)
# The brightest percent is set aside, so that one frame hit by a cosmic ray does not set the scale.
_BRIGHT_PERCENTILE = 99


def probe_energy_ratio(scan: ScanData) -> float:
    """Compare the energy of the probe with that of the frames.

    Σ|probe|² over Σ amplitude² of the brightest frames (99th percentile), hot pixels left out; see `consistent_probe`.

    Parameters
    ----------
    scan : ScanData

    Returns
    -------
    float
        At least about 1 for a probe in the units of the frames.
    """
    return _probe_energy(scan) / _bright_frame_energy(scan)


def consistent_probe(scan: ScanData) -> ScanData:
    """Return the scan with its probe on the scale of its frames.

    A frame is ``|FFT(probe · patch)| / N`` with |patch| at most about 1. By Parseval's theorem its energy
    Σ amplitude² is Σ|probe · patch|², so Σ|probe|² is at least the energy of the brightest frame. Many
    files store the probe in other units. When the ratio of the two lies outside `PLAUSIBLE_RATIO` the
    probe is multiplied by the real factor that makes it 1 and the log says so; its shape and phase stay.

    Parameters
    ----------
    scan : ScanData

    Returns
    -------
    ScanData
        `scan` itself when the probe is plausible.
    """
    ratio = probe_energy_ratio(scan)
    low, high = PLAUSIBLE_RATIO
    if low <= ratio <= high:
        return scan
    logger.warning(
        "the probe's energy is %.3g times that of the brightest frames (%g to %g is plausible); "
        "the probe is multiplied by %.4g to match them",
        ratio,
        low,
        high,
        ratio**-0.5,
    )
    # Through float64: the factor may take |probe| from the smallest to the largest float32.
    return replace(scan, probe=(scan.probe.astype(np.complex128) * ratio**-0.5).astype(np.complex64))


def probe_of_mean_frame(amplitude: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Return a guess of the probe for frames (n, N, N) that come without one, (N, N) complex64.

    It is the far field of flat phase whose amplitude is that of the mean frame: a focused beam, blurred by what
    the object scatters. Its energy is that of the brightest frames. Only pixels that are `sound`, (N, N) bool, enter:
    a hot one would be a wave all over the probe.
    """
    side = amplitude.shape[-1]
    intensity = np.einsum("nij,nij->ij", amplitude, amplitude, dtype=np.float64) / len(amplitude)
    mean = np.sqrt(intensity * sound)
    energies = np.einsum("nij,nij,ij->n", amplitude, amplitude, sound, dtype=np.float64)
    probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(mean))) * side
    if not energies.any():
        return probe.astype(np.complex64)
    bright = np.percentile(energies[energies > 0], _BRIGHT_PERCENTILE)
    return (probe * np.sqrt(bright / np.sum(np.abs(probe) ** 2))).astype(np.complex64)


def _probe_energy(scan: ScanData) -> float:
    return float(np.linalg.norm(scan.probe.astype(np.complex128)) ** 2)


def _bright_frame_energy(scan: ScanData) -> float:
    energies = sound_energies(scan, defects_of(scan))
    energies = np.delete(energies, bright_among(energies))
    return float(np.percentile(energies[energies > 0], _BRIGHT_PERCENTILE))
