"""What noise alone does to amplitudes: moments of the square root of a Poisson count."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

# Beyond an expected amplitude of 16 (256 photons) the moments have come to their limits but for 0.2 %.
_LARGEST_AMPLITUDE = 16
STEPS_PER_UNIT = 256
# Beyond so many standard deviations a count does not happen.
_REACH_SIGMA, _REACH_COUNTS = 12, 20


@dataclass(frozen=True, eq=False)
class PoissonMoments:
    """Moments of a count n whose expectation is μ, by the expected amplitude √μ; all (K,) float32.

    Attributes
    ----------
    chi2 : (K,)
        Mean of ``(2√n - 2√μ)²``: 8 μ for few photons, 1 for many.
    chi2_variance : (K,)
        Its variance: 2 for many photons.
    fitted_away : (K,)
        What `chi2` loses, per photon of the pixel over those of the frame, when the frame's brightness is fitted:
        ``4 μ^(3/2)`` times the mean of ``2√(n+1) - √n - √(n+2)``; 0 for few photons in a pixel, 1 for many.
    deviation : (K,)
        Mean of ``|√n - √μ|``.
    """

    chi2: np.ndarray
    chi2_variance: np.ndarray
    fitted_away: np.ndarray
    deviation: np.ndarray

    def table(self) -> np.ndarray:
        """Return them side by side, (K, 4) float32; entry k is of the amplitude ``k / STEPS_PER_UNIT``."""
        return np.stack([self.chi2, self.chi2_variance, self.fitted_away, self.deviation], axis=1)


@cache
def poisson_moments() -> PoissonMoments:
    """Return the table, summed over the distribution once."""
    amplitude = np.arange(_LARGEST_AMPLITUDE * STEPS_PER_UNIT + 1) / STEPS_PER_UNIT
    columns = [_moments(part) for part in np.array_split(amplitude, 16)]
    return PoissonMoments(
        *(np.concatenate(column).astype(np.float32) for column in zip(*columns, strict=True))
    )


def _moments(amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the four moments at each expected amplitude (K,)."""
    expected = amplitude**2
    most = int(expected[-1] + _REACH_SIGMA * amplitude[-1] + _REACH_COUNTS)
    counts = np.arange(most + 1.0)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    # log 0 would make 0 · log 0 a NaN; such an expectation gives a count of 0 all the same.
    log_expected = np.log(np.maximum(expected, np.finfo(np.float64).tiny))[:, None]
    probability = np.exp(counts * log_expected - expected[:, None] - log_factorial)  # (K, counts)
    root = np.sqrt(counts)
    difference = root - amplitude[:, None]
    chi2 = (probability * 4 * difference**2).sum(axis=1)
    variance = (probability * 16 * difference**4).sum(axis=1) - chi2**2
    bend = 2 * np.sqrt(counts + 1) - root - np.sqrt(counts + 2)
    fitted_away = 4 * expected**1.5 * (probability @ bend)
    return chi2, variance, fitted_away, (probability * np.abs(difference)).sum(axis=1)
