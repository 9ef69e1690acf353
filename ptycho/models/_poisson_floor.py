"""What counting noise leaves of the loss of a perfect prediction."""

from __future__ import annotations

from functools import cache

import numpy as np

from ptycho.models._examples import BACKGROUND_PHOTONS

# Beyond an expected amplitude of 16 (256 photons) the deviance has come to 1/2 but for 0.03 %; most pixels are dark.
_LARGEST_AMPLITUDE, _STEPS_PER_UNIT, _STEPS_BELOW_ONE = 16, 64, 512
# Beyond so many standard deviations a count does not happen.
_REACH_SIGMA, _REACH_COUNTS = 12, 20


def expected_deviance(photons: np.ndarray) -> np.ndarray:
    """Return the mean deviance of counts from their own expectation.

    The mean over a Poisson count n of ``μ - n + (n + b) log((n + b) / (μ + b))`` with the loss's background b: it rises
    from 0 to about 1/2 photon (Wilks, doi:10.1214/aoms/1177732360).

    Parameters
    ----------
    photons : (…) float
        Expectations μ, not negative.

    Returns
    -------
    (…) float64
        In photons.
    """
    amplitudes, means = _table()
    # The deviance is smooth in the amplitude, where equal steps are equally many standard deviations.
    return np.interp(np.sqrt(photons), amplitudes, means)


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Return expected amplitudes (K,) and the mean deviance at each (K,), summed over the distribution once."""
    from scipy.special import gammaln, xlogy

    dark = np.arange(_STEPS_BELOW_ONE) / _STEPS_BELOW_ONE
    bright = np.arange(_STEPS_PER_UNIT, _LARGEST_AMPLITUDE * _STEPS_PER_UNIT + 1) / _STEPS_PER_UNIT
    amplitudes = np.concatenate([dark, bright])
    means = np.empty_like(amplitudes)
    for number, expected in enumerate(amplitudes**2):
        counts = np.arange(int(expected + _REACH_SIGMA * np.sqrt(expected) + _REACH_COUNTS) + 1.0)
        probability = np.exp(xlogy(counts, expected) - expected - gammaln(counts + 1))
        ratio = np.log((counts + BACKGROUND_PHOTONS) / (expected + BACKGROUND_PHOTONS))
        means[number] = probability @ (expected - counts + (counts + BACKGROUND_PHOTONS) * ratio)
    return amplitudes, means
