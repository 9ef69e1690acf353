"""Fourier ring correlation: up to which frequency do two images agree?

Saxton and Baumeister 1982, https://doi.org/10.1111/j.1365-2818.1982.tb00405.x; van Heel 1987,
https://doi.org/10.1016/0304-3991(87)90010-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ptycho.errors import DataError
from ptycho.evaluation.region import Region
from ptycho.evaluation.results import FrcCurve, FrcCurves, FrcCutoff, FrcCutoffs
from ptycho.image.phase import PhaseAlignMethod, continuous_phase, detrended_phase, fit_phase_ramp

MIN_SIDE_PX = 16
TAPER_FRACTION = 0.2
NYQUIST = 0.5
ONE_SEVENTH = 1 / 7
# A ring at Nyquist lands on its own edge but for rounding; this much of a ring's width decides for it.
_EDGE_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Rings:
    """Fourier pixels sorted into rings of equal width from zero to Nyquist, the first (DC) left out.

    Attributes
    ----------
    index : (H, W) int64
        Ring of each Fourier pixel in FFT order; R where it belongs to none (DC and corners).
    frequency : (R,) float64
        Middle of each ring in cycles/pixel.
    n_pixels : (R,) int64
        Fourier pixels per ring.
    """

    index: np.ndarray
    frequency: np.ndarray
    n_pixels: np.ndarray

    @classmethod
    def of_shape(cls, shape_yx: tuple[int, int]) -> Rings:
        """Lay rings one Fourier pixel of the shorter side wide.

        Corners beyond Nyquist hold only diagonal frequencies and would be passed off as isotropic.

        Raises
        ------
        DataError
            A side is shorter than 16 pixels.
        """
        side = min(shape_yx)
        if side < MIN_SIDE_PX:
            raise DataError(
                f"an image of {shape_yx[0]}x{shape_yx[1]} pixels is too small for a Fourier ring correlation; "
                f"at least {MIN_SIDE_PX} pixels a side are needed."
            )
        # (H, W) in units of a ring's width: frequencies times the shorter side, so rings are round in cycles/pixel.
        radius = side * np.hypot(np.fft.fftfreq(shape_yx[0])[:, None], np.fft.fftfreq(shape_yx[1]))
        ring = np.floor(radius + _EDGE_TOLERANCE).astype(np.int64) - 1
        n_rings = side // 2 - 1  # those that lie wholly below Nyquist
        inside = (ring >= 0) & (ring < n_rings)
        index = np.where(inside, ring, n_rings)  # all that is outside shares one more bin
        n_pixels = np.bincount(index.ravel(), minlength=n_rings + 1)[:n_rings]
        return cls(index, (np.arange(n_rings) + 1.5) / side, n_pixels)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of `values` (H, W) over each ring, (R,) float64."""
        n_rings = len(self.frequency)
        return np.bincount(self.index.ravel(), weights=values.ravel(), minlength=n_rings + 1)[:n_rings]


def apodised(image: np.ndarray) -> np.ndarray:
    """Return the image as its FFT is taken: weighted mean removed, faded out by a Tukey window.

    The mean is weighted by the window, so that the DC term of the result is zero. The cosine taper takes a
    tenth of the side at each end (Harris 1978, https://doi.org/10.1109/PROC.1978.10837); without it the jump
    from one border to the opposite one puts correlation into every ring.

    Parameters
    ----------
    image : (H, W) real or complex
    """
    # (H, W); separable, so it fades along the borders that the transform joins.
    window = np.outer(_tukey_window(image.shape[0]), _tukey_window(image.shape[1]))
    return window * (image - (window * image).sum() / window.sum())


def _tukey_window(size: int) -> np.ndarray:
    """Return the tapered cosine window (size,) float64, whose fading ends make up `TAPER_FRACTION` of it.

    ``(1 + cos(π (2 n / (α (N - 1)) - 1))) / 2`` for the first α/2 of the N samples, mirrored at the end, else 1:
    Harris 1978, https://doi.org/10.1109/PROC.1978.10837, equation 38. SciPy has it in a package that takes a
    second to import.
    """
    n_fading = int(TAPER_FRACTION * (size - 1) / 2) + 1
    fading = 0.5 * (1 + np.cos(np.pi * (2 * np.arange(n_fading) / (TAPER_FRACTION * (size - 1)) - 1)))
    window = np.ones(size)
    window[:n_fading] = fading
    window[size - n_fading :] = fading[::-1]
    return window


