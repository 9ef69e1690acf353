"""Models that Keras itself saved, with layers of PtychoPINN's names: its way of writing is read as well."""

import keras
import numpy as np
import pytest
from keras import layers
from ptychopinn_files import bundle_members, zipped

from ptycho.models.legacy_bundle import load_legacy


def _frames(n_channels, side=64):
    return np.random.default_rng(5).random((2, side, side, n_channels), dtype=np.float32)


def _images(network, frames):
    """Call it as it is: Keras's predict would first compile it, for longer than the rest of a test takes."""
    return [image.numpy() for image in network(frames, training=False)]


def test_a_file_saved_by_keras_itself_gives_its_own_prediction(tmp_path):
    network = _keras_baseline()
    network.save(tmp_path / "model.keras")
    members = bundle_members({}, b"") | {
        "diffraction_to_obj/model.keras": (tmp_path / "model.keras").read_bytes()
    }
    (tmp_path / "wts.h5.zip").write_bytes(zipped(members))
    network.save(tmp_path / "baseline_model.h5")
    amplitude, phase = _images(network, _frames(1, 32))
    expected = (amplitude * np.exp(1j * phase))[..., 0]
    for name in ("wts.h5.zip", "baseline_model.h5", "model.keras"):
        model = load_legacy(tmp_path / name)
        np.testing.assert_allclose(model.predict_batch(_frames(1, 32)), expected, atol=1e-5)
        assert model.trusted_crop_size == 32


def test_a_baseline_of_four_frames_averages_its_four_patches(tmp_path):
    """As those of gridsize 2 were until September 2025."""
    network = _keras_baseline(4)
    network.save(tmp_path / "baseline_model.h5")
    amplitude, phase = _images(network, _frames(4, 32))
    shifts = np.array([[1, -2], [0, 3], [-2, 0], [3, 1]])
    patches = amplitude * np.exp(1j * phase)
    shifted = [np.roll(patches[..., c], shift, axis=(1, 2)) for c, shift in enumerate(shifts)]
    model = load_legacy(tmp_path)
    found = model.predict_batch(_frames(4, 32), np.stack([shifts, shifts]).astype(float))
    inner = slice(3, -3)
    np.testing.assert_allclose(found[:, inner, inner], np.mean(shifted, axis=0)[:, inner, inner], atol=1e-5)
    assert (model.gridsize, model.trusted_crop_size) == (2, 32)


def _keras_baseline(n_channels=1):
    """A baseline whose layers were made in another order than ours, with names that count on from 100."""

    def convolve(x, filters, activation="relu"):
        convolve.number += 1
        name = f"conv2d_{convolve.number}"
        return layers.Conv2D(filters, 3, padding="same", activation=activation, name=name)(x)

    convolve.number = 99
    frames = x = keras.Input((32, 32, n_channels), name="input")
    for filters in (8, 16, 32):
        x = layers.MaxPooling2D(padding="same")(convolve(convolve(x, filters), filters))
    phase = amplitude = x
    for filters in (32, 16, 8):
        phase = layers.UpSampling2D()(convolve(convolve(phase, filters), filters))
        amplitude = layers.UpSampling2D()(convolve(convolve(amplitude, filters), filters))
    phase = convolve(phase, n_channels, "linear")
    return keras.Model(frames, [convolve(amplitude, n_channels, "linear"), phase])


class IntensityScaler(layers.Layer):
    def call(self, inputs):
        return inputs[0]


class ActivationLayer(layers.Layer):
    def __init__(self, activation_name, scale=1.0, **options):
        super().__init__(**options)
        self.activation_name, self.scale = activation_name, scale

    def call(self, image):
        return self.scale * keras.activations.get(self.activation_name)(image)

    def get_config(self):
        return super().get_config() | {"activation_name": self.activation_name, "scale": self.scale}


class CenterMaskLayer(layers.Layer):
    def call(self, image):
        side = image.shape[1]
        hole = keras.ops.ones((1, side // 2, side // 2, 1))
        return 1 - keras.ops.pad(hole, ((0, 0), (side // 4,) * 2, (side // 4,) * 2, (0, 0)))


class CombineComplexLayer(layers.Layer):
    def call(self, images):
        return images[0] + images[1]


class ReassemblePatchesLayer(layers.Layer):
    def call(self, inputs):
        return inputs[0]


def _keras_pinn():
    """The object's network of gridsize 2 with one amplitude, and its two images."""

    def convolve(x, filters, activation="relu"):
        return layers.Conv2D(filters, 3, padding="same", activation=activation, bias_initializer="normal")(x)

    frames, positions = keras.Input((64, 64, 4), name="input"), keras.Input((1, 2, 4), name="input_positions")
    encoded = IntensityScaler()([frames])
    for filters in (8, 16, 32):
        encoded = layers.MaxPooling2D(2, padding="same")(convolve(convolve(encoded, filters), filters))
    images = []
    for name, count, activation, scale in (("amp", 1, "sigmoid", 1.0), ("phi", 4, "tanh", np.pi)):
        x = encoded
        for filters in (16, 8):
            x = layers.UpSampling2D(2)(convolve(convolve(x, filters), filters))
        centre = convolve(x[..., :-4], count, "linear")
        centre = ActivationLayer(activation, scale, name=name)(centre)
        border = layers.UpSampling2D(2)(convolve(convolve(x[..., -4:], 8), 8))
        border = keras.activations.silu(convolve(border, count, "linear"))
        border = border * CenterMaskLayer()(border)
        images.append(layers.ZeroPadding2D(16)(centre) + border)
    placed = ReassemblePatchesLayer(name="padded_obj_2")([CombineComplexLayer(name="obj")(images), positions])
    return keras.Model([frames, positions], placed), keras.Model(frames, images)


@pytest.mark.spec("CM-2.7")
def test_a_pinn_saved_by_keras_itself_gives_its_own_images(tmp_path):
    network, to_images = _keras_pinn()
    network.save(tmp_path / "pinn.keras")
    model = load_legacy(tmp_path / "pinn.keras")
    for found, expected in zip(
        _images(model.network, _frames(4)), _images(to_images, _frames(4)), strict=True
    ):
        assert np.ptp(expected) > 0.01
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (model.combine, model.gridsize, model.trusted_crop_size) == ("rectangular", 2, 32)
