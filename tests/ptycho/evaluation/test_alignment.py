"""What diffraction cannot know (a phase ramp, a factor) is taken out of a pair of images before scoring."""

import numpy as np
import pytest
from complex_objects import analytic_object, ramp_phasor

from ptycho.errors import DataError
from ptycho.evaluation.alignment import align_pair
from ptycho.image.cropping import Rectangle

SHAPE = (64, 81)


@pytest.mark.spec("CM-8.5")
@pytest.mark.parametrize("ambiguity", [(0.0, 0.0, 2.9), (0.02, -0.05, 0.3), (0.7, 1.1, -2.0)])
def test_scale_constant_and_ramp_are_not_errors(ambiguity):
    truth = analytic_object(SHAPE)
    turned = 3.7 * truth * ramp_phasor(SHAPE, ambiguity[:2], ambiguity[2])
    pair = align_pair(turned, truth)
    np.testing.assert_allclose(pair.images.amplitude, np.abs(truth), atol=1e-12)
    np.testing.assert_allclose(pair.images.phase_error, 0, atol=1e-7)
    np.testing.assert_allclose(pair.ramp.slope_yx, ambiguity[:2], atol=1e-8)
    assert pair.amplitude_scale == pytest.approx(1 / 3.7)


@pytest.mark.spec("CM-8.5")
def test_with_the_mean_method_a_ramp_is_an_error_and_a_constant_is_not():
    truth = analytic_object(SHAPE)
    constant = align_pair(truth * np.exp(2.0j), truth, phase_align="mean")
    np.testing.assert_allclose(constant.images.phase_error, 0, atol=1e-12)
    ramp = align_pair(truth * ramp_phasor(SHAPE, (0.01, 0), 0.0), truth, phase_align="mean")
    np.testing.assert_allclose(ramp.images.phase_error[-1] - ramp.images.phase_error[0], 0.63, atol=1e-9)


@pytest.mark.spec("CM-8.5")
def test_a_wrap_in_one_image_only_is_no_error():
    truth = analytic_object(SHAPE)
    phase = 5 * np.angle(truth)
    steep = np.abs(truth) * np.exp(1j * phase)
    pair = align_pair(steep * np.exp(0.01j * np.cos(np.arange(81) / 3)), steep)
    assert np.ptp(pair.images.true_phase) > 2 * np.pi
    assert np.abs(pair.images.phase_error).max() < 0.02
    np.testing.assert_allclose(
        pair.images.phase - pair.images.true_phase, pair.images.phase_error, atol=1e-12
    )


def test_a_ramp_of_the_truth_is_no_part_of_its_range():
    truth = analytic_object(SHAPE)
    plain, tilted = (align_pair(t, t) for t in (truth, truth * ramp_phasor(SHAPE, (0.1, 0.3), 1.0)))
    np.testing.assert_allclose(tilted.images.true_phase, plain.images.true_phase, atol=1e-6)


@pytest.mark.spec("CM-7.8")
def test_only_the_largest_covered_rectangle_is_used():
    mask = np.zeros(SHAPE, bool)
    mask[5:50, 10:70] = True
    mask[40:, 65] = False
    mask[20, 30] = False
    truth = analytic_object(SHAPE)
    image = np.where(mask, 2 * truth, np.nan)
    pair = align_pair(image, truth, mask=mask)
    assert pair.region.window == Rectangle(5, 50, 10, 65)
    assert np.argwhere(~pair.images.valid).tolist() == [[15, 20]]
    np.testing.assert_allclose(pair.images.true_amplitude, np.abs(truth)[5:50, 10:65])
    assert pair.amplitude_scale == pytest.approx(0.5)


def test_equal_images_have_no_error_at_all():
    truth = analytic_object(SHAPE) * ramp_phasor(SHAPE, (0.2, 0.1), 1.0)
    pair = align_pair(truth, truth)
    assert not pair.images.phase_error.any()
    np.testing.assert_array_equal(pair.images.amplitude, pair.images.true_amplitude)


def test_what_cannot_be_compared_is_refused_with_the_remedy():
    truth = analytic_object(SHAPE)
    with pytest.raises(DataError, match="place the reconstruction in the truth's frame"):
        align_pair(truth[:-1], truth)
    with pytest.raises(DataError, match=r"truth is float64 .* must be a complex"):
        align_pair(truth, np.abs(truth))
    with pytest.raises(DataError, match="reconstruction is zero on all 5184 scored pixels"):
        align_pair(np.zeros_like(truth), truth)
    with pytest.raises(DataError, match="leave them out with the mask"):
        align_pair(np.where(np.arange(81) == 4, np.inf, truth), truth)
    with pytest.raises(DataError, match="phase_align is 'planes'"):
        align_pair(truth, truth, phase_align="planes")
