"""Known shifts and ramps are found; what cannot be matched is reported and not applied."""

import re

import numpy as np
import pytest
from complex_objects import analytic_object, complex_noise, ramp_phasor, siemens_star
from scipy import ndimage

from ptycho.data import random_lines
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
    noise = complex_noise(SHAPE, 1.0, seed=4)
    found = register(noise, analytic_object(SHAPE), max_shift_px=200, suggest=False)
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


def unrelated_pair(family, side, seed):
    """Two images of one family, or an object and noise of its own spectrum."""
    rng = np.random.default_rng([side, seed])
    if family == "own spectrum":
        image = analytic_object((side, side), seed=seed)
        spectrum = np.abs(np.fft.fft2(image - image.mean()))
        return image.mean() + np.fft.ifft2(spectrum * np.exp(2j * np.pi * rng.random(image.shape))), image
    if family == "lines":
        return tuple(random_lines((side, side), rng=rng, n_lines=max(8, side // 5)) for _ in range(2))
    return tuple(analytic_object((side, side), seed=2 * seed + k) for k in range(2))


@pytest.mark.spec("CM-7.9")
@pytest.mark.parametrize("family", ["lines", "waves", "own spectrum"])
@pytest.mark.parametrize("side", [24, 48])
def test_unrelated_images_are_refused(family, side):
    found = [
        register(*unrelated_pair(family, side, seed), max_shift_px=1e9, suggest=False) for seed in range(8)
    ]
    assert not any(each.plausible for each in found)
    # A bound that knows nothing of independent pixels would have accepted some.
    assert max(each.correlation for each in found) > 0.3


@pytest.mark.parametrize(("side", "sigma"), [(24, 0.08), (48, 0.3)])
def test_noise_does_not_hide_a_true_match(side, sigma):
    image = random_lines((side + 12, side + 12), rng=np.random.default_rng(8), n_lines=15)
    moving = image[8 : 8 + side, 3 : 3 + side] + complex_noise((side, side), sigma, seed=9)
    found = register(moving, image[6 : 6 + side, 6 : 6 + side], max_shift_px=8)
    assert found.plausible
    np.testing.assert_allclose(found.offset_yx, (2, -3), atol=0.5)
    assert found.correlation > found.needed_correlation
    assert found.rivalry < 0.45


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda image: image[::-1], "flipped top to bottom"),
        (lambda image: np.rot90(image), "rotated by 90° clockwise"),
        (lambda image: image[::-1, ::-1].conj(), "rotated by 180° and conjugated"),
    ],
)
def test_an_image_that_is_turned_or_mirrored_is_told_how(change, remedy):
    image = random_lines((48, 48), rng=np.random.default_rng(3), n_lines=10).astype(complex)
    found = register(change(image), image, max_shift_px=8)
    assert not found.plausible
    assert f"{remedy} it would match with a correlation of 1.000" in str(found.failure)


def test_another_pixel_size_is_named():
    image, large = analytic_object((72, 72), seed=4), 1.3
    y, x = (np.arange(72) - 35.5) / large + 35.5, (np.arange(72) - 35.5) / large + 35.5
    parts = [
        ndimage.map_coordinates(part, np.meshgrid(y, x, indexing="ij"), order=3)
        for part in (image.real, image.imag)
    ]
    found = register(parts[0] + 1j * parts[1], image, max_shift_px=8)
    assert not found.plausible
    assert re.search(r"with pixels 0\.7[5-9] times as large it would match", str(found.failure))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image.conj(), "complex conjugate of the reference"),
        (lambda image: 2 * image.mean() - image, "contrast of the image is inverted"),
        (lambda image: image, ""),
    ],
)
def test_opposite_phase_and_contrast_are_named(change, words):
    image = random_lines((80, 90), rng=np.random.default_rng(5))
    found = register(change(image), image, max_shift_px=8)
    assert found.plausible
    assert [words in note for note in found.notes] == [True] * bool(words)


def test_an_object_that_repeats_itself_is_taken_where_it_is_nearest():
    def sampled(shift_yx):
        y, x = np.arange(90)[:, None] - shift_yx[0], np.arange(100) - shift_yx[1]
        return np.exp(0.5j * (np.cos(2 * np.pi * y / 9) + np.cos(2 * np.pi * x / 11)))

    found = register(sampled((0.0, 7.0)), sampled((0.0, 0.0)), max_shift_px=8)
    np.testing.assert_allclose(found.offset_yx, (0, 4), atol=0.02)
    assert found.plausible
    assert "The object repeats itself: shifts of" in found.notes[0]
    assert "(+0.0, -7.0)" in found.notes[0].replace("-0.0,", "+0.0,")
