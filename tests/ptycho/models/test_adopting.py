"""PtychoPINN's weights in a network of this project: the same patches, or a reason why not."""

from pathlib import Path

import numpy as np
import pytest
from known_models import without_prediction_graphs
from ptychopinn_files import baseline_description, pinn_description, write_bundle, write_keras2_baseline

from ptycho.errors import DataError
from ptycho.models import as_trainable
from ptycho.models.bundle import load_bundle, save_bundle
from ptycho.models.legacy_bundle import load_legacy
from ptycho.models.networks import Architecture

GENUINE = Path(__file__).parents[4] / "shared" / "data" / "ptychopinn-bundles"


@pytest.fixture(autouse=True)
def _without_graphs(monkeypatch):
    without_prediction_graphs(monkeypatch)


def _check_same(theirs, ours):
    side = theirs.patch_size
    frames = np.random.default_rng(5).random((2, side, side, theirs.gridsize**2), dtype=np.float32)
    start = (side - theirs.trusted_crop_size) // 2
    inner = slice(start, side - start)
    for their, our in zip(theirs.images_of(frames), ours.images_of(frames), strict=True):
        np.testing.assert_allclose(our[:, inner, inner], their[:, inner, inner], rtol=1e-4, atol=1e-5)
    assert np.ptp(their[:, inner, inner]) > 0.01


@pytest.mark.parametrize(
    ("options", "side"),
    [
        ({}, 64),
        ({"gridsize": 2}, 64),
        ({"side": 128}, 128),
        ({"probe_big": False}, 64),
        ({"object_big": False}, 64),
    ],
)
def test_the_usual_networks_give_the_same_patches(tmp_path, options, side):
    theirs = load_legacy(write_bundle(tmp_path / "wts.h5.zip", pinn_description(**options)))
    ours = as_trainable(theirs)
    expected = Architecture(
        kind="pinn", patch_size=side, gridsize=options.get("gridsize", 1), n_filters_scale=0.25
    )
    assert ours.architecture == expected
    _check_same(theirs, ours)


def test_what_is_adopted_is_a_model_of_this_project(tmp_path):
    theirs = load_legacy(write_bundle(tmp_path / "wts.h5.zip", pinn_description()))
    ours = as_trainable(theirs)
    save_bundle(tmp_path / "own", ours)
    _check_same(theirs, load_bundle(tmp_path / "own"))
    assert as_trainable(ours) is ours


def test_a_baseline_is_adopted(tmp_path):
    description, outputs = baseline_description(32, 0.25)
    write_keras2_baseline(tmp_path / "baseline_model.h5", description, outputs)
    theirs = load_legacy(tmp_path / "baseline_model.h5")
    ours = as_trainable(theirs)
    assert ours.architecture == Architecture(kind="baseline", patch_size=32, n_filters_scale=0.25)
    _check_same(theirs, ours)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"use_polar": False}, "joins its two images as rectangular"),
        ({"activation": "softplus"}, "layers of other settings than the network that this program builds"),
        ({"pad_object": False}, "of the 20 convolutions of the pinn have no like"),
        ({"one_amplitude": True, "gridsize": 2}, "layers of other settings"),
    ],
)
def test_a_network_that_means_something_else_is_refused(tmp_path, options, words):
    theirs = load_legacy(write_bundle(tmp_path / "wts.h5.zip", pinn_description(**options)))
    with pytest.raises(DataError, match=words):
        as_trainable(theirs)


@pytest.mark.skipif(not GENUINE.is_dir(), reason=f"{GENUINE} is not there")
@pytest.mark.parametrize("name", ["head_gs2", "head_n128"])
def test_a_genuine_file_is_adopted(name):
    theirs = load_legacy(GENUINE / name)
    _check_same(theirs, as_trainable(theirs))
