"""Files of one's own networks: opened with their description, computed, and never trusted."""

import gc
import io
import json
import zipfile

import numpy as np
import pytest
from own_networks import SIDE, known_keras, known_patches, random_frames, write_onnx

from ptycho.errors import DataError
from ptycho.models import NetworkDescription, is_model, load_model
from ptycho.models.own_network._saved_model import _ARITHMETIC


@pytest.fixture(scope="module")
def keras_bytes(tmp_path_factory):
    """Two `.keras` files: one whose outputs are named, one whose are not."""
    folder = tmp_path_factory.mktemp("keras")
    known_keras().save(folder / "named.keras")
    known_keras(None).save(folder / "plain.keras")
    return {name: (folder / f"{name}.keras").read_bytes() for name in ("named", "plain")}


def _gives_known_patches(model):
    frames = random_frames()
    np.testing.assert_allclose(model.predict_batch(frames), known_patches(frames)[..., 0], rtol=1e-5)


def test_a_keras_file_with_named_outputs_needs_no_description(keras_bytes, tmp_path):
    path = tmp_path / "two.keras"
    path.write_bytes(keras_bytes["named"])
    assert is_model(path)
    model = load_model(path)
    assert (model.name, model.kind, model.patch_size) == ("two.keras", None, SIDE)
    assert "by their names" in model.assumptions[0]
    _gives_known_patches(model)


def test_a_keras_file_is_described_by_the_json_beside_it_by_one_that_names_it_or_in_python(
    keras_bytes, tmp_path
):
    path, beside, elsewhere = (tmp_path / name for name in ("two.keras", "two.json", "run/described.json"))
    path.write_bytes(keras_bytes["plain"])
    elsewhere.parent.mkdir()
    with pytest.raises(DataError, match=r"two.keras gives .* write a two.json beside it with {\"outputs\""):
        load_model(path)
    description = {"outputs": ["amplitude", "phase"], "input_scaling": "intensity", "trusted_crop_size": 8}
    elsewhere.write_text(json.dumps({"model": "../two.keras", **description}))
    models = [load_model(elsewhere), load_model(path, description=NetworkDescription(**description))]
    beside.write_text(json.dumps(description))
    models += [load_model(path), load_model(beside)]
    for model in models:
        assert (model.assumptions, model.trusted_crop_size, model.name) == ((), 8, "two.keras")
        assert model.description.input_scaling == "intensity"
        _gives_known_patches(model)


def _bare_convolutions(path):
    """What may be a baseline of PtychoPINN's as well: two outputs that Keras has named."""
    import keras

    frames = keras.Input((SIDE, SIDE, 1))
    images = [keras.layers.Conv2D(1, 3, padding="same", name=f"conv2d_{number}")(frames) for number in (7, 8)]
    keras.Model(frames, images).save(path)


def test_a_network_like_ptychopinns_baseline_is_taken_for_one_which_is_said_unless_it_is_described(tmp_path):
    path, beside = tmp_path / "two.keras", tmp_path / "two.json"
    _bare_convolutions(path)
    # The losses of its training, say.
    beside.write_text('{"loss": [0.5, 0.25]}')
    baseline = load_model(path)
    assert (baseline.kind, baseline.description.outputs) == ("baseline", ("amplitude", "phase"))
    assert "the file names no outputs" in baseline.assumptions[0]
    beside.write_text('{"outputs": ["phase", "amplitude"]}')
    own = load_model(path)
    assert (own.kind, own.description.outputs, own.assumptions) == (None, ("phase", "amplitude"), ())
    frames = random_frames()
    for first, second in zip(baseline.images_of(frames), own.images_of(frames), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", r"two.json is no JSON"),
        ("[1]", r"two.json holds a list but must hold {…} with model, outputs"),
        ('{"output": ["complex"]}', r"two.json has 'output' but may have .*; did you mean 'outputs'\?"),
        ('{"outputs": ["amplitude"]}', r"in .*two.json outputs is \['amplitude'\] but must be"),
        ('{"gridsize": 2}', r"takes 1 channels but is described with gridsize 2"),
        ('{"model": "three.keras"}', r"two.json describes .*three.keras but there is none"),
    ],
)
def test_a_description_that_is_none_is_told_in_a_sentence(text, complaint, keras_bytes, tmp_path):
    (tmp_path / "two.keras").write_bytes(keras_bytes["named"])
    (tmp_path / "two.json").write_text(text)
    with pytest.raises((DataError, FileNotFoundError), match=complaint):
        load_model(tmp_path / "two.json")


