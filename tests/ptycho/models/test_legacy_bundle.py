"""PtychoPINN's files: predicted as by a plain twin, refused with a reason, and nothing in them is run."""

import io
import json
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from known_models import without_prediction_graphs
from ptychopinn_files import (
    VARIANTS,
    Description,
    baseline_description,
    bundle_members,
    pinn_description,
    weights_hdf5,
    write_bundle,
    write_keras2_baseline,
    zipped,
)
from ptychopinn_twins import baseline_twin, merge_twin, pinn_twin

from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.models import _untrusted, legacy_bundle
from ptycho.models.legacy_bundle import load_legacy
from ptycho.reconstruction import InferenceSettings, reconstruct

OFFSETS = np.array([[2.3, -1.6], [-3.1, 0.4], [0.5, 3.25], [0.3, -2.05]])


@pytest.fixture(autouse=True)
def _without_graphs(monkeypatch):
    without_prediction_graphs(monkeypatch)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "wts.h5.zip", pinn_description(64, 1, 0.25))


@pytest.fixture
def bundle(written, tmp_path):
    """One of its own for each test, which may spoil it."""
    return Path(shutil.copy(written, tmp_path))


@pytest.fixture(scope="module")
def opened(written):
    return load_legacy(written)


def _frames(n_channels, side=64):
    return np.random.default_rng(5).random((2, side, side, n_channels), dtype=np.float32)


def _rewrite(bundle, **changes):
    """Replace members of the inner archive; a callable changes the parsed config."""
    with zipfile.ZipFile(bundle) as outer:
        members = {name: outer.read(name) for name in outer.namelist()}
    with zipfile.ZipFile(io.BytesIO(members["diffraction_to_obj/model.keras"])) as inner:
        parts = {name: inner.read(name) for name in inner.namelist()}
    if "config" in changes:
        config = json.loads(parts["config.json"])
        changes["config"]({layer["name"]: layer for layer in config["config"]["layers"]})
        parts["config.json"] = json.dumps(config).encode()
    if "hdf5" in changes:
        buffer = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            changes["hdf5"](file)
        parts["model.weights.h5"] = buffer.getvalue()
    parts |= changes.get("parts", {})
    members["diffraction_to_obj/model.keras"] = zipped(parts)
    bundle.write_bytes(zipped(members | changes.get("members", {})))


@pytest.mark.spec("CM-2.7")
@pytest.mark.parametrize("name", VARIANTS)
def test_every_way_to_build_the_network_is_predicted_as_by_a_plain_twin(tmp_path, name):
    options = VARIANTS[name]
    gridsize, polar = options.get("gridsize", 1), options.get("use_polar", True)
    made = pinn_description(64, **options)
    model = load_legacy(write_bundle(tmp_path / "wts.h5.zip", made))
    frames, offsets = _frames(gridsize**2), np.stack([OFFSETS, OFFSETS[::-1, ::-1]])
    heads = {key: options[key] for key in ("probe_big", "pad_object") if key in options}
    for patch, frame, shifts in zip(model.predict_batch(frames, offsets), frames, offsets, strict=True):
        amplitude, phase = pinn_twin(frame, made.weights, **heads)
        patches = amplitude * np.exp(1j * phase) if polar else amplitude + 1j * phase
        if not options.get("object_big", True):
            np.testing.assert_allclose(patch, patches[..., 0], atol=1e-5)
        else:
            # A single frame lies at the centre of its group.
            sums, counts = merge_twin(patches, shifts if gridsize > 1 else np.zeros((1, 2)))
            np.testing.assert_allclose(patch * (counts + 1e-3), sums, atol=1e-5)
    assert model.trusted_crop_size == (32 if options.get("object_big", True) else 64)
    assert np.ptp(np.abs(patch[16:48, 16:48])) > 0.1


def test_what_a_bundle_is_follows_from_its_shapes(tmp_path):
    for side, gridsize, scale in ((64, 2, 0.5), (128, 2, 0.25)):
        path = write_bundle(tmp_path / f"{side}.h5.zip", pinn_description(side, gridsize, scale))
        model = load_legacy(path)
        assert (model.architecture.kind, model.patch_size, model.gridsize) == ("pinn", side, gridsize)
        assert model.trusted_crop_size == side // 2


