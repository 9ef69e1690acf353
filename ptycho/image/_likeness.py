"""Whether two overlaid images show the same thing, or match as well as unrelated images do by chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log1p, log2, sqrt

import numpy as np
from scipy import ndimage

from ptycho.image._fourier import fast_shape, fft2, ifft2
from ptycho.image._overlay import Field, Overlay, binning_factor, block_means, mean_free

LEAST_CORRELATION = 0.1
# What unrelated images reach, and matching ones surpass: docs/metrics.md has the figures, scripts/registration_cases.py
# makes them.
EVIDENCE, EVIDENCE_PER_RIVALRY, EVIDENCE_PER_DOUBLING, EVIDENCE_OF_FEW = 3.0, 12.0, 1.0, 15.0
MOST_RIVALRY = 0.45
# Variations that are out of phase with those of the reference match by chance as often as others; an image of inverted
# contrast, or a conjugate, has to be as good as this to be told from chance.
IN_PHASE, GOOD_OUT_OF_PHASE = 0.5, 0.9
# Beyond so many times the side of an independent pixel another peak is another match.
_LOBE = 1.5
_OWN_PEAK_PX = 2
_NEARLY_AS_GOOD = 0.7
_MOST_REPEATS = 8
_CERTAIN = 1 - 1e-12


@dataclass(frozen=True)
class Likeness:
    """What speaks for a match.

    Attributes
    ----------
    correlation : float
        0 … 1, as in `Registration`.
    independent_px : float
        How many pixels as good as independent of each other were compared.
    rivalry : float
        How well the best other shift matches, relative to this one, beyond what the reference's own repetition makes
        of this match: noise for a true one, about 1 where the match is one of many by chance.
    agreement : float
        As in `Overlay`.
    """

    correlation: float
    independent_px: float
    rivalry: float
    agreement: float

    @property
    def evidence(self) -> float:
        """Minus the logarithm of the probability that so many independent pixels correlate so well by chance."""
        # |r|² of n independent complex Gaussian pixels has the distribution P(|r|² > t) = (1 - t)^(n - 1)
        # (Goodman 1963, doi:10.1214/aoms/1177704250, for unrelated signals).
        square = min(self.correlation, _CERTAIN) ** 2
        return -max(self.independent_px - 1, 0.0) * log1p(-square)

    @property
    def needed(self) -> float:
        """The evidence that unrelated images do not reach: they were tried at as many shifts as there are pixels."""
        n_px = max(self.independent_px, 1.0)
        # The number of few independent pixels is itself uncertain.
        by_number = EVIDENCE_PER_DOUBLING * log2(n_px) + EVIDENCE_OF_FEW / n_px
        return EVIDENCE + EVIDENCE_PER_RIVALRY * self.rivalry + by_number

    @property
    def needed_correlation(self) -> float:
        """The same as a correlation."""
        if self.independent_px <= 1:
            return 1.0
        by_chance = sqrt(1 - exp(-self.needed / (self.independent_px - 1)))
        return max(by_chance, LEAST_CORRELATION)

    @property
    def doubt(self) -> str | None:
        """Why the match may be chance, None if it is none."""
        if self.correlation <= self.needed_correlation:
            return (
                f"the images have too little in common: their correlation is {self.correlation:.3f}, where "
                f"{self.needed_correlation:.3f} is needed to tell images of {self.independent_px:.0f} independent "
                "pixels from unrelated ones"
            )
        if self.rivalry > MOST_RIVALRY:
            return (
                f"the images have too little in common: another shift matches {self.rivalry:.2f} times as well as the "
                f"best (correlation {self.correlation:.3f}), where true matches leave {MOST_RIVALRY:g} at most"
            )
        if self.agreement < IN_PHASE * self.correlation < IN_PHASE * GOOD_OUT_OF_PHASE:
            return (
                f"the images have too little in common: they match (correlation {self.correlation:.3f}) only if what "
                "is brighter, or ahead in phase, in one may be darker, or behind, in the other"
            )
        return None


def likeness_of(overlay: Overlay, moving: Field, reference: Field) -> Likeness:
    """Return what speaks for the match that `overlay` shows of the two fields."""
    if overlay.correlation == 0:
        return Likeness(0.0, 0.0, 1.0, 0.0)
    n_independent = _independent_pixels(overlay)
    surface = _Surface.of(overlay, moving, reference)
    beyond = surface.beyond(_LOBE * overlay.side_of_independent_px(n_independent))
    rivalry = float(np.abs(surface.unexplained[beyond]).max(initial=0.0)) / surface.height
    return Likeness(overlay.correlation, n_independent, rivalry, overlay.agreement)


def repeats(overlay: Overlay, moving: Field, reference: Field) -> Iterator[tuple[float, float]]:
    """Give the other shifts, to a pixel of the coarse search, at which the images match nearly as well."""
    if overlay.correlation == 0:
        return
    surface = _Surface.of(overlay, moving, reference)
    height = np.abs(surface.values)
    is_peak = height == ndimage.maximum_filter(height, size=3, mode="wrap")
    is_peak &= surface.beyond(_OWN_PEAK_PX * surface.factor)
    is_peak &= height > _NEARLY_AS_GOOD * surface.height
    for index in np.flatnonzero(is_peak)[np.argsort(height[is_peak])[::-1]][:_MOST_REPEATS]:
        row, column = np.unravel_index(index, height.shape)
        # The peak says how far the match lies from the one of the overlay; the shift to apply is less by that.
        yield tuple(
            float(offset - lags[place] * surface.factor)
            for offset, lags, place in zip(overlay.offset_yx, surface.lags_yx, (row, column), strict=True)
        )  # type: ignore[misc]


def _independent_pixels(overlay: Overlay) -> float:
    """Return the geometric mean of the numbers of pixels of either image that are as good as independent."""
    factor = binning_factor(overlay.moved.shape)
    moved, target = (block_means(field, factor) for field in (overlay.moved, overlay.target))
    shape = fast_shape(*(2 * size - 1 for size in moved.shape))
    # The variance of a correlation is the sum over lags of the product of both autocorrelations, each as
    # Parseval's theorem has it: independent pixels are all of them times (Σ power)² / (bins · Σ power²).
    powers = [np.abs(fft2(field, shape)) ** 2 for field in (moved, target)]
    shares = [power.mean() ** 2 / (power**2).mean() for power in powers]
    return overlay.weighted_px / factor**2 * sqrt(float(shares[0] * shares[1]))


@dataclass(frozen=True, eq=False)
class _Surface:
    """The cross-correlation over all lags, its peak at lag 0.

    Attributes
    ----------
    values : (H', W') complex128
    unexplained : (H', W') complex128
        Without what the peak alone makes of the reference's autocorrelation.
    lags_yx : (H',) and (W',) float64
        In binned pixels.
    factor : int
        By which the images are binned.
    """

    values: np.ndarray
    unexplained: np.ndarray
    lags_yx: tuple[np.ndarray, np.ndarray]
    factor: int

    @classmethod
    def of(cls, overlay: Overlay, moving: Field, reference: Field) -> _Surface:
        factor = binning_factor(moving.values.shape)
        first = moving.without(overlay.ramp.slope_yx).binned(factor)
        second = reference.binned(factor)
        shape = fast_shape(*(2 * size - 1 for size in first.values.shape))
        spectra = [fft2(mean_free(field.values, field.taper), shape) for field in (first, second)]
        frequencies = [np.fft.fftfreq(size) for size in shape]
        turns = [
            np.exp(-2j * np.pi * f * offset / factor)
            for f, offset in zip(frequencies, overlay.offset_yx, strict=True)
        ]
        cross = spectra[0] * spectra[1].conj() * turns[0][:, None] * turns[1]
        own = np.abs(spectra[1]) ** 2
        lags = [f * size for f, size in zip(frequencies, shape, strict=True)]
        return cls(ifft2(cross), ifft2(cross - cross.mean() / own.mean() * own), (lags[0], lags[1]), factor)

    @property
    def height(self) -> float:
        return max(abs(complex(self.values[0, 0])), float(np.finfo(np.float64).tiny))

    def beyond(self, distance_px: float) -> np.ndarray:
        """Return which lags lie farther out than so many pixels of the unbinned images, (H', W') bool."""
        return np.hypot(self.lags_yx[0][:, None], self.lags_yx[1]) * self.factor > distance_px