def ring_correlation(first: np.ndarray, second: np.ndarray, rings: Rings) -> np.ndarray:
    """Correlate two images ring by ring: ``Σ Re(F G*) / sqrt(Σ|F|² Σ|G|²)`` over each ring.

    The real part keeps its sign: noise then scatters about zero, whereas a modulus is biased upwards.

    Parameters
    ----------
    first, second : (H, W) real or complex
        Images of the shape that `rings` was made for.

    Returns
    -------
    (R,) float64
        NaN in a ring where neither image has power above rounding, 0 where one of them has none.
    """
    spectra = [np.fft.fft2(apodised(image)) for image in (first, second)]
    powers = [rings.sums(np.abs(spectrum) ** 2) for spectrum in spectra]  # (R,) each
    # A quotient of two roundings would be any number between -1 and 1.
    silent = [
        power <= rings.n_pixels * _rounding_power(image)
        for power, image in zip(powers, (first, second), strict=True)
    ]
    cross = rings.sums((spectra[0] * spectra[1].conj()).real)  # (R,)
    heard = ~(silent[0] | silent[1])
    curve = np.where(silent[0] & silent[1], np.nan, 0.0)
    curve[heard] = cross[heard] / np.sqrt(powers[0][heard] * powers[1][heard])
    return curve


def _rounding_power(image: np.ndarray) -> float:
    """Power per Fourier pixel that float64 rounding alone leaves in the spectrum of `image`."""
    return float((8 * np.finfo(np.float64).eps) ** 2 * (np.abs(image) ** 2).sum())


def bit_threshold(n_pixels: np.ndarray, *, bits: float) -> np.ndarray:
    """Return the correlation at which a ring carries `bits` of information per pixel.

    ``T = (S + (2√S + 1)/√n) / (1 + S + 2√S/√n)`` with ``S = (2^bits - 1)/2`` the signal-to-noise ratio of each
    of the two images (van Heel and Schatz 2005, https://doi.org/10.1016/j.jsb.2005.05.009). n is the plain
    number of Fourier pixels; that a real image has each twice, and that the taper correlates neighbours, is
    left out, as is customary.

    Parameters
    ----------
    n_pixels : (R,) int
        Fourier pixels per ring.
    bits : float
        0.5 for the half-bit, 1 for the one-bit criterion.
    """
    signal = (2.0**bits - 1) / 2
    root_n = np.sqrt(np.asarray(n_pixels, dtype=np.float64))  # (R,)
    root_signal = 2 * np.sqrt(signal)
    return (signal + (root_signal + 1) / root_n) / (1 + signal + root_signal / root_n)


def truth_threshold(*, bits: float) -> float:
    """Return the correlation with a noise-free truth at which an image carries `bits` of information per pixel.

    ``sqrt(s / (1 + s))`` with ``s = 2^bits - 1`` the signal-to-noise ratio of the whole data, twice that of each
    half in `bit_threshold`: 0.541 for half a bit, 0.707 for one (Rosenthal and Henderson 2003,
    https://doi.org/10.1016/j.jmb.2003.07.013).

    Parameters
    ----------
    bits : float
        0.5 for the half-bit, 1 for the one-bit criterion.
    """
    return float(np.sqrt(1 - 2.0**-bits))


def first_crossing(
    frequency: np.ndarray, curve: np.ndarray, threshold: np.ndarray | float, *, end: float
) -> FrcCutoff:
    """Find where `curve` first falls below `threshold`, linearly between rings.

    Parameters
    ----------
    frequency, curve : (R,) float64
        NaN rings are skipped; at least one must be a number.
    threshold : (R,) or float
        Compared ring by ring.
    end : float
        Frequency to report when no ring is below.
    """
    kept = ~np.isnan(curve)
    f, excess = frequency[kept], (curve - threshold)[kept]
    below = np.flatnonzero(excess < 0)
    if not below.size:
        return FrcCutoff(end, beyond_last_ring=True)
    i = int(below[0])
    if i == 0:
        return FrcCutoff(0.0)
    share = excess[i - 1] / (excess[i - 1] - excess[i])  # where the chord of the excess is zero
    return FrcCutoff(float(f[i - 1] + share * (f[i] - f[i - 1])))


def smoothed(curve: np.ndarray, sigma: float) -> np.ndarray:
    """Return `curve` (R,) under a Gaussian of `sigma` rings; NaN rings stay out of it and stay NaN."""
    kept = ~np.isnan(curve)
    result = curve.copy()
    if sigma > 0 and kept.any():
        result[kept] = gaussian_filter1d(curve[kept], sigma)
    return result