@pytest.mark.spec("CM-2.7")
@pytest.mark.parametrize("side", [128, 256])
def test_larger_frames_are_predicted_as_by_a_plain_twin(tmp_path, side):
    made = pinn_description(side, 1, 0.25)
    model = load_legacy(write_bundle(tmp_path / "wts.h5.zip", made))
    frames = _frames(1, side)[:1]
    amplitude, phase = pinn_twin(frames[0], made.weights)
    counts = np.pad(np.ones((side // 2, side // 2)), side // 4) + 1e-3
    expected = (amplitude * np.exp(1j * phase))[..., 0]
    np.testing.assert_allclose(model.predict_batch(frames)[0] * counts, expected, atol=1e-5)


def test_the_order_of_the_description_is_free(tmp_path):
    made = pinn_description(64, 1, 0.25)
    straight = load_legacy(write_bundle(tmp_path / "a.h5.zip", made)).predict_batch(_frames(1))
    made.layers.reverse()
    shuffled = write_bundle(tmp_path / "b.h5.zip", made, weights=made.weights[::-1])
    np.testing.assert_array_equal(load_legacy(shuffled).predict_batch(_frames(1)), straight)


def test_of_a_training_network_the_part_up_to_the_object_is_read(tmp_path):
    """As the studies save it: with the diffraction, of which nothing is needed, for a second and third output."""
    made = pinn_description(64, 1, 0.25)
    plain = load_legacy(write_bundle(tmp_path / "wts.h5.zip", made)).predict_batch(_frames(1))
    made.add("ProbeIllumination", "illuminated", ["trimmed"])
    made.add("Lambda", "pred_amp_scaled", ["illuminated"], function=["never read", None, None])
    made.add("Lambda", "pred_intensity", ["pred_amp_scaled"], function=["never read", None, None])
    config = made.config(("trimmed", "pred_amp_scaled", "pred_intensity"))
    numbers = weights_hdf5(made.weights, **{"layers/probe_illumination/vars/0": np.ones((64, 64), "f")})
    path = tmp_path / "pinn_n64.keras"
    path.write_bytes(zipped({"config.json": json.dumps(config), "model.weights.h5": numbers}))
    np.testing.assert_array_equal(load_legacy(path).predict_batch(_frames(1)), plain)


def test_another_network_of_three_outputs_is_refused(tmp_path):
    made, outputs = baseline_description(32, 0.25)
    path = write_keras2_baseline(tmp_path / "model.h5", made, [*outputs, outputs[0]])
    with pytest.raises(DataError, match="has 3 outputs and no layers amp, phi, obj and padded_obj_2, but"):
        load_legacy(path)


@pytest.fixture
def baseline(tmp_path):
    return write_keras2_baseline(tmp_path / "baseline_model.h5", *baseline_description(32, 0.25))


@pytest.mark.spec("CM-2.7")
@pytest.mark.spec("CM-4.6")
def test_a_baseline_of_keras_2_is_predicted_as_by_a_plain_twin(baseline):
    made, _ = baseline_description(32, 0.25)
    found = load_legacy(baseline).predict_batch(_frames(1, 32))
    for patch, frame in zip(found, _frames(1, 32), strict=True):
        amplitude, phase = baseline_twin(frame, made.weights)
        np.testing.assert_allclose(patch, (amplitude * np.exp(1j * phase))[..., 0], atol=1e-5)


def _trap(path):
    """A pickle that makes the file `path` when it is loaded."""
    return f"cbuiltins\nopen\n(V{path}\nVw\ntR.".encode()


@pytest.mark.spec("CM-2.5")
def test_pickles_in_a_bundle_are_never_loaded(tmp_path):
    sprung = tmp_path / "sprung"
    (tmp_path / "trap").write_bytes(_trap(sprung))
    load = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    subprocess.run([sys.executable, "-c", load, tmp_path / "trap"], check=True)
    assert sprung.exists()
    sprung.unlink()

    path = write_bundle(tmp_path / "wts.h5.zip", pinn_description(64, 1, 0.25), dill=_trap(sprung))
    load_legacy(path).predict_batch(_frames(1))
    assert not sprung.exists()


def test_only_the_model_is_taken_out_of_a_bundle(bundle, monkeypatch):
    opened = []
    original = zipfile.ZipFile.open

    def recording(self, name, *args, **options):
        opened.append(getattr(name, "filename", name))
        return original(self, name, *args, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", recording)
    load_legacy(bundle)
    assert opened == ["diffraction_to_obj/model.keras", "config.json", "model.weights.h5"]


@pytest.mark.spec("CM-2.8")
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_truncated_bundle_is_refused(bundle, kept):
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match="truncated"):
        load_legacy(bundle)


def _declare(content, sizes):
    """Forge the declared sizes of members in the table of contents of a zip archive."""
    content = bytearray(content)
    at = content.index(b"PK\x01\x02")
    while content[at : at + 4] == b"PK\x01\x02":
        lengths = struct.unpack_from("<3H", content, at + 28)
        name = bytes(content[at + 46 : at + 46 + lengths[0]]).decode()
        if name in sizes:
            struct.pack_into("<I", content, at + 24, sizes[name])
        at += 46 + sum(lengths)
    return bytes(content)


MODEL = "diffraction_to_obj/model.keras"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({MODEL: 3 << 30, "manifest.dill": 3 << 30}, "in 9 members but a model has at most"),
        ({MODEL: 2 << 30}, "declares 2147483648 bytes but a model has at most"),
        ({MODEL: 5000}, "cannot be unpacked"),
    ],
)
def test_sizes_that_no_model_has_or_that_lie_are_refused(bundle, sizes, message):
    bundle.write_bytes(_declare(bundle.read_bytes(), sizes))
    with pytest.raises(DataError, match=message):
        load_legacy(bundle)


@pytest.mark.spec("CM-2.8")
def test_an_inner_bomb_is_refused(bundle):
    with zipfile.ZipFile(bundle) as outer:
        inner = _declare(outer.read(MODEL), {"config.json": 2 << 30})
    _rewrite(bundle, members={MODEL: inner})
    with pytest.raises(DataError, match=r"config\.json in .*model\.keras declares 2147483648 bytes"):
        load_legacy(bundle)


@pytest.mark.spec("CM-2.8")
@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:/evil", "a\\..\\evil"])
def test_names_that_lead_out_of_the_archive_are_refused(bundle, name):
    _rewrite(bundle, members={name: b""})
    with pytest.raises(DataError, match="leads out of the archive"):
        load_legacy(bundle)


def test_a_bundle_without_the_model_says_what_it_holds(tmp_path):
    path = tmp_path / "wts.h5.zip"
    path.write_bytes(zipped({"manifest.dill": b"x"}))
    with pytest.raises(
        DataError, match=r"no member diffraction_to_obj/model\.keras; it holds manifest\.dill"
    ):
        load_legacy(path)


def _as_external_link(file, tmp_path):
    with h5py.File(tmp_path / "elsewhere.h5", "w") as other:
        other["numbers"] = file["layers/conv2d_3/vars/0"][()]
    del file["layers/conv2d_3/vars/0"]
    file["layers/conv2d_3/vars/0"] = h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "/numbers")


