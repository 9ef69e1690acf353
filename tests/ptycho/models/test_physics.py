"""The physics of training against plain Fourier transforms, and its identities."""

import numpy as np
import pytest
import scipy.fft
import tensorflow as tf

from ptycho.models.physics import Background, FarField, cut_patches, merge_patches, poisson_deviance

BACKGROUNDS = np.array([1e-4, 3e-4], np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def _complex(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def test_intensity_equals_the_centred_fourier_transform_of_patch_times_probe(rng):
    probes = _complex(rng, 2, 16, 16)
    amplitude, phase = rng.random((3, 16, 16, 1), dtype="f"), rng.random((3, 16, 16, 1), dtype="f")
    which = np.array([1, 0, 1], np.int32)
    found = FarField(probes)(amplitude, phase, np.zeros((3, 1, 2), "f"), which).numpy()
    for index in range(3):
        exit_wave = (amplitude[index] * np.exp(1j * phase[index]))[..., 0] * probes[which[index]]
        expected = np.abs(scipy.fft.fftshift(scipy.fft.fft2(exit_wave))) ** 2 / 16**2
        np.testing.assert_allclose(found[index, ..., 0], expected, rtol=1e-4, atol=1e-4)


def test_merging_whole_pixel_offsets_averages_what_overlaps(rng):
    patches = _complex(rng, 1, 8, 8, 2)
    offsets = np.array([[[0.0, 0.0], [2.0, -1.0]]], "f")
    merged = merge_patches(patches, offsets, 14).numpy()[0]
    sums, counts = np.zeros((14, 14), complex), np.zeros((14, 14))
    for channel, (dy, dx) in enumerate([(0, 0), (2, -1)]):
        window = (slice(3 + dy, 11 + dy), slice(3 + dx, 11 + dx))
        sums[window] += patches[0, ..., channel]
        counts[window] += 1
    np.testing.assert_allclose(merged, sums / np.maximum(counts, 1), atol=1e-5)


def test_cutting_is_the_adjoint_of_the_unweighted_merge(rng):
    canvas, patches = _complex(rng, 1, 14, 14), _complex(rng, 1, 8, 8, 1)
    offsets = np.array([[[1.3, -0.6]]], "f")
    cut = cut_patches(canvas, offsets, 8).numpy()
    weights = merge_patches(np.ones_like(patches), offsets, 14).numpy()
    merged = merge_patches(patches, offsets, 14).numpy()
    covered = np.abs(weights) > 0
    # merge divides by the weights; multiplying them back gives the plain sum of shifted patches
    bare = tf.einsum("bij->bij", merged).numpy()
    box = np.zeros((14, 14))
    for dy, wy in ((1, 0.7), (2, 0.3)):
        for dx, wx in ((-1, 0.6), (0, 0.4)):
            box[3 + dy : 11 + dy, 3 + dx : 11 + dx] += wy * wx
    left = np.vdot(bare * box, canvas)
    right = np.vdot(patches, cut)
    assert covered.any()
    assert left == pytest.approx(right, rel=1e-4)


def test_a_merged_group_diffracts_like_its_common_object(rng):
    canvas = _complex(rng, 1, 24, 24)
    offsets = np.array([[[0.0, 0.0], [2.0, 1.0], [-1.0, 3.0], [-2.0, -3.0]]], "f")
    patches = cut_patches(canvas, offsets, 16).numpy()
    probe = _complex(rng, 1, 16, 16)
    intensity = FarField(probe, reach_px=3.0)(
        np.abs(patches), np.angle(patches), offsets, np.zeros(1, np.int32)
    )
    direct = np.abs(np.fft.fft2(patches[0].transpose(2, 0, 1) * probe[0])) ** 2 / 256
    expected = np.fft.fftshift(direct, axes=(1, 2)).transpose(1, 2, 0)
    np.testing.assert_allclose(intensity.numpy()[0], expected, rtol=2e-3, atol=2e-3)


def test_deviance_is_zero_for_a_perfect_prediction_and_grows_away_from_it(rng):
    measured = rng.random((2, 4, 4, 1), dtype="f") + 1e-4
    assert poisson_deviance(measured, measured).numpy() == pytest.approx(0, abs=1e-6)
    near, far = (poisson_deviance(measured, measured * factor).numpy() for factor in (1.1, 1.5))
    assert 0 < near < far


def test_deviance_has_the_gradient_of_the_poisson_likelihood(rng):
    measured, predicted = (tf.constant(rng.random((1, 3, 3, 1), dtype="f") + 0.5) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        loss = poisson_deviance(measured, predicted)
    expected = (1 - measured / predicted) / 9
    np.testing.assert_allclose(tape.gradient(loss, predicted), expected, rtol=1e-3, atol=1e-5)


def test_masked_pixels_add_nothing_to_the_loss_nor_to_its_gradient(rng):
    probes = _complex(rng, 2, 16, 16)
    masks = np.ones((2, 16, 16), bool)
    masks[1, 4:7, 9] = masks[1, 0, 0] = False
    amplitude, phase = (tf.constant(rng.random((2, 16, 16, 1), dtype="f")) for _ in range(2))
    which, offsets = np.array([0, 1], np.int32), np.zeros((2, 1, 2), "f")
    measured = rng.random((2, 16, 16, 1), dtype="f")
    measured[1][~masks[1]] = 0

    def loss_and_gradient(layer):
        with tf.GradientTape() as tape:
            tape.watch(phase)
            background = BACKGROUNDS[which][:, None, None, None]
            deviance = _deviance_per_pixel(measured, layer(amplitude, phase, offsets, which), background)
            loss = tf.reduce_sum(tf.boolean_mask(deviance[..., 0], masks))
        return loss.numpy(), tape.gradient(loss, phase).numpy()

    def masked_loss_and_gradient(layer):
        with tf.GradientTape() as tape:
            tape.watch(phase)
            predicted = Background(BACKGROUNDS)(layer(amplitude, phase, offsets, which), which)
            seen = measured + BACKGROUNDS[which][:, None, None, None]
            loss = poisson_deviance(seen, predicted) * measured.size
        return loss.numpy(), tape.gradient(loss, phase).numpy()

    expected = loss_and_gradient(FarField(probes))
    found = masked_loss_and_gradient(FarField(probes, masks=masks))
    without = masked_loss_and_gradient(FarField(probes))
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-5)
    assert abs(without[0] - expected[0]) > 0.01 * expected[0]


def _deviance_per_pixel(measured, predicted, background):
    return (
        predicted
        - measured
        + (measured + background) * tf.math.log((measured + background) / (predicted + background))
    )
