"""Frames in, one patch per group out, whatever the batch; a collapsed network is named."""

from functools import cache

import numpy as np
import pytest

from autobatch import keras_model_cost
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel, collapse_reason


@cache
def _model(gridsize=1, side=64):
    architecture = Architecture(kind="pinn", patch_size=side, gridsize=gridsize, n_filters_scale=0.25)
    return PatchModel(build_network(architecture), architecture)


@pytest.mark.parametrize("batch", [63, 64, 65, 128])
@pytest.mark.parametrize("gridsize", [1, 2])
def test_every_group_of_a_batch_gives_its_own_patch(batch, gridsize):
    model = _model(gridsize)
    rng = np.random.default_rng(2)
    frames = rng.random((batch, 64, 64, gridsize**2), dtype=np.float32)
    offsets = rng.uniform(-4, 4, (batch, gridsize**2, 2))
    patches = model.predict_batch(frames, offsets)
    assert patches.shape == (batch, 64, 64)
    assert patches.dtype == np.complex64
    alone = model.predict_batch(frames[-1:], offsets[-1:])
    np.testing.assert_allclose(patches[-1], alone[0], atol=1e-5)


def test_patch_is_amplitude_at_its_phase():
    model = _model()
    frames = np.random.default_rng(0).random((2, 64, 64, 1), dtype=np.float32)
    amplitude, phase = (image.numpy() for image in model.network(frames, training=False))
    expected = (amplitude * np.exp(1j * phase))[..., 0]
    np.testing.assert_allclose(model.predict_batch(frames), expected, atol=1e-6)


@pytest.fixture
def healthy():
    rng = np.random.default_rng(4)
    return (1 + 0.2 * rng.normal(size=(6, 16, 16))) * np.exp(1j * rng.normal(size=(6, 16, 16)))


def test_healthy_patches_are_not_called_collapsed(healthy):
    assert collapse_reason(healthy) is None


def test_a_pure_phase_object_is_not_called_collapsed(healthy):
    assert collapse_reason(healthy / np.abs(healthy)) is None


def test_constant_patches_are_called_collapsed(healthy):
    assert "nearly constant" in collapse_reason(0.8 + 0.001 * healthy)


def test_the_same_patch_for_every_frame_is_called_collapsed(healthy):
    assert "same patch for every frame" in collapse_reason(np.repeat(healthy[:1], 5, axis=0))


def test_zero_patches_are_called_collapsed(healthy):
    assert "zero" in collapse_reason(0 * healthy)


@pytest.mark.parametrize(("kind", "gridsize"), [("pinn", 2), ("baseline", 1)])
def test_the_cost_of_the_graph_that_predicts_is_that_of_the_network_traced_for_its_size(kind, gridsize):
    architecture = Architecture(kind=kind, patch_size=32, gridsize=gridsize, n_filters_scale=0.25)
    network = build_network(architecture)
    assert PatchModel(network, architecture).batch_cost((32, 32, gridsize**2)) == keras_model_cost(network)
