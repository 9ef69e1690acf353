"""The two networks: their sizes, outputs and limits."""

import keras
import numpy as np
import pytest

from ptycho.models.networks import Architecture, build_network, outline_network


def _images(network, frames):
    """Call it as it is: Keras's predict would first compile it, for longer than the rest of a test takes."""
    return [image.numpy() for image in network(frames, training=False)]


@pytest.mark.parametrize(
    ("kind", "scale", "parameters"),
    [("pinn", 1.0, 585_244), ("baseline", 1.0, 1_154_210)],
)
def test_parameter_counts_are_those_of_the_published_layout(kind, scale, parameters):
    network = build_network(Architecture(kind=kind, patch_size=64, n_filters_scale=scale))
    assert network.count_params() == parameters


@pytest.mark.parametrize("side", range(32, 257, 16))
@pytest.mark.parametrize(("kind", "gridsize"), [("pinn", 1), ("pinn", 2), ("baseline", 1)])
def test_images_have_the_shape_of_the_frames_for_every_multiple_of_16(kind, side, gridsize):
    network = outline_network(
        Architecture(kind=kind, patch_size=side, gridsize=gridsize, n_filters_scale=0.25)
    )
    assert [image.shape for image in network.outputs] == [(None, side, side, gridsize**2)] * 2


@pytest.mark.parametrize("side", [48, 64, 128])
def test_what_is_outlined_can_be_computed(side):
    network = build_network(Architecture(kind="pinn", patch_size=side, gridsize=2, n_filters_scale=0.25))
    frames = np.random.default_rng(3).random((2, side, side, 4), dtype=np.float32)
    amplitude, phase = _images(network, frames)
    assert amplitude.shape == phase.shape == frames.shape


@pytest.mark.parametrize(("side", "parameters"), [(64, 585_244), (128, 1_182_380), (256, 3_249_460)])
def test_sizes_of_networks_on_disk_stay_as_they_are(side, parameters):
    assert (
        outline_network(Architecture(kind="pinn", patch_size=side, n_filters_scale=1.0)).count_params()
        == parameters
    )


def test_pinn_amplitude_is_a_sigmoid_and_phase_within_pi_inside_the_central_half():
    network = build_network(Architecture(kind="pinn", patch_size=64, n_filters_scale=0.25))
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.5, w.shape) for w in network.get_weights()])
    frames = 5 * rng.random((2, 64, 64, 1), dtype=np.float32)
    amplitude, phase = _images(network, frames)
    centre = (slice(None), slice(16, 48), slice(16, 48))
    assert amplitude[centre].min() >= 0
    assert amplitude[centre].max() <= 1
    assert 0.5 < np.abs(phase[centre]).max() <= np.pi + 1e-6
    assert np.abs(amplitude).max() > 1


@pytest.mark.parametrize(("kind", "side"), [("pinn", 32), ("pinn", 64), ("pinn", 256), ("baseline", 64)])
def test_images_of_an_untrained_network_depend_on_the_frame(kind, side):
    """If they hardly do, training begins by learning a constant, and may never learn anything else."""
    keras.utils.set_random_seed(1)
    network = build_network(Architecture(kind=kind, patch_size=side, n_filters_scale=0.5))
    distance = np.hypot(*(np.indices((side, side)) - side // 2))[..., None]
    frames = np.random.default_rng(3).exponential(size=(4, side, side, 1)) * np.exp(-6 * distance / side)
    quarter = side // 4
    for image in _images(network, frames.astype(np.float32)):
        centre = image[:, quarter:-quarter, quarter:-quarter]
        assert centre.std(axis=0).mean() > 3e-3


def test_border_branch_leaves_the_central_half_alone():
    network = build_network(Architecture(kind="pinn", patch_size=64, n_filters_scale=0.25))
    frames = np.random.default_rng(1).random((1, 64, 64, 1), dtype=np.float32)
    before, _ = _images(network, frames)
    border = network.get_layer("amplitude_border")
    border.set_weights([weights + 1 for weights in border.get_weights()])
    after, _ = _images(network, frames)
    np.testing.assert_array_equal(before[:, 16:48, 16:48], after[:, 16:48, 16:48])
    assert np.abs(before - after)[:, :16].min() > 0


def test_mixed_precision_takes_the_same_weights_and_gives_nearly_the_same_image():
    architecture = Architecture(kind="baseline", patch_size=32, n_filters_scale=0.25)
    plain, mixed = build_network(architecture), build_network(architecture, precision="mixed_bfloat16")
    mixed.set_weights(plain.get_weights())
    frames = np.random.default_rng(1).random((2, 32, 32, 1), dtype=np.float32)
    expected, found = _images(plain, frames)[0], _images(mixed, frames)[0]
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


class PassedOn(keras.layers.Layer):
    def call(self, image):
        return image


def test_an_outline_gets_no_numbers_when_another_network_is_built_either(monkeypatch):
    """Keras makes up for weights without numbers as soon as it has to find the shape of a layer's output."""
    drawn = []
    monkeypatch.setattr(
        keras.initializers.VarianceScaling, "__call__", lambda *given, **_: drawn.append(given)
    )
    outlined = outline_network(Architecture(kind="pinn", patch_size=256, n_filters_scale=16.0))
    PassedOn()(keras.Input((8, 8, 1)))
    assert outlined.count_params() > 8e8
    assert drawn == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "pinn", "patch_size": 72}, "patch_size N is 72 but the PINN takes multiples of 16 from 32"),
        ({"kind": "baseline", "patch_size": 60}, "patch_size N is 60 but the baseline takes multiples of 8"),
        ({"kind": "baseline", "patch_size": 64, "gridsize": 2}, "gridsize is 2 for a baseline"),
        ({"kind": "pinn", "patch_size": 64, "n_filters_scale": 0}, "n_filters_scale is 0"),
        ({"kind": "gan", "patch_size": 64}, "kind is 'gan' but must be"),
    ],
)
def test_impossible_architectures_are_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**arguments)
