"""SavedModels of Keras 2: description and numbers are read, the program and the pickles in them are not."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from ptychopinn_files import (
    baseline_description,
    keras_2_config,
    keras_metadata,
    pinn_description,
    protobuf_field,
    store_last_steps_as_code,
    write_saved_model,
    zipped,
)
from ptychopinn_twins import merge_twin, pinn_twin

from ptycho.errors import DataError
from ptycho.models import legacy_bundle
from ptycho.models.legacy_bundle import load_legacy
from ptycho.models.legacy_bundle._saved_model import description_in

# A table of TensorFlow's whose last 48 bytes place its index beyond the end of the file.
_BEYOND_ITS_END = bytes(60) + b"\0\0\xff\x01\xff\x01".ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
OFFSETS = np.array([[2.3, -1.6], [-3.1, 0.4], [0.5, 3.25], [0.3, -2.05]])
FRAMES = np.random.default_rng(5).random((1, 64, 64, 4), dtype=np.float32)
MASK = np.ones((1, 64, 64, 1))
MASK[:, 16:48, 16:48] = 0


@pytest.fixture(scope="module")
def made():
    description = pinn_description(64, 2, 0.25, one_amplitude=True)
    store_last_steps_as_code(description)
    return description


@pytest.fixture(scope="module")
def saved(made, tmp_path_factory):
    return write_saved_model(tmp_path_factory.mktemp("saved") / "wts.h5_diffraction_to_obj", made)


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "wts.h5_diffraction_to_obj")


def _bundle(saved, path):
    """Put a SavedModel into an archive as PtychoPINN did from December 2024 to July 2025."""
    files = [file for file in saved.rglob("*") if file.is_file()]
    members = {
        f"diffraction_to_obj/{file.relative_to(saved).as_posix()}": file.read_bytes() for file in files
    }
    members |= {f"autoencoder/{name}": b"left alone" for name in ("saved_model.pb", "keras_metadata.pb")}
    members |= {"manifest.dill": b"never read", "diffraction_to_obj/params.dill": b"never read"}
    path.write_bytes(zipped(members))
    return path


def _expected(weights):
    amplitude, phase = pinn_twin(FRAMES[0], weights)
    return merge_twin(amplitude * np.exp(1j * phase), OFFSETS)


@pytest.mark.spec("CM-2.7")
@pytest.mark.parametrize("kind", ["folder", "folder around it", "program", "bundle"])
def test_a_saved_model_is_predicted_as_by_a_plain_twin(made, saved, tmp_path, caplog, kind):
    path = {
        "folder": saved,
        "folder around it": saved.parent,
        "program": saved / "saved_model.pb",
        "bundle": tmp_path / "wts.h5.zip",
    }[kind]
    if kind == "bundle":
        _bundle(saved, path)
    model = load_legacy(path)
    sums, counts = _expected(made.weights)
    (found,) = model.predict_batch(FRAMES, OFFSETS[None])
    np.testing.assert_allclose(found * (counts + 1e-3), sums, atol=1e-5)
    (assumption,) = model.assumptions
    assert "amp as sigmoid, phi as pi * tanh, obj as amplitude * exp(i * phase)" in assumption
    assert "padded_obj_2 as putting patches together" in assumption
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [assumption]


def test_a_mask_that_is_written_out_is_applied(made, tmp_path):
    plain = write_saved_model(tmp_path / "plain", made)
    spelt = write_saved_model(tmp_path / "spelt", made, mask=0.5 * MASK)
    layers = [load_legacy(folder).network.predict_on_batch(FRAMES)[0] for folder in (plain, spelt)]
    np.testing.assert_allclose(layers[1], np.where(MASK == 1, 0.5, 1) * layers[0], atol=1e-6)


def test_a_constant_that_is_no_finite_number_is_refused(made, tmp_path):
    folder = write_saved_model(tmp_path / "model", made, mask=1e300 * MASK)
    with pytest.raises(DataError, match=r"does not describe a functional Keras model .* an argument is"):
        load_legacy(folder)


def test_a_patch_that_nothing_else_enters_means_the_object_whole(tmp_path):
    made = pinn_description(64, 1, 0.25, object_big=False)
    store_last_steps_as_code(made)
    model = load_legacy(write_saved_model(tmp_path / "model", made))
    assert model.trusted_crop_size == 64
    assert "padded_obj_2 as the patch alone" in model.assumptions[0]


def test_a_layer_with_a_weight_of_its_own_shifts_nothing(made, copied):
    """A trainable scale of the intensity comes first among the layers with weights."""
    parts = {"layer_with_weights-0": tf.train.Checkpoint(log_scale=tf.Variable(3.0))}
    for number, (kernel, bias) in enumerate(made.weights, start=1):
        parts[f"layer_with_weights-{number}"] = tf.train.Checkpoint(
            kernel=tf.Variable(kernel), bias=tf.Variable(bias)
        )
    tf.train.Checkpoint(**parts).write(str(copied / "variables" / "variables"))
    sums, counts = _expected(made.weights)
    (found,) = load_legacy(copied).predict_batch(FRAMES, OFFSETS[None])
    np.testing.assert_allclose(found * (counts + 1e-3), sums, atol=1e-5)


def test_nothing_stays_behind(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    load_legacy(saved)
    assert os.listdir(tmp_path) == []


@pytest.mark.spec("CM-2.8")
@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("variables/variables.index", None, r"variables\.index"),
        ("variables/variables.data-00000-of-00001", None, r"variables\.data-00000-of-00001"),
        ("variables/variables.index", b"not a table" * 50, "cannot be read .*the file is damaged"),
        ("variables/variables.index", _BEYOND_ITS_END, "cannot be read .*the file is damaged"),
        ("variables/variables.data-00000-of-00001", b"short", "bytes but declares .* not all there"),
        ("keras_metadata.pb", b"", "does not describe a Keras model .*no node called root"),
    ],
)
def test_a_damaged_saved_model_is_refused(copied, monkeypatch, member, content, message):
    monkeypatch.setattr(legacy_bundle, "build", None)
    if content is None:
        (copied / member).unlink()
    else:
        (copied / member).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_legacy(copied)


@pytest.mark.spec("CM-2.8")
def test_numbers_that_were_changed_are_refused(copied):
    data = copied / "variables" / "variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read .*damaged"):
        load_legacy(copied)


def test_more_kernels_than_described_are_refused(copied, made):
    part = tf.train.Checkpoint(kernel=tf.Variable(np.zeros((3, 3, 1, 1), "f")))
    tf.train.Checkpoint(**{"layer_with_weights-7": part}).write(str(copied / "variables" / "variables"))
    with pytest.raises(DataError, match="has 1 kernels but the description beside it 22 convolutions"):
        load_legacy(copied)


def test_weights_of_another_model_are_refused(copied):
    other = pinn_description(64, 2, 0.5, one_amplitude=True)
    shutil.rmtree(copied / "variables")
    write_saved_model(copied.parent / "other", other)
    shutil.copytree(copied.parent / "other" / "variables", copied / "variables")
    with pytest.raises(
        DataError, match=r"has weights float32 of shape \(3, 3, 4, 16\) .* takes .*3, 3, 4, 8"
    ):
        load_legacy(copied)


def test_a_saved_model_without_a_description_is_code(copied):
    (copied / "keras_metadata.pb").unlink()
    with pytest.raises(
        DataError, match=r"without keras_metadata\.pb; what it computes is stored as code.*`load_arm`"
    ):
        load_legacy(copied)


def test_fields_of_every_kind_are_passed_over():
    config = keras_2_config(*baseline_description(32, 0.25))
    others = b"\x09" + bytes(8) + b"\x15" + bytes(4) + protobuf_field(7, 1 << 40) + protobuf_field(9, b"text")
    assert '"class_name": "Functional"' in description_in(others + keras_metadata(config), "here")


@pytest.mark.spec("CM-2.8")
@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b"\x0a", "IndexError"),
        (b"\x0a\xff\xff\xff\xff\x7f", "a field of 34359738367 bytes ends after the file"),
        (b"\x80" * 100, "a number of more than 64 bits"),
        (b"\x0b", "a field of kind 3"),
        (b"\x08\x01" * 20_001, "more than 20000 fields"),
        (protobuf_field(1, protobuf_field(3, b"root")), "KeyError"),
        (protobuf_field(1, protobuf_field(3, b"root") + protobuf_field(5, b"\xff")), "UnicodeDecodeError"),
        (bytes((64 << 20) + 1), "67108865 bytes, more than"),
    ],
    ids=["cut", "too long", "endless number", "group", "countless", "no text", "no unicode", "large"],
)
def test_metadata_that_is_none_is_refused(metadata, message):
    with pytest.raises(DataError, match=message):
        description_in(metadata, "here")
