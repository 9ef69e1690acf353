"""PtychoPINN's placement and metrics, against the same steps in plain loops."""

import math

import numpy as np
import pytest
from complex_objects import analytic_object, complex_noise, ramp_phasor
from legacy_scores import plain_scores

from ptycho.errors import DataError
from ptycho.evaluation import compare_by_ptychopinn, compare_images
from ptycho.evaluation.ptychopinn_convention import place_by_ptychopinn
from ptycho.image.cropping import Rectangle

SHAPE = (97, 120)
TRUTH = analytic_object(SHAPE)
IMAGE = 1.6 * (TRUTH + complex_noise(SHAPE, 0.15, seed=1)) * ramp_phasor(SHAPE, (0.01, -0.006), 0.3)


@pytest.mark.spec("CM-8.9")
@pytest.mark.parametrize("method", ["plane", "mean"])
def test_every_figure_equals_the_steps_written_out(method):
    found = compare_images(IMAGE, TRUTH, phase_align=method, convention="ptychopinn")
    for name, (amplitude, phase) in plain_scores(IMAGE, TRUTH, method).items():
        assert getattr(found, name).amplitude == pytest.approx(amplitude, rel=1e-9), name
        assert getattr(found, name).phase == pytest.approx(phase, rel=1e-9), name
    assert found.frc.unit == "ring"
    assert found.frc.amplitude.cutoffs.half.frequency > 1


@pytest.mark.spec("CM-8.9")
def test_the_curve_has_a_ring_for_each_radius_into_the_corners():
    frc = compare_images(IMAGE, TRUTH, convention="ptychopinn").frc
    assert len(frc.frequency) == round(math.hypot(46, 46)) + 1
    assert frc.n_pixels.sum() == 93**2


@pytest.mark.spec("CM-8.9")
def test_placement_cuts_the_window_and_then_both_about_their_centres():
    truth = analytic_object((200, 240))
    positions = np.array([[60.9, 70.2], [100.0, 171.7], [130.6, 90.0]])
    reconstruction = analytic_object((88, 140), seed=1)
    placed = place_by_ptychopinn(reconstruction, truth, positions, crop_size=20)
    # Rows 50…139 and columns 60…180 of the truth; then the smaller of (90, 121) and (88, 140).
    assert placed.window == Rectangle(51, 139, 60, 181)
    np.testing.assert_array_equal(placed.truth, truth[51:139, 60:181])
    np.testing.assert_array_equal(placed.reconstruction, reconstruction[:, 9:130])


def test_placement_stops_at_the_border_of_the_truth():
    truth = analytic_object((60, 70))
    placed = place_by_ptychopinn(
        analytic_object((100, 100)), truth, np.array([[4.0, 5.0], [55.0, 66.0]]), crop_size=20
    )
    assert placed.window == Rectangle(0, 60, 0, 70)


def test_a_raw_reconstruction_is_placed_and_scored_in_one_go():
    truth = analytic_object((150, 170))
    positions = np.array([[40.0, 45.0], [100.0, 110.0]])
    raw = truth[28:112, 33:122] + complex_noise((84, 89), 0.05, seed=2)
    found = compare_by_ptychopinn(raw, truth, positions, crop_size=20)
    # Window rows 30…109 and columns 35…119; the raw image's centre 80 x 85 pixels lie exactly on it.
    expected = plain_scores(raw[2:82, 2:87], truth[30:110, 35:120], "plane")
    assert found.mae.amplitude == pytest.approx(expected["mae"][0], rel=1e-9)
    assert found.ms_ssim.phase == pytest.approx(expected["ms_ssim"][1], rel=1e-9)
    assert found.window == Rectangle(32, 108, 37, 118)


def test_a_window_outside_the_truth_or_a_tiny_one_is_refused():
    with pytest.raises(DataError, match="leave no window"):
        place_by_ptychopinn(TRUTH, TRUTH, np.array([[900.0, 20.0]]), crop_size=8)
    with pytest.raises(DataError, match="at least 11 pixels"):
        compare_images(TRUTH[:10], TRUTH[:10], convention="ptychopinn")


def test_a_constant_true_amplitude_leaves_its_ssim_open():
    truth = analytic_object(SHAPE, pure_phase=True)
    flat = np.exp(1j * np.angle(truth).astype(np.float32)).astype(np.complex128)
    flat.real, flat.imag = np.full(SHAPE, 0.6), np.full(SHAPE, 0.8)
    found = compare_images(IMAGE, flat, convention="ptychopinn")
    assert found.ssim.amplitude is None
    assert "constant" in found.notes[0]