def _as_soft_link(file, tmp_path):
    file["elsewhere"] = h5py.SoftLink("/layers/conv2d")


def _as_outside_storage(file, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4 * 8))
    del file["layers/conv2d/vars/1"]
    file.create_dataset("layers/conv2d/vars/1", (8,), "f4", external=[(str(tmp_path / "secret"), 0, 32)])


def _as_virtual_dataset(file, tmp_path):
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "elsewhere.h5"), "numbers", (8,))
    del file["layers/conv2d/vars/1"]
    file.create_virtual_dataset("layers/conv2d/vars/1", layout)


@pytest.mark.spec("CM-2.8")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_as_external_link, r"layers/conv2d_3/vars/0 in .* is an external link"),
        (_as_soft_link, "elsewhere in .* is a symbolic link"),
        (_as_outside_storage, "keeps its numbers in another file"),
        (_as_virtual_dataset, "keeps its numbers in another file"),
    ],
)
def test_weights_that_reach_outside_their_file_are_refused(bundle, tmp_path, change, message):
    _rewrite(bundle, hdf5=lambda file: change(file, tmp_path))
    with pytest.raises(DataError, match=message):
        load_legacy(bundle)


def test_a_ring_of_groups_is_walked_once(bundle):
    def close_ring(file):
        file["layers/back"] = file["layers"]

    _rewrite(bundle, hdf5=close_ring)
    assert load_legacy(bundle).patch_size == 64