def _changed(content, change):
    """The archive with its description, and its weights, as `change` leaves them."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config, members)
    members.setdefault("config.json", b"")
    members["config.json"] = json.dumps(config).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return buffer.getvalue()


def _layer(config, kind="Rescaling"):
    return next(layer for layer in config["config"]["layers"] if layer["class_name"] == kind)


def _as(class_name, module="keras.layers", registered=None):
    def change(config, members):
        _layer(config).update(class_name=class_name, module=module, registered_name=registered)

    return change


def _with_activation(config, members):
    _layer(config)["config"]["activation"] = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    }  # fmt: skip


def _with_assets(config, members):
    members["assets/words.txt"] = b"secret"


def _with_many_weights(config, members):
    layer = _layer(config)
    layer.update(class_name="Dense", config={"name": "amplitude", "units": 1 << 40, "use_bias": False})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_as("Lambda"), r"has a keras.layers.Lambda, which is code of its own or reads files"),
        (_as("TFSMLayer"), r"has a keras.layers.TFSMLayer"),
        (_as("StringLookup"), r"has a keras.layers.StringLookup"),
        (_as("get_file", "keras.utils"), r"has a keras.utils.get_file"),
        (_as("Popen", "subprocess"), r"has a subprocess.Popen"),
        (_as("numpy", "keras.src.ops.numpy"), r"has a keras.src.ops.numpy.numpy"),
        (_as("Mine", None, "lab>Mine"), r"has a lab>Mine, .* compare the model with Arm.from_keras"),
        (_with_activation, r"has a system, which is code"),
        (_with_assets, r"holds assets/words.txt beside a network of Keras' own layers"),
        (_with_many_weights, r"declares \d{13} weights but holds \d+ bytes"),
        (lambda config, members: config.clear(), r"two.keras is no Keras model that can be read"),
        (lambda config, members: members.pop("model.weights.h5"), r"no member model.weights.h5"),
    ],
)
def test_a_keras_file_that_needs_more_than_kerass_own_layers_is_refused(
    change, complaint, keras_bytes, tmp_path
):
    path = tmp_path / "two.keras"
    path.write_bytes(_changed(keras_bytes["named"], change))
    with pytest.raises(DataError, match=complaint):
        load_model(path, description=NetworkDescription(outputs=("amplitude", "phase")))


@pytest.fixture(scope="module")
def trained():
    """A Keras model with weights of several kinds, that gives two channels."""
    import keras

    frames = keras.Input((SIDE, SIDE, 1))
    features = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 3, padding="same")(frames))
    half = keras.layers.UpSampling2D()(
        keras.layers.MaxPooling2D()(keras.ops.gelu(features, approximate=False))
    )
    images = keras.layers.Conv2DTranspose(2, 3, padding="same", activation="tanh")(half)
    model = keras.Model(frames, images)
    model.compile(loss="mse")
    return model


@pytest.mark.parametrize("form", ["two.keras", "exported"])
def test_trained_numbers_come_with_the_file(form, trained, tmp_path):
    path = tmp_path / form
    trained.save(path) if path.suffix else trained.export(str(path), verbose=False)
    model = load_model(path, description=NetworkDescription(outputs=("imaginary", "real")))
    # The collector takes what nobody holds; the numbers must not be among it.
    gc.collect()
    assert (model.batch_cost((SIDE, SIDE, 1)) is None) == (form == "exported")
    expected = trained(random_frames(), training=False).numpy()
    found = np.concatenate(model.images_of(random_frames()), axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_numbers_that_are_not_finite_are_refused(trained, tmp_path):
    import keras

    model = keras.models.clone_model(trained)
    description = NetworkDescription(outputs=("imaginary", "real"))
    model.layers[-1].bias.assign([np.nan, 0])
    model.save(tmp_path / "two.keras")
    with pytest.raises(DataError, match="has NaN or infinite weights"):
        load_model(tmp_path / "two.keras", description=description)


def test_an_onnx_file_of_channels_first_gives_its_patches(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = load_model(write_onnx(tmp_path / "two.onnx", names=("phi", "magnitude")))
    assert (model.description.outputs, model.patch_size) == (("phase", "amplitude"), SIDE)
    frames = random_frames()
    magnitude, phi = (image[..., 0] for image in (frames / 4, 2 * frames + 1))
    np.testing.assert_allclose(model.predict_batch(frames), magnitude * np.exp(1j * phi), rtol=1e-5)


def test_an_onnx_file_may_keep_numbers_in_its_own_folder_alone(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    (tmp_path / "run").mkdir()
    for folder in (tmp_path, tmp_path / "run"):
        (folder / "numbers").write_bytes(np.float32(2).tobytes())
    _gives_known_patches(load_model(write_onnx(tmp_path / "run" / "two.onnx", location="numbers")))
    (tmp_path / "run" / "link").symlink_to(tmp_path / "numbers")
    for location in ("../numbers", str(tmp_path / "numbers"), "link", "..\\numbers"):
        with pytest.raises(DataError, match=r"two.onnx keeps its numbers in .*, which is not in its folder"):
            load_model(write_onnx(tmp_path / "run" / "two.onnx", location=location))


def test_an_onnx_file_of_one_size_of_batch_or_that_is_none_is_refused(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    with pytest.raises(DataError, match=r"batches of any size; export it again with a dynamic first axis"):
        load_model(write_onnx(tmp_path / "two.onnx", batch=1))
    (tmp_path / "none.onnx").write_bytes(b"no protobuf")
    with pytest.raises(DataError, match=r"none.onnx is no ONNX file"):
        load_model(tmp_path / "none.onnx")


def test_without_onnxruntime_an_onnx_file_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (tmp_path / "two.onnx").write_bytes(b"")
    with pytest.raises(DataError, match=r"pip install 'ptycho-autobatch\[onnx\]'"):
        load_model(tmp_path / "two.onnx")


def _export(folder, function, shape=(None, SIDE, SIDE, 1)):
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32, name="frames")])
    tf.saved_model.save(module, str(folder), signatures=module.serve)


def test_the_signature_of_a_saved_model_gives_its_patches(tmp_path):
    folder = tmp_path / "exported"
    known_keras(None).export(str(folder), verbose=False)
    with pytest.raises(DataError, match=r"output_0 .*, output_1 .* write a exported.json beside it"):
        load_model(folder)
    (tmp_path / "exported.json").write_text('{"outputs": ["amplitude", "phase"]}')
    for path in (folder, tmp_path / "exported.json"):
        model = load_model(path)
        assert model.patch_size == SIDE
        _gives_known_patches(model)


def test_a_saved_model_that_does_more_than_arithmetic_is_not_run(tmp_path):
    import tensorflow as tf

    def writing(frames):
        tf.io.write_file(str(tmp_path / "written"), "here")
        return {"amplitude": frames, "phase": frames}

    _export(tmp_path / "writing", writing)
    with pytest.raises(DataError, match=r"computes with WriteFile, which is not plain arithmetic"):
        load_model(tmp_path / "writing")

    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant([1]), tf.constant([2.0])), 0.0
    )
    module.serve = tf.function(
        lambda frames: {"amplitude": frames, "phase": frames + module.table.lookup(tf.constant(1))},
        input_signature=[tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)],
    )
    tf.saved_model.save(module, str(tmp_path / "table"), signatures=module.serve)
    with pytest.raises(
        DataError, match=r"table has resource, which runs when it is loaded; .* with Arm.from_callable\.$"
    ):
        load_model(tmp_path / "table")
    assert not (tmp_path / "written").exists()


def test_the_operations_of_a_saved_model_that_run_have_no_effect_but_on_their_results():
    from tensorflow.python.framework import op_def_registry

    named = {name: op_def_registry.get(name) for name in _ARITHMETIC.split()}
    assert [name for name, operation in named.items() if operation is None] == []
    # Of those with a state, one reads a variable, one stops, and one calls a function, whose operations are looked at.
    assert {name for name, operation in named.items() if operation.is_stateful} == {
        "Assert",
        "ReadVariableOp",
        "ResourceGather",
        "StatefulPartitionedCall",
        "VarHandleOp",
    }


def test_a_damaged_saved_model_is_told_in_a_sentence(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"\xff\xff nothing")
    with pytest.raises(DataError, match="broken is no SavedModel with a signature serving_default"):
        load_model(tmp_path / "broken")
