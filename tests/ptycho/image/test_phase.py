"""Phase ramps are found and removed; a wrap is no error."""

import numpy as np
import pytest
from complex_objects import analytic_object, complex_noise, ramp_phasor

from ptycho.image.phase import PhaseRamp, continuous_phase, detrended_phase, fit_phase_ramp

SHAPE = (83, 120)


@pytest.mark.parametrize("slope_yx", [(0.0, 0.0), (0.01, -0.02), (0.31, 0.17), (-1.9, 2.8)])
def test_a_ramp_between_equal_objects_is_found_to_rounding(slope_yx):
    image = analytic_object(SHAPE)
    turned = 1.7 * image * ramp_phasor(SHAPE, slope_yx, 2.5)
    ramp = fit_phase_ramp(turned * image.conj())
    np.testing.assert_allclose(ramp.slope_yx, slope_yx, atol=1e-9)
    assert ramp.offset == pytest.approx(2.5, abs=1e-9)
    np.testing.assert_allclose(ramp.removed_from(turned), 1.7 * image, atol=1e-8)


def test_a_ramp_is_found_under_noise_as_strong_as_the_object():
    image = analytic_object(SHAPE)
    turned = image * ramp_phasor(SHAPE, (0.2, -0.1), -1.0) + complex_noise(SHAPE, 0.6, seed=1)
    ramp = fit_phase_ramp(turned * image.conj())
    # The Cramér-Rao bound of a slope is sigma / (amplitude · sqrt(n) · rms coordinate) = 3e-4.
    np.testing.assert_allclose(ramp.slope_yx, (0.2, -0.1), atol=1.2e-3)


def test_pixels_set_to_zero_have_no_say():
    image = np.ones(SHAPE, complex) * ramp_phasor(SHAPE, (0.05, 0.02), 0.4)
    image[:30] = 0
    ramp = fit_phase_ramp(image)
    np.testing.assert_allclose((*ramp.slope_yx, ramp.offset), (0.05, 0.02, 0.4), atol=1e-9)


def test_the_mean_method_leaves_a_ramp_alone():
    image = ramp_phasor(SHAPE, (0.01, -0.004), 0.9)
    ramp = fit_phase_ramp(image, method="mean")
    assert ramp.slope_yx == (0.0, 0.0)
    assert ramp.offset == pytest.approx(0.9)


def test_the_offset_of_a_ramp_is_the_phase_at_the_centre():
    phasor = PhaseRamp(0.3, (0.1, 0.2)).phasor((5, 7))
    assert np.angle(phasor[2, 3]) == pytest.approx(0.3)
    assert np.angle(phasor[3, 3]) == pytest.approx(0.4)
    assert np.angle(phasor[2, 4]) == pytest.approx(0.5)


def test_a_phase_of_many_turns_is_unwrapped():
    y, x = np.mgrid[:60, :90]
    phase = 9 * np.exp(-(((y - 25) / 18) ** 2) - ((x - 50) / 20) ** 2)
    found = continuous_phase(np.exp(1j * phase))
    np.testing.assert_allclose(found - found.mean(), phase - phase.mean(), atol=1e-9)


def test_a_phase_across_pi_is_not_torn():
    phase = np.pi + 0.8 * np.angle(analytic_object(SHAPE))
    found = continuous_phase(np.exp(1j * phase))
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(phase, axis=0), atol=1e-9)


def test_levelling_equals_a_least_squares_fit():
    phase = np.angle(analytic_object((21, 34)))
    y, x = np.mgrid[:21, :34]
    design = np.column_stack([np.ones(phase.size), y.ravel(), x.ravel()])
    fit = design @ np.linalg.lstsq(design, phase.ravel(), rcond=None)[0]
    np.testing.assert_allclose(
        detrended_phase(phase, method="plane"), phase - fit.reshape(phase.shape), atol=1e-12
    )
    np.testing.assert_allclose(detrended_phase(phase, method="mean"), phase - phase.mean(), atol=1e-12)
