"""A saved model predicts the same when it is read back; a damaged bundle is refused."""

import json
import os
import shutil
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

from ptycho.errors import DataError
from ptycho.models import bundle
from ptycho.models.bundle import load_bundle, save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel

pytestmark = pytest.mark.usefixtures("shallow")


@pytest.fixture
def model():
    architecture = Architecture(kind="baseline", patch_size=32, n_filters_scale=0.25)
    probe = (np.arange(32 * 32).reshape(32, 32) * (1 + 2j)).astype(np.complex64)
    return PatchModel(build_network(architecture), architecture, np.stack([probe, 1j + probe]), {"seed": 7})


def test_a_bundle_gives_back_the_same_model(model, tmp_path):
    save_bundle(tmp_path / "new", model)
    loaded = load_bundle(tmp_path / "new")
    frames = np.random.default_rng(0).random((3, 32, 32, 1), dtype=np.float32)
    np.testing.assert_array_equal(loaded.predict_batch(frames), model.predict_batch(frames))
    assert loaded.architecture == model.architecture
    assert loaded.training == {"seed": 7}
    np.testing.assert_array_equal(loaded.probes, model.probes)


def test_only_the_three_files_are_left(model, tmp_path):
    save_bundle(tmp_path, model)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.json", "network.weights.h5", "probes.npy"}


def test_no_file_is_a_pickle(model, tmp_path):
    save_bundle(tmp_path, model)
    assert (tmp_path / "network.weights.h5").read_bytes()[:4] == b"\x89HDF"
    json.loads((tmp_path / "bundle.json").read_text())
    np.load(tmp_path / "probes.npy", allow_pickle=False)


@pytest.mark.parametrize("change", [{"combine": "rectangular"}, {"support_size": 16}])
def test_what_a_bundle_cannot_say_is_not_silently_lost(model, tmp_path, change):
    with pytest.raises(DataError, match="only PtychoPINN's own files can say"):
        save_bundle(tmp_path / "new", replace(model, **change))
    assert not (tmp_path / "new").exists()


def test_an_activation_of_another_kind_is_not_silently_lost(model, tmp_path):
    model.network.get_layer("amplitude").activation = keras.activations.softplus
    with pytest.raises(DataError, match=r"layer amplitude of the baseline ends in softplus .* with linear"):
        save_bundle(tmp_path / "new", model)
    assert not (tmp_path / "new").exists()


def test_weights_of_lower_precision_layers_are_saved(tmp_path):
    architecture = Architecture(kind="pinn", patch_size=64, n_filters_scale=0.25)
    network = build_network(architecture, precision="mixed_bfloat16")
    save_bundle(tmp_path, PatchModel(network, architecture))
    assert load_bundle(tmp_path).architecture == architecture


@pytest.mark.spec("CM-2.8")
def test_a_network_larger_than_its_weights_is_never_built(model, tmp_path, monkeypatch):
    save_bundle(tmp_path, replace(model, probes=None))
    _rewrite(tmp_path, architecture={"kind": "pinn", "patch_size": 256, "n_filters_scale": 16.0})
    monkeypatch.setattr(bundle, "build_network", None)
    with pytest.raises(DataError, match=r"\d+ bytes but 3321\d{6} are needed"):
        load_bundle(tmp_path)


def test_weights_with_an_external_link_are_refused(model, tmp_path):
    save_bundle(tmp_path, model)
    with h5py.File(tmp_path / "network.weights.h5", "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(DataError, match=r"elsewhere in .* is an external link"):
        load_bundle(tmp_path)


def _rewrite(folder, **changes):
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_later_schema_is_refused(model, tmp_path):
    save_bundle(tmp_path, model)
    _rewrite(tmp_path, schema_version=99)
    with pytest.raises(DataError, match="schema version 99"):
        load_bundle(tmp_path)


def test_weights_of_another_architecture_are_refused(model, tmp_path):
    save_bundle(tmp_path, model)
    _rewrite(tmp_path, architecture={"kind": "baseline", "patch_size": 32, "n_filters_scale": 0.5})
    with pytest.raises(DataError, match="do not fit the baseline"):
        load_bundle(tmp_path)


def test_an_unknown_field_is_refused(model, tmp_path):
    save_bundle(tmp_path, model)
    _rewrite(tmp_path, architecture={"kind": "baseline", "patch_size": 32, "run": "rm"})
    with pytest.raises(DataError, match="does not describe a model"):
        load_bundle(tmp_path)


def test_truncated_weights_are_refused(model, tmp_path):
    save_bundle(tmp_path, model)
    weights = tmp_path / "network.weights.h5"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"network\.weights\.h5"):
        load_bundle(tmp_path)


