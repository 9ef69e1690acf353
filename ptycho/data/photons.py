"""Are the frames counts, and how much is one photon?"""

from __future__ import annotations

import numpy as np

from ptycho.data.scan import ScanData

_FRAMES_LOOKED_AT = 16
# Single precision holds the square of an amplitude to a part in 10^7 or so: beyond this, fractions are rounding.
_LARGEST_COUNT = 20_000
_TOLERANCE = 0.02
_FEWEST_PIXELS = 100
# What is no count is as likely to lie near a whole number as anywhere else.
_SHARE_OF_WHOLE = 0.999


def photon_energy(scan: ScanData) -> float | None:
    """Return the squared amplitude of one photon, None if the frames do not look like counts.

    Amplitudes are square roots of counts up to one factor for the scan. If their squares are whole numbers the
    factor is 1; if they are whole multiples of the smallest one above zero, that is one photon. Frames that were
    averaged, interpolated, or had a background taken off are no counts any more.

    Parameters
    ----------
    scan : ScanData
        Sixteen of its frames are looked at.

    Returns
    -------
    float or None
        In the squared unit of `scan.amplitude`.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.data import ScanData, photon_energy
    >>> counts = np.random.default_rng(1).poisson(5.0, (3, 64, 64))
    >>> scan = ScanData(amplitude=np.sqrt(counts), positions_yx=np.ones((3, 2)), probe=np.ones((64, 64)))
    >>> photon_energy(scan)
    1.0
    """
    chosen = np.unique(np.linspace(0, scan.n_frames - 1, _FRAMES_LOOKED_AT).astype(int))
    energies = np.square(scan.frames(chosen), dtype=np.float64).ravel()
    energies = energies[energies > 0]
    if not energies.size:
        return None
    for unit in (1.0, _smallest(energies)):
        counts = energies / unit
        counts = counts[counts < _LARGEST_COUNT]
        if counts.size < min(_FEWEST_PIXELS, energies.size):
            continue
        near = np.abs(counts - np.round(counts)) < _TOLERANCE
        if np.mean(near & (counts > 0.5)) >= _SHARE_OF_WHOLE:
            return float(unit)
    return None


def _smallest(energies: np.ndarray) -> float:
    """Return the mean of the values that are the smallest one but for rounding."""
    return float(energies[energies < energies.min() * (1 + _TOLERANCE)].mean())
