"""Fourier ring correlation against theory, plain loops and ptychodus."""

import numpy as np
import pytest
from complex_objects import analytic_object, complex_noise, ramp_phasor
from scipy.ndimage import gaussian_filter

from ptycho.errors import DataError
from ptycho.evaluation import frc
from ptycho.evaluation.frc import (
    Rings,
    apodised,
    bit_threshold,
    compute_frc,
    first_crossing,
    half_set_frc,
    mean_frc,
    ring_correlation,
    smoothed,
    truth_threshold,
)
from ptycho.evaluation.results import FrcCutoff

SHAPES = [(64, 64), (65, 65), (63, 90)]


def naive_frc(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Visit every Fourier pixel and put it into its ring by hand."""
    height, width = first.shape
    side = min(first.shape)
    spectra = [np.fft.fft2(apodised(image)) for image in (first, second)]
    cross, power = np.zeros(side), np.zeros((2, side))
    for row in range(height):
        for column in range(width):
            f_y = (row if row <= height // 2 else row - height) / height
            f_x = (column if column <= width // 2 else column - width) / width
            ring = int(side * (f_y**2 + f_x**2) ** 0.5 + 1e-9)
            if 1 <= ring < side // 2:
                a, b = spectra[0][row, column], spectra[1][row, column]
                cross[ring] += (a * b.conjugate()).real
                power[:, ring] += abs(a) ** 2, abs(b) ** 2
    inside = slice(1, side // 2)
    return cross[inside] / np.sqrt(power[0, inside] * power[1, inside])


def noisy_pair(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    image = analytic_object(shape)
    return image, image + complex_noise(shape, 0.1, seed=1)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_is_in_the_ring_that_a_loop_puts_it_in(shape):
    first, second = noisy_pair(shape)
    found = ring_correlation(first, second, Rings.of_shape(shape))
    np.testing.assert_allclose(found, naive_frc(first, second), atol=1e-12)
    assert found.min() < 0.6 < found.max()


@pytest.mark.spec("CM-8.4")
@pytest.mark.parametrize("shape", SHAPES)
def test_the_curve_and_its_bit_thresholds_equal_those_of_ptychodus(shape):
    metrics = pytest.importorskip("ptychodus.api.metrics", exc_type=ImportError)
    first, second = noisy_pair(shape)
    theirs = metrics.compute_fourier_ring_correlation(first, second, 1.0, 1.0)
    rings = Rings.of_shape(shape)
    # Theirs begins with the empty DC ring and ends with a ring cut through by Nyquist; ours has neither.
    same = slice(1, 1 + len(rings.frequency))
    np.testing.assert_allclose(ring_correlation(first, second, rings), theirs.correlation[same], atol=1e-6)
    np.testing.assert_array_equal(rings.n_pixels, theirs.pixels_per_ring[same])
    for bits in (0.5, 1.0):
        expected = theirs.get_bit_threshold_curve(bits)[same]
        np.testing.assert_allclose(bit_threshold(rings.n_pixels, bits=bits), expected, atol=1e-12)
    # They name a ring by its inner edge, we by its middle: half a ring width apart.
    half_width = 0.5 / min(shape)
    np.testing.assert_allclose(rings.frequency, theirs.spatial_frequency_per_m[same] + half_width)


@pytest.mark.spec("CM-8.4")
def test_rings_hold_each_frequency_up_to_nyquist_once_and_no_corner():
    rings = Rings.of_shape((50, 70))
    inside = rings.index < len(rings.frequency)
    frequency = np.hypot(np.fft.fftfreq(50)[:, None], np.fft.fftfreq(70))
    assert not inside[0, 0]
    assert frequency[inside].max() < 0.5
    assert rings.n_pixels.sum() == inside.sum()
    np.testing.assert_allclose(rings.frequency[[0, -1]], [0.03, 0.49])
    np.testing.assert_array_equal(inside, (frequency >= 0.02 - 1e-12) & (frequency < 0.5 - 1e-12))


@pytest.mark.spec("CM-8.4")
def test_equal_images_correlate_fully_up_to_nyquist():
    image = analytic_object((70, 90))
    curves = compute_frc((np.abs(image),) * 2, (np.angle(image),) * 2, frc_sigma=0.0)
    for curve in (curves.amplitude, curves.phase, curves.field):
        np.testing.assert_allclose(curve.correlation, 1, atol=1e-12)
        assert curve.cutoffs.half == FrcCutoff(0.5, beyond_last_ring=True)
        assert curve.cutoffs.one_bit.half_period_px == 1.0


@pytest.mark.spec("CM-8.4")
def test_unrelated_noise_scatters_about_zero():
    shape = (256, 256)
    rings = Rings.of_shape(shape)
    curve = ring_correlation(complex_noise(shape, 1.0, seed=2), complex_noise(shape, 1.0, seed=3), rings)
    # The real part of n products of unit phasors has variance 1/(2n); the taper costs some of n.
    scores = curve * np.sqrt(2 * rings.n_pixels)
    assert abs(scores.mean()) < 0.5
    assert 0.7 < scores.std() < 2


def test_white_signal_under_white_noise_has_the_textbook_correlation():
    shape = (256, 300)
    signal = complex_noise(shape, 1.0, seed=4)
    noisy = signal + complex_noise(shape, 0.5, seed=5)
    other = signal + complex_noise(shape, 0.5, seed=6)
    rings = Rings.of_shape(shape)
    against_truth, between_halves = (ring_correlation(noisy, image, rings) for image in (signal, other))
    weights = rings.n_pixels
    # With S = 4: sqrt(S / (1 + S)) against the truth, S / (1 + S) between two noisy images.
    assert np.average(against_truth, weights=weights) == pytest.approx(np.sqrt(0.8), abs=0.01)
    assert np.average(between_halves, weights=weights) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("shared", [0.1, 0.2, 0.35])
def test_the_cutoff_is_where_the_common_band_ends(shared):
    shape = (200, 240)
    frequency = np.hypot(np.fft.fftfreq(200)[:, None], np.fft.fftfreq(240))
    common, own = complex_noise(shape, 1.0, seed=7), [complex_noise(shape, 1.0, seed=s) for s in (8, 9)]
    first, second = (np.fft.ifft2(np.where(frequency < shared, common, part)) for part in own)
    rings = Rings.of_shape(shape)
    curve = ring_correlation(first, second, rings)
    for threshold in (0.5, 1 / 7, bit_threshold(rings.n_pixels, bits=0.5)):
        assert first_crossing(rings.frequency, curve, threshold, end=0.5).frequency == pytest.approx(
            shared, abs=1.5 / 200
        )


def test_the_bit_criteria_of_large_rings():
    many = np.array([10**12])
    # Half a bit is a signal-to-noise ratio of 0.2071 in each half, one bit of 0.5: T = S / (1 + S).
    assert bit_threshold(many, bits=0.5)[0] == pytest.approx(0.2071 / 1.2071, abs=1e-4)
    assert bit_threshold(many, bits=1.0)[0] == pytest.approx(1 / 3, abs=1e-4)
    n = np.array([8, 100])
    published = (0.2071 + 1.9102 / np.sqrt(n)) / (1.2071 + 0.9102 / np.sqrt(n))
    np.testing.assert_allclose(bit_threshold(n, bits=0.5), published, atol=1e-4)


def test_against_a_truth_the_bit_criteria_have_their_equivalents():
    half_bit, one_bit = (truth_threshold(bits=bits) for bits in (0.5, 1.0))
    assert (half_bit, one_bit) == (pytest.approx(0.541, abs=5e-4), pytest.approx(0.707, abs=5e-4))
    # An image whose halves correlate by F correlates by sqrt(2 F / (1 + F)) with what both are images of.
    for equivalent, between in ((half_bit, 0.2071 / 1.2071), (one_bit, 1 / 3), (0.5, 1 / 7)):
        assert equivalent == pytest.approx((2 * between / (1 + between)) ** 0.5, abs=1e-4)
    truth = complex_noise((90, 100), 1.0, seed=1)
    pair = truth, truth + 0.2 * complex_noise((90, 100), 1.0, seed=2)
    modulus, angle = (tuple(f(image) for image in pair) for f in (np.abs, np.angle))
    curves = compute_frc(modulus, angle, frc_sigma=0.0)
    np.testing.assert_array_equal(curves.half_bit, np.full(len(curves.frequency), half_bit))
    halves = compute_frc(modulus, angle, frc_sigma=0.0, half_sets=True)
    np.testing.assert_array_equal(halves.one_bit, bit_threshold(halves.n_pixels, bits=1.0))
    assert halves.phase.cutoffs.half is None
    assert curves.phase.cutoffs.half is not None


def test_the_mean_of_splits_is_taken_ring_by_ring_and_cut_off_anew():
    shape = (80, 90)
    one, *others = (complex_noise(shape, 1.0, seed=seed) for seed in range(4))
    blurred = gaussian_filter(one, 1.5) * 30
    every = [half_set_frc(blurred + 2 * other, blurred - other) for other in others]
    mean = mean_frc(every, frc_sigma=0.0)
    expected = np.mean([curves.field.correlation for curves in every], axis=0)
    np.testing.assert_allclose(mean.field.correlation, expected)
    assert mean.half_sets
    low, high = (f([curves.field.cutoffs.half_bit.frequency for curves in every]) for f in (min, max))
    assert 0.05 < mean.field.cutoffs.half_bit.frequency < 0.45
    assert low - 0.02 < mean.field.cutoffs.half_bit.frequency < high + 0.02


def test_a_crossing_is_interpolated_between_rings():
    frequency = np.array([0.1, 0.2, 0.3, 0.4])
    curve = np.array([0.9, 0.8, 0.4, 0.9])
    assert first_crossing(frequency, curve, 0.5, end=0.5).frequency == pytest.approx(0.275)
    assert first_crossing(frequency, curve, 0.95, end=0.5) == FrcCutoff(0.0)
    assert first_crossing(frequency, curve, 0.1, end=0.5) == FrcCutoff(0.5, beyond_last_ring=True)
    assert FrcCutoff(0.125).half_period_px == 4.0
    assert FrcCutoff(0.0).half_period_px == float("inf")


def test_smoothing_and_crossing_pass_over_empty_rings():
    curve = np.array([1.0, np.nan, 0.6, 0.2])
    frequency = np.array([0.1, 0.2, 0.3, 0.4])
    assert first_crossing(frequency, curve, 0.8, end=0.5).frequency == pytest.approx(0.2)
    np.testing.assert_array_equal(np.isnan(smoothed(curve, 1.0)), np.isnan(curve))
    assert smoothed(curve, 1.0)[3] > 0.2
    assert smoothed(curve, 0.0).tolist()[2:] == [0.6, 0.2]


def test_an_image_without_structure_correlates_with_nothing():
    shape = (40, 52)
    rings = Rings.of_shape(shape)
    image, flat = np.abs(analytic_object(shape)), np.full(shape, 0.3)
    np.testing.assert_array_equal(ring_correlation(image, flat, rings), 0.0)
    assert np.isnan(ring_correlation(flat, 2 * flat, rings)).all()
    curves = compute_frc((flat, flat), (image, image), frc_sigma=0.0)
    assert curves.amplitude.cutoffs is None
    assert curves.phase.cutoffs is not None


def test_images_under_sixteen_pixels_are_refused():
    with pytest.raises(DataError, match=r"15x40 pixels is too small .* 16 pixels"):
        Rings.of_shape((15, 40))


def test_halves_with_a_phase_ramp_between_them_are_aligned_first():
    shape = (120, 100)
    image = analytic_object(shape)
    first, second = (image + complex_noise(shape, 0.05, seed=s) for s in (10, 11))
    plain = half_set_frc(first, second)
    turned = half_set_frc(first, second * ramp_phasor(shape, (0.05, -0.02), 2.0))
    for name in ("amplitude", "phase", "field"):
        np.testing.assert_allclose(
            getattr(turned, name).correlation, getattr(plain, name).correlation, atol=1e-4
        )
    cutoff = plain.field.cutoffs.half_bit.frequency
    # The object's shortest period is six pixels; beyond it there is only noise.
    assert 0.1 < cutoff < 0.3


def test_the_half_set_frc_scores_covered_pixels_only():
    shape = (90, 100)
    image = analytic_object(shape)
    mask = np.zeros(shape, bool)
    mask[10:70, 15:95] = True
    spoilt = np.where(mask, image, np.nan)
    curves = half_set_frc(spoilt, spoilt, mask=mask)
    assert len(curves.frequency) == 60 // 2 - 1
    np.testing.assert_allclose(curves.phase.correlation, 1, atol=1e-9)
    with pytest.raises(DataError, match="not finite"):
        half_set_frc(spoilt, spoilt)


@pytest.mark.parametrize("size", [16, 17, 64, 211])
def test_the_window_is_scipys(size):
    from scipy.signal.windows import tukey

    np.testing.assert_allclose(frc._tukey_window(size), tukey(size, frc.TAPER_FRACTION), atol=1e-15)