@pytest.mark.spec("CM-2.8")
def test_a_layer_of_another_shape_is_named_with_both_shapes(tmp_path):
    made = pinn_description(64, 1, 0.25)
    made.weights[12] = (np.zeros((5, 5, 8, 8), "f"), made.weights[12][1])
    path = write_bundle(tmp_path / "wts.h5.zip", made)
    with pytest.raises(DataError, match=r"layer conv2d_49 .*\(5, 5, 8, 8\).*\(3, 3, 8, 8\)"):
        load_legacy(path)


def _declared(weights):
    """Weights as `weights_hdf5` writes them, but only their shapes: no byte of them is stored."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, (kernel, bias) in enumerate(weights):
            group = file.create_group(f"layers/conv2d_{number}/vars" if number else "layers/conv2d/vars")
            for index, shape in enumerate((kernel, bias)):
                group.create_dataset(str(index), shape, "f4", chunks=tuple(min(side, 64) for side in shape))
    return buffer.getvalue()


@pytest.fixture
def never_built(monkeypatch):
    """Fail as soon as a network is built in earnest, numbers and all."""

    def never(graph, ends):
        raise AssertionError(f"{ends} were built")

    monkeypatch.setattr(legacy_bundle, "build", never)


@pytest.mark.spec("CM-2.8")
@pytest.mark.usefixtures("never_built")
def test_a_network_larger_than_its_file_is_never_built(tmp_path):
    """Its shapes declare 3.3 GB in a file of 100 KB: each of them is right."""
    made = pinn_description(64, 1, 0.25)
    for layer in made.layers:
        if layer["config"].get("filters", 1) > 1:
            layer["config"]["filters"] *= 64
    # The border takes four features at any scale, the centre all others.
    inward = {1: 1, 4: 4, 4 + 0: 4}
    shapes = []
    for kernel, _ in made.weights:
        n_in, n_out = kernel.shape[2:]
        n_in = inward.get(n_in, n_in + 4 if n_in == 4 else n_in)
        n_in = n_in if n_in in (1, 4) else 64 * n_in
        shapes.append(
            ((3, 3, n_in, n_out if n_out == 1 else 64 * n_out), (n_out if n_out == 1 else 64 * n_out,))
        )
    centre = len(shapes) - 2
    for number in (centre, centre + 1):
        shapes[number] = ((3, 3, 64 * 8 - 4, 1), (1,))
    path = tmp_path / "wts.h5.zip"
    path.write_bytes(zipped(bundle_members(made.config(("trimmed",)), _declared(shapes))))
    with pytest.raises(DataError, match=r"bytes but declares \d{9} bytes of weights for 22 convolutions"):
        load_legacy(path)


@pytest.mark.usefixtures("never_built")
def test_a_scale_that_the_other_layers_lack_builds_nothing(bundle):
    def widen(file):
        del file["layers/conv2d_5/vars/0"]
        file.create_dataset("layers/conv2d_5/vars/0", (3, 3, 32, 2048), "f4", chunks=(3, 3, 32, 64))

    _rewrite(bundle, hdf5=widen)
    with pytest.raises(
        DataError, match=r"layer conv2d_42 .* of shape \(3, 3, 32, 2048\) .* takes .*32, 32\)"
    ):
        load_legacy(bundle)


def test_a_file_of_countless_entries_is_refused(bundle, monkeypatch):
    monkeypatch.setattr(_untrusted, "MAX_ENTRIES", 50)
    with pytest.raises(DataError, match="more than 50 entries"):
        load_legacy(bundle)


def test_a_description_of_many_megabytes_is_refused(bundle):
    _rewrite(bundle, parts={"config.json": b" " * (17 << 20) + b"{}"})
    with pytest.raises(DataError, match=r"17825794 characters, more than"):
        load_legacy(bundle)


def test_a_missing_layer_is_named(tmp_path):
    made = pinn_description(64, 1, 0.25)
    path = write_bundle(tmp_path / "wts.h5.zip", made, weights=made.weights[:-1])
    with pytest.raises(
        DataError, match=r"layer conv2d_58 has no weights .*layers/conv2d_21/vars/0 is missing"
    ):
        load_legacy(path)


def _set(layer, setting, value):
    def change(layers):
        layers[layer]["config"][setting] = value

    return change


def _of_kind(layers, kind):
    return next(layer for layer in layers.values() if layer["class_name"] == kind)


def _make_lambda(layers):
    _of_kind(layers, "GetItem")["class_name"] = "Lambda"


def _average(layers):
    _of_kind(layers, "MaxPooling2D")["class_name"] = "AveragePooling2D"


def _call_twice(layers):
    layers["conv2d_47"]["inbound_nodes"] += layers["conv2d_45"]["inbound_nodes"]


def _drop_the_phase(layers):
    layers["obj"]["inbound_nodes"] = layers["amp"]["inbound_nodes"]


def _enlarge(layers):
    for layer in layers.values():
        if layer["class_name"] == "MaxPooling2D":
            layer["class_name"] = "UpSampling2D"


def _take_every_second(layers):
    _of_kind(layers, "GetItem")["inbound_nodes"][0]["args"][1][1]["config"]["step"] = 2


def _ring(layers):
    layers["conv2d_38"]["inbound_nodes"] = layers["conv2d_42"]["inbound_nodes"]
    layers["conv2d_41"]["inbound_nodes"] = layers["conv2d_42"]["inbound_nodes"]
    layers["conv2d_42"]["inbound_nodes"] = layers["conv2d_39"]["inbound_nodes"]


def _fewer_channels(layers):
    layers["padded_obj_2"]["class_name"] = "PadReconstructionLayer"
    layers["input"]["config"]["batch_shape"] = [None, 64, 64, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("amp", "activation_name", "mystery"), "layer amp .* is 'mystery' but must be one of linear"),
        (
            _set("amp", "activation_name", {"class_name": "f"}),
            "layer amp .* activation is {'class_name': 'f'}",
        ),
        (_set("amp", "scale", float("nan")), "layer amp .* scale is nan"),
        (_set("conv2d_40", "padding", "valid"), "layer conv2d_40 .* has padding valid but must have same"),
        (_set("conv2d_40", "activation", "elu"), "layer conv2d_40 .* activation is 'elu'"),
        (_set("conv2d_40", "filters", 1e3), r"layer conv2d_40 .*\(a size is 1000\.0\)"),
        (_set("mask_0", "kind", "center"), "layer mask_0 .* has kind center but must have border"),
        (_set("input", "batch_shape", [None, 64, 48, 1]), r"input .* has shape \[None, 64, 48, 1\]"),
        (_set("input", "batch_shape", [None, 64, 64, 3]), "C a square number"),
        (
            _set("input", "batch_shape", [None, 128, 128, 1]),
            r"layer add_. .*shape \(1, 96, 96, 1\) and .* \(1, 128",
        ),
        (_set("input", "batch_shape", [None, 64, 64, 4]), r"gives images of shapes .* gives 4 of 64 x 64"),
        (_set("input", "batch_shape", [None, 1 << 20, 1 << 20, 1]), "layer input .* more than 8192 a side"),
        (_set("max_pooling2d_5", "padding", ["same"]), r"layer max_pooling2d_5 .* padding is \['same'\]"),
        (_make_lambda, "layer get_item_.* is a Lambda; what it computes is stored as code"),
        (
            _average,
            "layer max_pooling2d_5 .* is a AveragePooling2D; only PtychoPINN's convolutional networks",
        ),
        (_call_twice, "layer conv2d_47 .* is called 2 times"),
        (_drop_the_phase, "layers obj and padded_obj_2 .* are a CombineComplexLayer of 1 images"),
        (_enlarge, "layer max_pooling2d_5 .* gives images of 128 pixels from frames of 64"),
        (_take_every_second, "does not describe a functional Keras model .* a slice is"),
        (_ring, "does not describe a functional Keras model .*[Cc]ycle"),
    ],
)
def test_a_network_that_computes_something_else_is_refused(bundle, change, message):
    _rewrite(bundle, config=change)
    with pytest.raises(DataError, match=message):
        load_legacy(bundle)


def test_activations_and_scales_are_those_of_the_file(tmp_path):
    made = pinn_description(64, 1, 0.25, activation="softplus")
    path = write_bundle(tmp_path / "wts.h5.zip", made)
    _rewrite(path, config=_set("amp", "scale", 2.5))
    _rewrite(path, config=_set("phi", "scale", 1.0))
    found = load_legacy(path).predict_batch(_frames(1)[:1])[0, 16:48, 16:48] * 1.001
    amplitude, phase = pinn_twin(_frames(1)[0], made.weights, activation=lambda x: 2.5 * np.logaddexp(0, x))
    expected = (amplitude * np.exp(1j * phase / np.pi))[16:48, 16:48, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"config": {"layers": 3}}', b"\xff\xfe", b"[" * 100_000],
    ids=["nothing", "list", "empty", "number for layers", "no text", "too deep"],
)
def test_a_description_that_is_none_is_refused(bundle, text):
    _rewrite(bundle, parts={"config.json": text})
    with pytest.raises(DataError, match="does not describe a functional Keras model"):
        load_legacy(bundle)


def test_weights_that_are_no_hdf5_are_refused(bundle):
    _rewrite(bundle, parts={"model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(100)})
    with pytest.raises(DataError, match=r"model\.weights\.h5 is no HDF5 file, or a damaged one"):
        load_legacy(bundle)


def test_trained_numbers_without_a_layer_are_refused(bundle):
    def normalise(file):
        file["layers/batch_normalization/vars/0"] = np.ones(8, "f")

    _rewrite(bundle, hdf5=normalise)
    with pytest.raises(DataError, match="trained numbers at layers/batch_normalization/vars/0"):
        load_legacy(bundle)


def test_weights_noted_for_another_layer_are_refused(bundle):
    def rename(file):
        file["layers/conv2d_5/vars"].attrs["name"] = "conv2d_99"

    _rewrite(bundle, hdf5=rename)
    with pytest.raises(DataError, match=r"belongs to layer conv2d_99 but config\.json has conv2d_42"):
        load_legacy(bundle)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    made = pinn_description(64, 1, 0.25)
    made.weights[7][0][1, 2, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"layer conv2d_44 .* NaN"):
        load_legacy(write_bundle(tmp_path / "wts.h5.zip", made))


def test_a_lambda_in_a_baseline_is_refused_by_name(tmp_path):
    made, outputs = baseline_description(32, 0.25)
    made.layers[3]["class_name"] = "Lambda"
    path = write_keras2_baseline(tmp_path / "baseline_model.h5", made, outputs)
    with pytest.raises(
        DataError, match=r"layer max_pooling2d_3 .* is a Lambda; what it computes is stored as code"
    ):
        load_legacy(path)


def test_an_unknown_layer_in_a_baseline_is_refused_by_name(tmp_path):
    made, outputs = baseline_description(32, 0.25)
    made.layers[3]["class_name"] = "AveragePooling2D"
    path = write_keras2_baseline(tmp_path / "baseline_model.h5", made, outputs)
    with pytest.raises(DataError, match=r"layer max_pooling2d_3 .* is a AveragePooling2D"):
        load_legacy(path)


def test_a_baseline_with_an_external_link_is_refused(baseline, tmp_path):
    with h5py.File(baseline, "r+") as file:
        file["optimizer_weights"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    with pytest.raises(DataError, match=r"optimizer_weights .* is an external link"):
        load_legacy(baseline)


def test_a_file_of_weights_alone_is_refused(tmp_path):
    made = Description(np.random.default_rng(0))
    (tmp_path / "baseline_model.h5").write_bytes(weights_hdf5(made.weights))
    with pytest.raises(DataError, match="no model_config"):
        load_legacy(tmp_path / "baseline_model.h5")


@pytest.mark.spec("CM-6.7")
@pytest.mark.parametrize(("crop_size", "n_warnings"), [(32, 0), (33, 1)])
def test_stitching_beyond_the_central_half_is_warned_of(opened, caplog, crop_size, n_warnings):
    positions = np.array([[40.0, 41.5], [44.25, 47.0]])
    scan = ScanData(amplitude=_frames(1)[..., 0], positions_yx=positions, probe=np.ones((64, 64)))
    reconstruct(opened, scan, InferenceSettings(crop_size=crop_size, predict_batch_size=2))
    warnings = [record.getMessage() for record in caplog.records if "1000 times" in record.getMessage()]
    assert len(warnings) == n_warnings
    assert all("`crop_size=32` or less" in warning for warning in warnings)
