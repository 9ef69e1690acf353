"""Are two probes the same illumination?"""

from __future__ import annotations

import numpy as np

# Shifts are tried to a quarter of a pixel.
_FINER = 4


def probe_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return how far two probes are one, whatever their brightness, place and constant phase.

    ``max |⟨first, shifted second⟩| / (‖first‖ ‖second‖)`` over all shifts, which wrap around, to a quarter
    of a pixel; its square is the share of the light of one that the other holds.

    Parameters
    ----------
    first, second : (N, N) complex64
        Not zero; sampled by the same pixel.

    Returns
    -------
    float
        From 0 to 1; 1 for the same probe.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.data import defocused_probe
    >>> from ptycho.evaluation import probe_overlap
    >>> probe = defocused_probe(64)
    >>> round(probe_overlap(probe, 3j * np.roll(probe, (2, -5), (0, 1))), 3)
    1.0
    >>> round(probe_overlap(probe, defocused_probe(64, defocus=8.0)), 2)
    0.48
    """
    side = first.shape[0]
    spectra = [np.fft.fftshift(np.fft.fft2(probe.astype(np.complex128))) for probe in (first, second)]
    cross = np.zeros((_FINER * side, _FINER * side), np.complex128)
    start = (_FINER * side) // 2 - side // 2
    cross[start : start + side, start : start + side] = spectra[0] * spectra[1].conj()
    # |ifft2| of the padded product is the correlation at every shift of the finer grid, but for the factors here.
    correlation = np.abs(np.fft.ifft2(cross)).max() * _FINER**2
    return float(correlation / (np.linalg.norm(first) * np.linalg.norm(second)))
