"""Where PtychoPINN's models may lie, under which names, and what is said of those that cannot be read."""

import json
import zipfile

import h5py
import numpy as np
import pytest
from ptychopinn_files import (
    baseline_description,
    bundle_members,
    pinn_description,
    weights_hdf5,
    write_bundle,
    write_keras2_baseline,
    zipped,
)

from ptycho.errors import DataError
from ptycho.models.legacy_bundle import _places, is_legacy, load_legacy


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The bytes of one small file of each form."""
    folder = tmp_path_factory.mktemp("files")
    bundle = write_bundle(folder / "wts.h5.zip", pinn_description()).read_bytes()
    with zipfile.ZipFile(folder / "wts.h5.zip") as archive:
        keras = archive.read("diffraction_to_obj/model.keras")
    made, outputs = baseline_description(32, 0.25)
    hdf5 = write_keras2_baseline(folder / "baseline_model.h5", made, outputs).read_bytes()
    members = {
        "config.json": json.dumps(made.config(outputs)),
        "model.weights.h5": weights_hdf5(made.weights),
    }
    torch = {"manifest.dill": b"2.0-pytorch", "diffraction_to_obj/model.pth": b"never read"}
    return {
        "bundle": bundle,
        "keras": keras,
        "hdf5": hdf5,
        "baseline.keras": zipped(members),
        "baseline bundle": zipped({"diffraction_to_obj/model.keras": zipped(members)}),
        "torch bundle": zipped(torch),
        "torch": zipped({"archive/data.pkl": b"never read", "archive/data/0": b""}),
    }


@pytest.fixture
def place(files, tmp_path):
    """Write files of these forms under these paths and return the folder."""

    def write(**forms):
        for path, form in forms.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(files[form])
        return tmp_path

    return write


@pytest.mark.spec("CM-2.6")
@pytest.mark.parametrize(
    ("path", "form", "kind"),
    [
        ("wts.h5.zip", "bundle", "pinn"),
        ("a/b/wts.h5.zip", "bundle", "pinn"),
        ("run/lines_gs1.zip", "bundle", "pinn"),
        ("diffraction_to_obj/model.keras", "keras", "pinn"),
        ("run/diffraction_to_obj/model.keras", "keras", "pinn"),
        ("models/pinn_n64.keras", "keras", "pinn"),
        ("baseline/baseline.keras", "baseline.keras", "baseline"),
        ("2025/baseline_model.h5", "hdf5", "baseline"),
        ("2025/my_baseline.hdf5", "hdf5", "baseline"),
        ("wts.h5.zip", "baseline bundle", "baseline"),
    ],
)
def test_a_model_is_found_in_its_folder_and_by_its_file(place, path, form, kind):
    folder = place(**{path: form})
    assert is_legacy(folder)
    assert is_legacy(folder / path)
    assert load_legacy(folder).architecture.kind == kind
    assert load_legacy(folder, "baseline").architecture.kind == kind
    assert load_legacy(folder / path).architecture.kind == kind


@pytest.mark.parametrize("form", ["bundle", "keras", "hdf5"])
def test_a_file_without_a_known_suffix_is_told_by_its_content(place, form):
    file = place(**{"weights.of.june": form}) / "weights.of.june"
    assert is_legacy(file)
    assert load_legacy(file).architecture.kind == ("baseline" if form == "hdf5" else "pinn")


def test_a_bundle_packed_with_its_folder_is_opened(files, tmp_path):
    members = {
        "run/diffraction_to_obj/model.keras": files["keras"],
        "run/autoencoder/model.keras": b"left alone",
    }
    (tmp_path / "run.zip").write_bytes(zipped(members))
    assert load_legacy(tmp_path).architecture.kind == "pinn"


def test_an_archive_of_two_bundles_is_not_guessed_at(files, tmp_path):
    members = {f"{run}/diffraction_to_obj/model.keras": files["keras"] for run in ("a", "b")}
    (tmp_path / "runs.zip").write_bytes(zipped(members))
    with pytest.raises(DataError, match=r"holds 2 models \(a/diffraction_to_obj/model\.keras, b/"):
        load_legacy(tmp_path)


def test_the_autoencoder_beside_a_network_is_left_alone(place):
    folder = place(**{"autoencoder/model.keras": "torch", "diffraction_to_obj/model.keras": "keras"})
    assert load_legacy(folder).architecture.kind == "pinn"


def _chosen(folder, role=None):
    return _places.chosen_model(folder, role).relative_to(folder).as_posix()


@pytest.mark.spec("CM-2.6")
def test_of_both_kinds_the_one_asked_for_is_taken(place):
    folder = place(**{"wts.h5.zip": "bundle", "runs/2024/baseline_model.h5": "hdf5"})
    assert _chosen(folder, "pinn") == "wts.h5.zip"
    assert _chosen(folder, "baseline") == "runs/2024/baseline_model.h5"
    with pytest.raises(DataError, match=r"holds 2 models \(wts\.h5\.zip, runs/2024/baseline_model\.h5\)"):
        load_legacy(folder)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        (["old/wts.h5.zip"], "wts.h5.zip"),
        (["diffraction_to_obj/model.keras", "best.keras"], "wts.h5.zip"),
        (["checkpoints/last.ckpt"], "wts.h5.zip"),
    ],
)
def test_the_surest_of_several_is_taken(place, others, chosen):
    folder = place(**dict.fromkeys(["wts.h5.zip", *others], "bundle"))
    assert _chosen(folder) == chosen


def test_none_of_several_equals_is_taken(place):
    folder = place(**{"models/pinn_n64.keras": "keras", "models/pinn_n128.keras": "keras"})
    with pytest.raises(DataError, match=r"holds 2 models .* name the file itself"):
        load_legacy(folder)


def test_other_files_and_folders_are_not_taken_for_legacy(files, tmp_path):
    np.savez(tmp_path / "scan.npz", a=1)
    (tmp_path / "frames.zip").write_bytes(zipped({"frames.tif": b"II*\0"}))
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "paths.pth").write_text("/opt/packages")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "wts.h5.zip").write_bytes(files["bundle"])
    assert not is_legacy(tmp_path)
    assert not is_legacy(tmp_path / "scan.npz")
    assert not is_legacy(tmp_path / "notes.txt")
    assert not is_legacy(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds neither"):
        load_legacy(tmp_path)


@pytest.mark.parametrize("name", ["wts.h5.zip", "baseline_model.h5"])
def test_a_file_that_is_not_there_is_not_called_damaged(tmp_path, name):
    with pytest.raises(FileNotFoundError):
        load_legacy(tmp_path / name)


@pytest.mark.spec("CM-2.8")
@pytest.mark.parametrize(
    ("path", "form", "message"),
    [
        ("wts.h5.zip", "torch bundle", r"a model of PyTorch \(diffraction_to_obj/model\.pth\)"),
        ("checkpoints/last.ckpt", "torch", r"last\.ckpt is by its name a checkpoint of PyTorch"),
        ("diffraction_to_obj/model.pth", "torch", r"model\.pth is by its name a checkpoint of PyTorch"),
        ("run.zip", "torch", r"a model of PyTorch \(archive/data\.pkl\)"),
    ],
)
def test_a_model_of_pytorch_is_named_with_the_way_out(place, path, form, message):
    folder = place(**{path: form})
    assert is_legacy(folder / path)
    for source in (folder / path, folder) if path != "run.zip" else (folder / path,):
        with pytest.raises(DataError, match=message) as caught:
            load_legacy(source)
        assert "save the image as an NPZ with reconstructed_object" in str(caught.value)
        assert "with `load_arm`" in str(caught.value)
        assert "copy" not in str(caught.value)


def test_a_folder_of_countless_files_is_refused(place, monkeypatch):
    monkeypatch.setattr(_places, "MAX_ENTRIES", 3)
    folder = place(**{f"{number}.keras": "torch" for number in range(4)})
    with pytest.raises(DataError, match="holds more than 3 files; name the folder of one training run"):
        load_legacy(folder)


def test_a_bundle_says_what_it_holds_and_what_to_do(tmp_path):
    members = bundle_members({}, b"")
    del members["diffraction_to_obj/model.keras"]
    (tmp_path / "wts.h5.zip").write_bytes(zipped(members))
    with pytest.raises(DataError, match=r"it holds manifest\.dill, autoencoder/model\.keras.* `load_arm`"):
        load_legacy(tmp_path)


def test_a_damaged_file_is_refused_in_words_wherever_the_damage_is(tmp_path):
    from ptycho.comparison import load_arm

    source = tmp_path / "whole.h5"
    with h5py.File(source, "w") as file:
        file.attrs["model_config"] = "{}"
        file.create_group("model_weights").create_dataset("kernel", data=np.arange(64.0))
    whole, rng = source.read_bytes(), np.random.default_rng(8)
    for number in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 8):
            damaged[place] = rng.integers(256)
        path = tmp_path / f"{number}.h5"
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            load_arm(path)