def compute_frc(
    amplitudes: tuple[np.ndarray, np.ndarray],
    phases: tuple[np.ndarray, np.ndarray],
    *,
    frc_sigma: float,
    half_sets: bool = False,
) -> FrcCurves:
    """Correlate two amplitudes, two phases, and the complex fields that they make.

    Parameters
    ----------
    amplitudes, phases : pairs of (H, W) float64
        Aligned; phases in radians.
    frc_sigma : float
        Gaussian smoothing, in rings, of each curve before its cut-offs are read; 0 for none.
    half_sets : bool
        Both images are reconstructions from halves of the data; by default the second is a truth without noise.
        It decides which thresholds cut off.

    Raises
    ------
    DataError
        The images are smaller than 16 pixels.
    """
    rings = Rings.of_shape((amplitudes[0].shape[0], amplitudes[0].shape[1]))
    fields = [a * np.exp(1j * p) for a, p in zip(amplitudes, phases, strict=True)]  # (H, W) complex128
    correlations = [
        ring_correlation(first, second, rings)
        for first, second in (amplitudes, phases, (fields[0], fields[1]))
    ]
    return _curves(rings.frequency, rings.n_pixels, correlations, frc_sigma=frc_sigma, half_sets=half_sets)


def mean_frc(curves: Sequence[FrcCurves], *, frc_sigma: float) -> FrcCurves:
    """Return the mean of the half-set curves of several splits, and its cut-offs.

    A cut-off of the mean is steadier than the mean of cut-offs, each of which jumps where its curve comes near a
    threshold and leaves it again.

    Parameters
    ----------
    curves : sequence of FrcCurves
        At least one; of half sets, over common rings.
    frc_sigma : float
        As in `compute_frc`.
    """
    correlations = []
    for channel in ("amplitude", "phase", "field"):
        every = np.array([getattr(each, channel).correlation for each in curves])  # (splits, R)
        known = ~np.isnan(every).all(axis=0)
        mean = np.full(every.shape[1], np.nan)
        mean[known] = np.nanmean(every[:, known], axis=0)
        correlations.append(mean)
    first = curves[0]
    return _curves(first.frequency, first.n_pixels, correlations, frc_sigma=frc_sigma, half_sets=True)


def _curves(
    frequency: np.ndarray,
    n_pixels: np.ndarray,
    correlations: Sequence[np.ndarray],
    *,
    frc_sigma: float,
    half_sets: bool,
) -> FrcCurves:
    """Give the correlations (R,) of amplitude, phase and field their cut-offs."""
    half_bit, one_bit = (
        bit_threshold(n_pixels, bits=bits)
        if half_sets
        else np.full(len(n_pixels), truth_threshold(bits=bits))
        for bits in (0.5, 1.0)
    )

    def with_cutoffs(correlation: np.ndarray) -> FrcCurve:
        if np.isnan(correlation).all():
            return FrcCurve(correlation, None)
        smooth = smoothed(correlation, frc_sigma)
        half, *others = (
            first_crossing(frequency, smooth, threshold, end=NYQUIST)
            for threshold in (0.5, ONE_SEVENTH, half_bit, one_bit)
        )
        return FrcCurve(correlation, FrcCutoffs(None if half_sets else half, *others))

    amplitude, phase, field = (with_cutoffs(correlation) for correlation in correlations)
    return FrcCurves(
        frequency=frequency,
        unit="cycles/pixel",
        n_pixels=n_pixels,
        amplitude=amplitude,
        phase=phase,
        field=field,
        half_bit=half_bit,
        one_bit=one_bit,
        half_sets=half_sets,
    )


def half_set_frc(
    first: np.ndarray,
    second: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    phase_align: PhaseAlignMethod = "plane",
    frc_sigma: float = 0.0,
) -> FrcCurves:
    """Estimate resolution without a truth, from two images made of separate halves of the data.

    Both must lie in one frame (register them first); the relative phase ramp (or constant) is removed here.
    The half-bit, one-bit and 1/7 criteria are meant for this case, in which both images carry noise.

    Parameters
    ----------
    first, second : (H, W) complex
        The two reconstructions.
    mask : (H, W) bool, optional
        Pixels covered by both. The largest rectangle whose holes are small is used; in these, each image has the
        weighted mean of its own pixels around them.
    phase_align, frc_sigma
        As in `ptycho.evaluation.compare_images`.

    Returns
    -------
    FrcCurves
        Over rings in cycles per pixel.

    Raises
    ------
    DataError
        Shapes differ, a value inside the rectangle is not finite, or the rectangle is under 16 pixels.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise DataError(
            f"the halves have shapes {first.shape} and {second.shape}; both must be the same (H, W)."
        )
    region = Region.of_mask(mask, (first.shape[0], first.shape[1]))
    one, two = (region.filled(region.cut(image)) for image in (first, second))
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise DataError("a half-set image holds values that are not finite; leave them out with the mask.")
    one = fit_phase_ramp(one, method=phase_align).removed_from(one)
    two = fit_phase_ramp(two * one.conj(), method=phase_align).removed_from(two)
    # The second phase is the first plus the wrapped difference: a wrap in one of them alone is no disagreement.
    phase = detrended_phase(continuous_phase(one), method=phase_align)
    phases = (phase, phase + np.angle(two * one.conj()))
    return compute_frc((np.abs(one), np.abs(two)), phases, frc_sigma=frc_sigma, half_sets=True)
