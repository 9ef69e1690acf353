"""What the network's graph makes of its images is what the host makes of whole patches."""

import numpy as np
import pytest
from own_networks import SIDE, known_keras, random_frames

from autobatch import BatchCost
from ptycho.diffraction import far_field_intensity
from ptycho.models import NetworkDescription
from ptycho.models._parts_graph import in_halves
from ptycho.models.own_network import network_of_callable, network_of_keras
from ptycho.models.patch_model import ForeignArchitecture, PatchModel
from ptycho.models.patch_parts import PatchLight, PatchNeeds, PatchParts
from ptycho.reconstruction import InferenceSettings, reconstruct

POLAR = NetworkDescription(outputs=("amplitude", "phase"))
RNG = np.random.default_rng(8)
PROBE = (RNG.random((SIDE, SIDE)) * np.exp(1j * RNG.random((SIDE, SIDE)))).astype(np.complex64)


def _classic(**changes):
    gridsize = changes.pop("gridsize", 1)
    architecture = ForeignArchitecture(kind="pinn", patch_size=SIDE, gridsize=gridsize, n_weights=0)
    return PatchModel(network=known_keras(channels=gridsize**2), architecture=architecture, **changes)


MODELS = {
    "PINN": _classic,
    "rectangular": lambda: _classic(combine="rectangular"),
    "a square that counts": lambda: _classic(support_size=8),
    "groups": lambda: _classic(gridsize=2, support_size=8),
    "Keras": lambda: network_of_keras(known_keras(), name="own", description=POLAR),
    "Keras, joint": lambda: network_of_keras(known_keras(joint=True), name="own", description=POLAR),
    "a function": lambda: network_of_callable(
        lambda frames: [2 * frames + 1, frames / 4], name="own", description=POLAR
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_are_those_of_the_patches(name):
    model = MODELS[name]()
    frames = random_frames(5, SIDE, model.description.n_channels)
    offsets_yx = RNG.uniform(-2, 2, (5, model.description.n_channels, 2))
    needs = PatchNeeds(7, PatchLight(PROBE, 10))
    found = model.predict_parts(frames, offsets_yx, needs, n_whole=2)
    expected = PatchParts.of(model.predict_batch(frames, offsets_yx), needs, 2)
    assert found.crops.shape == (5, 7, 7)
    for part in ("crops", "whole", "frames"):
        ours, theirs = getattr(found, part), getattr(expected, part)
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, atol=2e-6 * np.abs(theirs).max())


@pytest.mark.parametrize(("n_frames", "halves"), [(2, [1, 1]), (5, [2, 3])])
def test_a_batch_is_taken_in_halves(n_frames, halves):
    seen = []

    def parts(frames, offsets_yx, n_whole):
        seen.append(len(frames))
        return frames + 1, offsets_yx, frames[:n_whole]

    frames, offsets_yx = random_frames(n_frames), RNG.random((n_frames, 1, 2), np.float32)
    for n_whole in (0, 1, n_frames):
        found = in_halves(parts)(frames, offsets_yx, n_whole)
        for array, expected in zip(found, (frames + 1, offsets_yx, frames[:n_whole]), strict=True):
            np.testing.assert_array_equal(array, expected)
    assert seen == 3 * halves


@pytest.mark.parametrize(("n_frames", "on_card", "n_halved"), [(4, False, 1), (1, False, 0), (4, True, 0)])
def test_a_single_frame_is_not_halved_nor_a_batch_on_a_card(monkeypatch, n_frames, on_card, n_halved):
    halved = []

    def counted(parts):
        halved.append(parts)
        return in_halves(parts)

    monkeypatch.setattr("ptycho.models._parts_graph.in_halves", counted)
    needs = PatchNeeds(6, on_card=on_card)
    parts = _classic().predict_parts(random_frames(n_frames), np.zeros((n_frames, 1, 2)), needs)
    assert len(parts.crops) == n_frames
    assert len(halved) == n_halved


def test_only_what_is_needed_leaves_the_graph():
    model = _classic()
    frames = random_frames(5)
    parts = model.predict_parts(frames, np.zeros((5, 1, 2)), PatchNeeds(6), n_whole=0)
    assert (parts.crops.nbytes, parts.whole.nbytes, parts.frames) == (5 * 6 * 6 * 8, 0, None)


@pytest.mark.parametrize("trusted_size", [SIDE, 10])
def test_frames_are_the_far_field_of_what_is_trusted(trusted_size):
    patches = RNG.standard_normal((40, SIDE, SIDE, 2)).astype(np.float32).view(np.complex64)[..., 0]
    border = (SIDE - trusted_size) // 2
    inside = np.s_[border : SIDE - border, border : SIDE - border]
    filled = np.empty(patches.shape, complex)
    for patch, whole in zip(patches, filled, strict=True):
        weight = np.abs(PROBE[inside]) ** 2
        whole[:] = (patch[inside] * weight).sum() / weight.sum()
        whole[inside] = patch[inside]
    expected = np.sqrt(far_field_intensity(filled * PROBE))
    np.testing.assert_allclose(
        PatchLight(PROBE, trusted_size).frames_of(patches), expected, atol=1e-5 * expected.max()
    )


def test_a_network_that_cannot_be_followed_in_its_graph_is_followed_on_the_host():
    import keras

    # Nothing says before it runs how large its images are.
    frames = keras.Input((None, None, 1))
    anything = keras.Model(frames, [2 * frames + 1, frames / 4])
    model = network_of_keras(anything, name="own", description=POLAR)
    given = random_frames(3)
    parts = model.predict_parts(given, np.zeros((3, 1, 2)), PatchNeeds(6), n_whole=3)
    np.testing.assert_allclose(parts.whole, model.predict_batch(given), rtol=1e-6)


def test_what_follows_a_network_on_its_device_is_planned_for():
    cost = BatchCost(bytes_per_item=1000, fixed_bytes=5)
    assert PatchNeeds(6).added_to(cost, SIDE) == cost
    judged = PatchNeeds(6, PatchLight(PROBE, SIDE)).added_to(cost, SIDE)
    assert (judged.bytes_per_item, judged.fixed_bytes) == (1000 + 28 * SIDE**2, 5)


def test_on_a_card_the_graph_recomputes_what_the_verdict_compares(make_scan, monkeypatch):
    scan = make_scan(n=23)
    settings = InferenceSettings(crop_size=6, predict_batch_size=8, verdict=True)
    on_host = reconstruct(_classic(), scan, settings)
    monkeypatch.setattr("ptycho.models.patch_model.sees_card", lambda: True)
    monkeypatch.setattr(PatchLight, "frames_of", lambda *arguments: pytest.fail("computed on the host"))
    in_graph = reconstruct(_classic(), scan, settings)
    assert in_graph.patch_misfit.n_frames == 23
    assert in_graph.patch_misfit.r_factor == pytest.approx(on_host.patch_misfit.r_factor, rel=1e-5)
    np.testing.assert_allclose(
        in_graph.patch_misfit.detector_map, on_host.patch_misfit.detector_map, rtol=1e-3, atol=1e-5
    )
    np.testing.assert_array_equal(in_graph.image.values, on_host.image.values)
