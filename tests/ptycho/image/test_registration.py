"""Known shifts and ramps are found; what cannot be matched is reported and not applied."""

import numpy as np
import pytest
from complex_objects import analytic_object, complex_noise, ramp_phasor, siemens_star

from ptycho.errors import DataError
from ptycho.image.registration import aligned, register

SHAPE = (120, 143)


@pytest.mark.spec("CM-7.4")
@pytest.mark.parametrize(
    ("offset_yx", "slope_yx"),
    [
        ((0.0, 0.0), (0.02, -0.013)),
        ((0.37, -0.21), (0.0, 0.0)),
        ((-1.5, 2.25), (0.3, 0.2)),
        ((9.8, -14.3), (-0.02, 0.9)),
    ],
)
def test_shift_and_ramp_are_found_together(offset_yx, slope_yx):
    reference = analytic_object(SHAPE)
    moving = analytic_object(SHAPE, shift_yx=(-offset_yx[0], -offset_yx[1]))
    moving = 1.9 * moving * ramp_phasor(SHAPE, slope_yx, 1.0)
    found = register(moving, reference, max_shift_px=20)
    np.testing.assert_allclose(found.offset_yx, offset_yx, atol=0.005)
    np.testing.assert_allclose(found.ramp.slope_yx, slope_yx, atol=1e-5)
    turned = slope_yx[0] * offset_yx[0] + slope_yx[1] * offset_yx[1]
    assert np.angle(np.exp(1j * (found.ramp.offset - 1.0 + turned))) == pytest.approx(0, abs=1e-3)
    assert found.plausible
    assert found.correlation > 0.99


def test_the_offset_is_the_one_that_scikit_image_finds():
    from skimage.registration import phase_cross_correlation

    # Content that fades out well inside the frame: periodic shifts are exact and no border matters.
    y, x = np.mgrid[:96, :110]
    reference = (analytic_object((96, 110)) - 0.8) * np.exp(-(((y - 45) / 10) ** 2) - ((x - 60) / 11) ** 2)
    turns = [np.exp(-2j * np.pi * s * np.fft.fftfreq(n)) for s, n in ((1.25, 96), (-0.73, 110))]
    moving = np.fft.ifft2(np.fft.fft2(reference) * turns[0][:, None] * turns[1])
    expected = phase_cross_correlation(reference, moving, upsample_factor=1000, normalization=None)[0]
    found = register(moving, reference, max_shift_px=5)
    np.testing.assert_allclose(found.offset_yx, expected, atol=0.002)


def test_large_images_are_searched_on_binned_ones_and_refined_on_all_pixels():
    shape, slope_yx = (210, 1030), (0.5, -0.9)
    carrier = ramp_phasor(shape, (0.8, 0.4), 0.0)
    moving = analytic_object(shape, shift_yx=(33.3, -47.8)) * carrier * ramp_phasor(shape, slope_yx, 0.7)
    found = register(moving, analytic_object(shape) * carrier, max_shift_px=80)
    np.testing.assert_allclose(found.offset_yx, (-33.3, 47.8), atol=0.005)
    np.testing.assert_allclose(found.ramp.slope_yx, slope_yx, atol=1e-5)
    assert found.plausible


@pytest.mark.spec("CM-7.4")
def test_an_object_without_amplitude_contrast_registers():
    reference = analytic_object(SHAPE, pure_phase=True)
    moving = analytic_object(SHAPE, shift_yx=(2.6, -3.3), pure_phase=True) * ramp_phasor(
        SHAPE, (0.05, 0.0), 0
    )
    moving = moving + complex_noise(SHAPE, 0.2, seed=2)
    found = register(moving, reference, max_shift_px=8)
    np.testing.assert_allclose(found.offset_yx, (-2.6, 3.3), atol=0.02)


@pytest.mark.parametrize("use_mask", [True, False])
def test_noise_at_the_uncovered_border_does_not_pull(use_mask):
    mask = np.zeros(SHAPE, bool)
    mask[18:104, 25:128] = True
    moving = analytic_object(SHAPE, shift_yx=(0.8, 1.7)) * ramp_phasor(SHAPE, (0.01, 0.03), 0.5)
    moving = np.where(mask, moving, complex_noise(SHAPE, 0.8, seed=3))
    found = register(moving, analytic_object(SHAPE), max_shift_px=8, mask=mask if use_mask else None)
    np.testing.assert_allclose(found.offset_yx, (-0.8, -1.7), atol=0.005 if use_mask else 0.1)


