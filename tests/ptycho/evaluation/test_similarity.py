"""SSIM and MS-SSIM against the formulas in NumPy, scikit-image and TensorFlow."""

import math

import numpy as np
import pytest
from complex_objects import analytic_object
from numpy.lib.stride_tricks import sliding_window_view

from ptycho.evaluation import similarity

TRUTH = np.abs(analytic_object((180, 201)))
IMAGE = TRUTH + 0.05 * np.random.default_rng(0).normal(size=TRUTH.shape)
RANGE = float(np.ptp(TRUTH))


def naive_ssim(image: np.ndarray, truth: np.ndarray, data_range: float) -> float:
    """Write out equation 13 of Wang et al. for 7x7 windows with sample (co)variances."""
    a, b = (sliding_window_view(part, (7, 7)).reshape(-1, 49) for part in (image, truth))
    mean_a, mean_b = a.mean(axis=1), b.mean(axis=1)
    covariance = ((a - mean_a[:, None]) * (b - mean_b[:, None])).sum(axis=1) / 48
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1) + c2)
    return float((luminance * structure).mean())


def naive_ms_ssim(
    image: np.ndarray, truth: np.ndarray, data_range: float, weights: tuple[float, ...]
) -> float:
    """Gaussian 11x11 windows, sigma 1.5; contrast-structure at each scale, luminance at the last; 2x2 means."""
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    value = 1.0
    for level, weight in enumerate(weights):
        a, b = (sliding_window_view(part, (11, 11)) for part in (image, truth))
        mean_a, mean_b = (np.einsum("hwij,ij->hw", part, window) for part in (a, b))
        power_a, power_b = (np.einsum("hwij,hwij,ij->hw", part, part, window) for part in (a, b))
        covariance = np.einsum("hwij,hwij,ij->hw", a, b, window) - mean_a * mean_b
        variances = power_a - mean_a**2 + power_b - mean_b**2
        term = (2 * covariance + c2) / (variances + c2)
        if level == len(weights) - 1:
            term = term * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        value *= max(float(term.mean()), 0) ** weight
        image, truth = (
            np.pad(part, [(0, size % 2) for size in part.shape], mode="symmetric") for part in (image, truth)
        )
        image, truth = (
            part.reshape(part.shape[0] // 2, 2, part.shape[1] // 2, 2).mean(axis=(1, 3))
            for part in (image, truth)
        )
    return value


def test_mae_mse_and_psnr_of_a_known_error():
    error = np.array([[3.0, -1.0], [0.0, 2.0]])
    assert similarity.mean_absolute_error(error) == 1.5
    assert similarity.mean_squared_error(error) == 3.5
    assert similarity.peak_signal_to_noise_db(3.5, data_range=10.0) == pytest.approx(14.559319556)
    assert similarity.peak_signal_to_noise_db(0.0, data_range=10.0) == math.inf


@pytest.mark.spec("CM-8.3")
def test_psnr_equals_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio

    expected = peak_signal_noise_ratio(TRUTH, IMAGE, data_range=RANGE)
    mse = similarity.mean_squared_error(IMAGE - TRUTH)
    assert similarity.peak_signal_to_noise_db(mse, data_range=RANGE) == pytest.approx(expected, rel=1e-12)


def test_ssim_equals_the_formula_written_out():
    found = similarity.structural_similarity(IMAGE, TRUTH, data_range=RANGE)
    # scikit-image scores the pixels whose window lies inside, which are those of the sliding view.
    assert found == pytest.approx(naive_ssim(IMAGE, TRUTH, RANGE), abs=1e-10)
    assert 0.1 < naive_ssim(IMAGE, TRUTH, RANGE) < 0.95


def test_ssim_of_fewer_than_seven_pixels_is_not_defined():
    assert similarity.structural_similarity(IMAGE[:6], TRUTH[:6], data_range=RANGE) is None
    assert similarity.structural_similarity(IMAGE[:7], TRUTH[:7], data_range=RANGE) is not None


@pytest.mark.spec("CM-8.3")
@pytest.mark.parametrize(
    ("side", "scales"), [(10, 0), (11, 1), (20, 1), (21, 2), (41, 3), (81, 4), (160, 4), (161, 5), (5000, 5)]
)
def test_the_number_of_scales_that_fit(side, scales):
    assert similarity.ms_ssim_scales((side, 6000)) == scales


@pytest.mark.parametrize("side", [161, 160, 30, 11])
def test_ms_ssim_equals_the_formula_written_out(side):
    image, truth = IMAGE[:side], TRUTH[:side]
    found = similarity.multi_scale_ssim(image, truth, data_range=RANGE)
    assert found is not None
    weights = np.array(similarity.MS_SSIM_WEIGHTS[: found.scales])
    expected = naive_ms_ssim(image, truth, RANGE, tuple(weights / weights.sum()))
    assert found.value == pytest.approx(expected, abs=2e-5)


@pytest.mark.spec("CM-8.3")
def test_five_scales_are_tensorflows_default():
    import tensorflow as tf

    image, truth = (tf.constant(part[..., None], tf.float32) for part in (IMAGE, TRUTH))
    expected = float(tf.image.ssim_multiscale(truth, image, max_val=RANGE))
    found = similarity.multi_scale_ssim(IMAGE, TRUTH, data_range=RANGE)
    assert found is not None
    assert found.scales == 5
    # TensorFlow's default weights are the paper's, which sum to 1.0001; ours are scaled to 1.
    assert found.value == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_declines_what_single_precision_cannot_tell():
    assert similarity.multi_scale_ssim(IMAGE + 200 * RANGE, TRUTH + 200 * RANGE, data_range=RANGE) is None


def test_blurring_by_zero_changes_nothing():
    assert similarity.blurred(IMAGE, 0.0) is IMAGE
    assert similarity.blurred(IMAGE, 1.0).std() < IMAGE.std()