def test_a_folder_of_a_training_that_was_stopped_is_told_from_an_empty_one(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"numbers")
    with pytest.raises(DataError, match=r"was stopped but no model; go on .* `resume=True`"):
        load_bundle(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no model \(bundle\.json is missing\)"):
        load_bundle(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        load_bundle(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def small_saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    architecture = Architecture(kind="baseline", patch_size=16, n_filters_scale=0.25)
    save_bundle(folder, PatchModel(build_network(architecture), architecture))
    return folder


@pytest.mark.parametrize("shape", [(16, 16), (0, 16, 16), (2, 16, 15)])
def test_probes_of_another_shape_are_one_sentence(small, shape, without_keras):
    np.save(small / "probes.npy", np.ones(shape))
    with pytest.raises(DataError, match=r"probes\.npy has shape .* but the model's patches are 16x16"):
        load_bundle(small)


def test_a_bundle_of_the_first_schema_is_read_and_replaced_whole(model, tmp_path):
    save_bundle(tmp_path, replace(model, probes=None))
    description = json.loads((tmp_path / "bundle.json").read_text())
    (tmp_path / "bundle.json").write_text(json.dumps(description | {"schema_version": 1}))
    np.save(tmp_path / "probe.npy", model.probes[1])
    loaded = load_bundle(tmp_path)
    np.testing.assert_array_equal(loaded.probes, model.probes[1:])
    assert loaded.training_frames == ()
    save_bundle(tmp_path, loaded)
    assert not (tmp_path / "probe.npy").exists()
    np.testing.assert_array_equal(load_bundle(tmp_path).probes, model.probes[1:])


def test_a_record_of_something_else_is_no_reason_to_refuse_a_model(model):
    for record in ({"scans": 3}, {"scans": [{}]}, {"scans": [{"frames": {"energy": "much"}}]}):
        assert replace(model, training=record).training_frames == ()


@pytest.fixture
def small(small_saved, tmp_path):
    """The folder of a small model."""
    return shutil.copytree(small_saved, tmp_path / "small")


@pytest.fixture
def without_keras(monkeypatch):
    """Fail if a network is so much as outlined: a damaged file is refused before Keras is there."""
    for name in ("build_network", "outline_network"):
        monkeypatch.setattr(bundle, name, lambda *_: pytest.fail("a network was built"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(small, value, without_keras):
    with h5py.File(small / "network.weights.h5", "r+") as file:
        file["layers/conv2d/vars/0"][0, 0, 0, 3] = value
    with pytest.raises(DataError, match=r"network\.weights\.h5 has NaN or infinite weights"):
        load_bundle(small)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 500])
def test_a_probe_that_is_no_array_is_one_sentence(small, content, without_keras):
    (small / "probes.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"probes\.npy cannot be read as a NumPy array"):
        load_bundle(small)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"schema_version": 1, "training": {}, "architecture": {"kind": "baseline", "patch_size": 1%s}}'
        % ("0" * 400),
        '{"schema_version": 1, "training": {}, "architecture": {"kind": "baseline", "patch_size": 16,'
        ' "n_filters_scale": 1e300}}',
        '{"schema_version": 1, "training": {}, "architecture": []}',
        "\udce9",
    ],
)
def test_a_description_of_no_network_is_one_sentence(small, text, monkeypatch):
    monkeypatch.setattr(bundle, "build_network", lambda *_: pytest.fail("a network was built"))
    (small / "bundle.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"bundle\.json|network\.weights\.h5"):
        load_bundle(small)


def test_a_description_without_end_is_not_read(small, monkeypatch):
    monkeypatch.setattr(bundle, "_MAX_DESCRIPTION_BYTES", 1000)
    (small / "bundle.json").write_text(" " * 1001)
    with pytest.raises(DataError, match=r"bundle\.json is damaged \(it has more than 1000 bytes\)"):
        load_bundle(small)


@pytest.mark.parametrize("change", ["another", "one more"])
def test_weights_of_other_shapes_are_refused_before_they_are_unpacked(small, change, without_keras):
    with h5py.File(small / "network.weights.h5", "r+") as file:
        vars_ = file["layers/conv2d/vars"]
        if change == "another":
            del vars_["0"]
        vars_.create_dataset("0" if change == "another" else "2", (3000, 4000), "f4", compression="gzip")
    with pytest.raises(DataError, match=r"do not fit the baseline .*\(\d+ bytes but 48\d{6} are declared\)"):
        load_bundle(small)


def test_weights_without_a_shape_are_refused(small, without_keras):
    with h5py.File(small / "network.weights.h5", "r+") as file:
        file["layers/conv2d/vars"].create_dataset("2", data=h5py.Empty("f4"))
    with pytest.raises(DataError, match=r"layers/conv2d/vars/2 in .*network\.weights\.h5 holds nothing"):
        load_bundle(small)


@pytest.mark.parametrize("name", ["network.weights.h5", "probes.npy"])
def test_a_pipe_in_a_bundle_is_not_waited_for(small, name):
    (small / name).unlink(missing_ok=True)
    os.mkfifo(small / name)
    with pytest.raises(DataError, match=f"{name} is a pipe"):
        load_bundle(small)


@pytest.mark.parametrize("kind", ["baseline", "pinn"])
def test_weights_are_laid_out_as_keras_does(tmp_path, kind):
    architecture = Architecture(kind=kind, patch_size=64, n_filters_scale=0.25)
    network = build_network(architecture)
    network.save_weights(tmp_path / "keras.weights.h5")
    save_bundle(tmp_path, PatchModel(network, architecture))
    found = []
    for name in ("keras.weights.h5", "network.weights.h5"):
        with h5py.File(tmp_path / name) as file:
            entries = {}
            file.visititems(
                lambda path, entry, entries=entries: entries.update(
                    {path: (dict(entry.attrs), entry[()].tobytes() if hasattr(entry, "dtype") else None)}
                )
            )
            found.append(entries)
    assert found[0] == found[1]