def test_masked_pixels_may_hold_nan():
    mask = np.ones(SHAPE, bool)
    mask[:, :20] = False
    moving = np.where(mask, analytic_object(SHAPE, shift_yx=(0.5, -0.5)), np.nan)
    found = register(moving, analytic_object(SHAPE), max_shift_px=4, mask=mask)
    np.testing.assert_allclose(found.offset_yx, (-0.5, 0.5), atol=0.005)


def test_the_reference_may_be_uncovered_in_places_too():
    known = np.zeros(SHAPE, bool)
    known[30:, :100] = True
    reference = np.where(known, analytic_object(SHAPE), 5 * complex_noise(SHAPE, 1.0, seed=6))
    moving = analytic_object(SHAPE, shift_yx=(1.3, 2.8))
    found = register(moving, reference, max_shift_px=8, reference_mask=known)
    np.testing.assert_allclose(found.offset_yx, (-1.3, -2.8), atol=0.005)
    assert found.correlation > 0.99


@pytest.mark.spec("CM-7.5")
def test_a_shift_beyond_the_bound_is_reported_and_not_applied():
    moving = analytic_object(SHAPE, shift_yx=(30.0, -22.0))
    found = register(moving, analytic_object(SHAPE), max_shift_px=10)
    np.testing.assert_allclose(found.offset_yx, (-30.0, 22.0), atol=0.02)
    assert not found.plausible
    assert found.failure == "the best match needs a shift of 37.20 px, beyond the plausible 10 px"
    np.testing.assert_array_equal(aligned(moving, found).values, moving)


def test_images_with_nothing_in_common_are_not_matched():
    found = register(complex_noise(SHAPE, 1.0, seed=4), analytic_object(SHAPE), max_shift_px=200)
    assert not found.plausible
    assert "too little in common" in str(found.failure)


def test_a_collapsed_reconstruction_is_not_registered():
    moving = 0.7 * ramp_phasor(SHAPE, (0.02, 0.05), 1.0) + complex_noise(SHAPE, 1e-4, seed=4)
    found = register(moving, analytic_object(SHAPE), max_shift_px=200)
    assert found.failure == "the moving image is featureless: but for a phase ramp it is constant"


def test_a_registered_image_lies_on_the_reference():
    reference = analytic_object(SHAPE)
    moving = analytic_object(SHAPE, shift_yx=(3.4, -1.8)) * ramp_phasor(SHAPE, (0.02, 0.01), 2.0)
    found = register(moving, reference, max_shift_px=8)
    moved = aligned(moving, found)
    flat = found.ramp.removed_from(moved.values)
    np.testing.assert_allclose(flat[moved.covered], reference[moved.covered], atol=5e-3)
    residual = register(moved.values, reference, max_shift_px=8, mask=moved.covered)
    np.testing.assert_allclose(residual.offset_yx, (0, 0), atol=0.005)


def test_the_measured_siemens_star_registers_on_itself():
    image, mask = siemens_star()
    offset_yx = (-7.37, 12.25)
    turns = [np.exp(-2j * np.pi * s * np.fft.fftfreq(n)) for s, n in zip(offset_yx, image.shape, strict=True)]
    moving = np.fft.ifft2(np.fft.fft2(image) * turns[0][:, None] * turns[1])
    moving = moving * ramp_phasor(image.shape, (0.03, -0.02), 1.0) + complex_noise(image.shape, 0.1, seed=5)
    found = register(moving, image, max_shift_px=30, mask=mask)
    np.testing.assert_allclose(found.offset_yx, np.negative(offset_yx), atol=0.02)
    np.testing.assert_allclose(found.ramp.slope_yx, (0.03, -0.02), atol=5e-5)


def test_what_cannot_be_registered_is_refused_with_the_remedy():
    image = analytic_object((40, 50))
    with pytest.raises(DataError, match="place both in one frame"):
        register(image, image[:30], max_shift_px=3)
    with pytest.raises(DataError, match="must be a complex 2-D image"):
        register(np.abs(image), image, max_shift_px=3)
    with pytest.raises(DataError, match="not finite; leave those pixels out"):
        register(np.full_like(image, np.nan), image, max_shift_px=3)
    with pytest.raises(DataError, match="0 true pixels"):
        register(image, image, max_shift_px=3, mask=np.zeros(image.shape, bool))
    with pytest.raises(DataError, match="max_shift_px is 0"):
        register(image, image, max_shift_px=0)
