"""`load_model` opens a model whoever wrote it, and says what it found instead."""

import numpy as np
import pytest
from ptychopinn_files import baseline_description, pinn_description, write_bundle, write_keras2_baseline

import ptycho
from ptycho.errors import DataError
from ptycho.models import Architecture, PatchModel, build_network, is_model, save_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Our own bundle, PtychoPINN's two files, and a file that is no model."""
    folder = tmp_path_factory.mktemp("models")
    own = Architecture(kind="baseline", patch_size=32, n_filters_scale=0.25)
    save_bundle(folder / "own", PatchModel(build_network(own), own))
    (folder / "theirs").mkdir()
    write_bundle(folder / "theirs" / "wts.h5.zip", pinn_description(64, 1, 0.25))
    write_keras2_baseline(folder / "theirs" / "baseline_model.h5", *baseline_description(32, 0.25))
    np.savez(folder / "image.npz", reconstructed_object=np.ones((4, 5), complex))
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "found", "side"),
    [
        ("own", None, "baseline", 32),
        ("own", "baseline", "baseline", 32),
        ("theirs/wts.h5.zip", None, "pinn", 64),
        ("theirs", "pinn", "pinn", 64),
        ("theirs", "baseline", "baseline", 32),
    ],
)
def test_a_model_opens_by_folder_or_file_whoever_wrote_it(folder, name, kind, found, side):
    model = ptycho.load_model(folder / name, kind=kind)
    assert (model.architecture.kind, model.patch_size) == (found, side)
    frames = np.random.default_rng(1).random((2, side, side, 1), np.float32)
    patches = model.predict_batch(frames)
    assert (patches.shape, patches.dtype) == ((2, side, side), np.complex64)


@pytest.mark.parametrize(
    ("name", "kind", "error", "message"),
    [
        ("nowhere", None, FileNotFoundError, "nowhere does not exist; name a model's folder"),
        ("image.npz", None, DataError, r"image\.npz is no model but a model is wanted"),
        ("image.npz", "pinn", DataError, r"image\.npz is no model but a pinn is wanted"),
        ("empty", None, DataError, "empty holds no model"),
        ("own", "pinn", DataError, "own holds a baseline but a pinn is wanted; name another folder"),
    ],
)
def test_what_is_no_such_model_is_refused_in_a_sentence(folder, name, kind, error, message):
    with pytest.raises(error, match=message):
        ptycho.load_model(folder / name, kind=kind)


def test_only_models_are_taken_for_models(folder):
    names = ("own", "theirs", "theirs/baseline_model.h5", "image.npz", "empty", "nowhere")
    assert [is_model(folder / name) for name in names] == [True, True, True, False, False, False]
