"""Figures of known pairs of images, and what has no figure."""

import math

import numpy as np
import pytest
from complex_objects import analytic_object, complex_noise, ramp_phasor, siemens_star
from scipy.ndimage import gaussian_filter

from ptycho.errors import DataError
from ptycho.evaluation import METRIC_NAMES, compare_images
from ptycho.image import aligned, register

SHAPE = (170, 191)
TRUTH = analytic_object(SHAPE)


def figures(metrics, channel: str) -> dict[str, float]:
    return {name: getattr(getattr(metrics, name), channel) for name in METRIC_NAMES}


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(image.real, sigma) + 1j * gaussian_filter(image.imag, sigma)


@pytest.mark.spec("CM-8.1")
@pytest.mark.parametrize("channel", ["amplitude", "phase"])
def test_equal_images_get_the_ideal_figures(channel):
    ramp = ramp_phasor(SHAPE, (0.02, -0.01), 1.0)
    metrics = compare_images(TRUTH * ramp, TRUTH * ramp)
    ideal = {"mae": 0, "mse": 0, "psnr": math.inf, "ssim": 1, "ms_ssim": 1, "frc50": 0.5, "frc1over7": 0.5}
    assert figures(metrics, channel) == pytest.approx(ideal, abs=1e-6)
    assert metrics.ms_ssim_scales == 5
    assert metrics.notes == ()


@pytest.mark.spec("CM-8.2")
@pytest.mark.parametrize("channel", ["amplitude", "phase"])
@pytest.mark.parametrize("damage", ["noise", "blur"])
def test_every_figure_falls_off_with_noise_and_with_blur(damage, channel):
    noise = complex_noise(SHAPE, 1.0, seed=1)
    grades = [
        compare_images(TRUTH + level * noise if damage == "noise" else blurred(TRUTH, 10 * level), TRUTH)
        for level in (0.05, 0.15, 0.4)
    ]
    series = np.array([[figures(grade, channel)[name] for grade in grades] for name in METRIC_NAMES])
    falls = -np.diff(series, axis=1)
    falls[:2] *= -1
    np.testing.assert_array_less(0, falls[:5])
    # A mild blur scales both sides of the ring correlation alike; only noise must pull its cut-off down.
    assert (falls[5:] >= 0).all()
    assert (series[5:, -1] < series[5:, 0]).all() or damage == "blur"


def test_the_phase_error_of_white_noise_is_its_standard_deviation():
    shape = (200, 180)
    noise = np.random.default_rng(2).normal(scale=0.1, size=shape)
    truth = analytic_object(shape, pure_phase=True)
    metrics = compare_images(truth * np.exp(1j * noise), truth)
    assert metrics.mse.phase == pytest.approx(0.01, rel=0.02)
    assert metrics.mae.phase == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.02)
    assert metrics.mae.amplitude == pytest.approx(0, abs=1e-12)


@pytest.mark.spec("CM-8.3")
def test_psnr_and_ssim_use_the_range_of_the_truth():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    metrics = compare_images(TRUTH + complex_noise(SHAPE, 0.1, seed=3), TRUTH)
    images = metrics.images
    for channel in ("amplitude", "phase"):
        image, truth = getattr(images, channel), getattr(images, f"true_{channel}")
        data_range = float(np.ptp(truth))
        psnr = peak_signal_noise_ratio(truth, image, data_range=data_range)
        assert figures(metrics, channel)["psnr"] == pytest.approx(psnr, abs=1e-9)
        floor = truth.min() if channel == "phase" else 0.0
        ssim = structural_similarity(truth - floor, image - floor, data_range=data_range)
        assert figures(metrics, channel)["ssim"] == pytest.approx(ssim, abs=1e-9)


def test_a_constant_added_to_the_true_phase_changes_nothing():
    image = TRUTH + complex_noise(SHAPE, 0.1, seed=4)
    plain, turned = compare_images(image, TRUTH), compare_images(image, TRUTH * np.exp(2.5j))
    assert figures(turned, "phase") == pytest.approx(figures(plain, "phase"), rel=1e-5)


@pytest.mark.spec("CM-8.7")
def test_a_constant_truth_leaves_relative_figures_open_and_says_why():
    truth = analytic_object(SHAPE, pure_phase=True)
    metrics = compare_images(truth * (1 + 0.1 * np.abs(TRUTH)), truth)
    assert metrics.mae.amplitude > 0.001
    open_names = ("psnr", "ssim", "ms_ssim", "frc50", "frc1over7")
    assert [figures(metrics, "amplitude")[name] for name in open_names] == [None] * 5
    assert None not in figures(metrics, "phase").values()
    assert metrics.notes == (
        "The true amplitude is constant, so its PSNR, SSIM, MS-SSIM and FRC are not defined.",
    )


@pytest.mark.parametrize(
    ("side", "missing"),
    [
        (40, set()),
        (15, {"frc50", "frc1over7"}),
        (10, {"frc50", "frc1over7", "ms_ssim"}),
        (6, {"frc50", "frc1over7", "ms_ssim", "ssim"}),
    ],
)
def test_an_image_too_small_for_a_metric_leaves_it_open_and_says_why(side, missing):
    part = TRUTH[:side, :60]
    metrics = compare_images(part + complex_noise(part.shape, 0.05, seed=5), part)
    for channel in ("amplitude", "phase"):
        assert {name for name, value in figures(metrics, channel).items() if value is None} == missing
    assert len(metrics.notes) >= 1
    assert all(f"{side}x60" in note or "scales" in note for note in metrics.notes)
    assert metrics.ms_ssim_scales == {40: 2, 15: 1, 10: 0, 6: 0}[side]


@pytest.mark.spec("CM-8.8")
def test_a_collapsed_arm_is_named():
    flat = ramp_phasor(SHAPE, (0.03, 0.01), 0.5) * (1 + complex_noise(SHAPE, 1e-3, seed=6))
    metrics = compare_images(flat, TRUTH)
    assert metrics.collapsed == ("amplitude", "phase")
    assert sum("may have collapsed" in note for note in metrics.notes) == 2
    assert metrics.ssim.amplitude < 0.3
    assert metrics.frc50.phase < 0.05
    assert compare_images(blurred(TRUTH, 2.0), TRUTH).collapsed == ()


def test_uncovered_pixels_change_nothing():
    mask = np.zeros(SHAPE, bool)
    mask[20:150, 10:160] = True
    image = TRUTH + complex_noise(SHAPE, 0.1, seed=7)
    whole = compare_images(image[20:150, 10:160], TRUTH[20:150, 10:160])
    masked = compare_images(np.where(mask, image, 99.0), TRUTH, mask=mask)
    assert figures(masked, "phase") == figures(whole, "phase")
    assert masked.window.origin_yx == (20, 10)


def test_coverage_full_of_holes_is_remarked_on():
    mask = np.ones(SHAPE, bool)
    for row in range(40, 130, 40):
        mask[row : row + 13, 40:53] = mask[row : row + 13, 120:133] = False
    found = compare_images(TRUTH, TRUTH, mask=mask)
    assert found.scored_share < 0.5
    assert f"holds {found.scored_share:.0%} of the covered pixels" in found.notes[0]


@pytest.mark.spec("CM-8.6")
def test_smoothing_the_amplitudes_spares_ms_ssim_from_noise_and_only_that():
    image = TRUTH + complex_noise(SHAPE, 0.2, seed=8)
    sharp, smooth = (compare_images(image, TRUTH, ms_ssim_sigma=sigma) for sigma in (0.0, 2.0))
    assert smooth.ms_ssim.amplitude > sharp.ms_ssim.amplitude + 0.05
    assert smooth.ms_ssim.phase == sharp.ms_ssim.phase
    assert smooth.ssim == sharp.ssim


@pytest.mark.spec("CM-8.6")
def test_smoothing_the_frc_moves_cutoffs_and_leaves_the_curve():
    image = TRUTH + complex_noise(SHAPE, 0.3, seed=9)
    rough, smooth = (compare_images(image, TRUTH, frc_sigma=sigma).frc for sigma in (0.0, 4.0))
    np.testing.assert_array_equal(smooth.phase.correlation, rough.phase.correlation)
    assert smooth.phase.cutoffs.half != rough.phase.cutoffs.half


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(DataError, match="neither may be negative"):
        compare_images(TRUTH, TRUTH, frc_sigma=-1.0)
    with pytest.raises(DataError, match="convention is 'legacy' but must be one of standard, ptychopinn"):
        compare_images(TRUTH, TRUTH, convention="legacy")


def test_the_measured_star_scores_high_once_registered_and_low_before():
    image, mask = siemens_star()
    turns = [
        np.exp(-2j * np.pi * s * np.fft.fftfreq(n)) for s, n in zip((0.6, -1.3), image.shape, strict=True)
    ]
    moved = np.fft.ifft2(np.fft.fft2(image) * turns[0][:, None] * turns[1])
    moved = 1.4 * moved * ramp_phasor(image.shape, (0.02, 0.03), 1.0)
    before = compare_images(moved, image, mask=mask)
    placed = aligned(moved, register(moved, image, mask=mask, max_shift_px=5), mask=mask)
    after = compare_images(placed.values, image, mask=placed.covered)
    assert before.ssim.phase < 0.9 < 0.99 < after.ssim.phase
    assert before.frc50.phase < 0.25
    assert after.frc50.phase == 0.5
    assert after.amplitude_scale == pytest.approx(1 / 1.4, rel=1e-3)
