"""A scan or model that changes while a command uses it, and disks that are full: what is done is kept, and said."""

import json
import os
import shutil

import numpy as np
import pytest

import ptycho.comparison
from ptycho.cli import convert as convert_module
from ptycho.cli import train as train_module
from ptycho.cli.compare_models import main as compare_models
from ptycho.cli.reconstruct import main as reconstruct
from ptycho.data import SimulationSettings, read_npz, simulate, write_npz
from ptycho.demo import model_folder


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.npz"
    write_npz(path, simulate(SimulationSettings(object_shape_yx=(96, 104), step_px=12.0, seed=3)))
    return path


def _words(scan, folder, *flags):
    return [str(word) for word in ("--test_data", scan, "--output_dir", folder, "--quiet", *flags)]


def _reconstruct(scan, folder, *flags):
    return reconstruct(_words(scan, folder, "--model_dir", model_folder("baseline"), *flags))


@pytest.fixture
def during_the_run(monkeypatch):
    """Let something happen right before, or after, the work of a comparison."""
    compare = ptycho.comparison.compare

    def arrange(*, before=lambda: None, after=lambda: None):
        def observed(*positional, **named):
            before()
            result = compare(*positional, **named)
            after()
            return result

        monkeypatch.setattr(ptycho.comparison, "compare", observed)

    return arrange


def test_a_scan_written_again_leaves_an_image_that_is_called_unreliable(
    scan, tmp_path, capsys, during_the_run
):
    during_the_run(after=lambda: os.utime(scan, ns=(1, 1)))
    assert _reconstruct(scan, tmp_path / "out") == 1
    assert (tmp_path / "out" / "reconstruction.npz").exists()
    (failure,) = json.loads((tmp_path / "out" / "run_report.json").read_text())["failures"]
    assert (failure["label"], failure["kind"]) == (str(scan), "unreliable")
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"{scan} changed while it was used: it was written again" in error
    assert "unreliable, so run again" in error


def test_nothing_is_called_unreliable_where_nothing_was_kept(
    scan, tmp_path, capsys, during_the_run, monkeypatch
):
    def fails(model, scan, settings, **options):
        raise MemoryError("too large")

    words = _words(scan, tmp_path / "out", "--arm", f"B={model_folder('baseline')}")
    assert compare_models(words) == 0
    monkeypatch.setattr(ptycho.comparison.arms, "reconstruct", fails)
    during_the_run(after=lambda: os.utime(scan, ns=(1, 1)))
    assert compare_models([*words, "--overwrite"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "compare-models: error: B failed: out of memory: too large"


@pytest.mark.spec("CM-11.3")
def test_a_model_that_changes_is_found_by_a_comparison(scan, tmp_path, capsys, during_the_run):
    model = tmp_path / "model"
    shutil.copytree(model_folder("baseline"), model)

    def append():
        with (model / "bundle.json").open("a") as file:
            file.write("\n")

    during_the_run(after=append)
    assert compare_models(_words(scan, tmp_path / "out", "--arm", f"B={model}")) == 1
    assert (tmp_path / "out" / "reconstructions.npz").exists()
    (failure,) = json.loads((tmp_path / "out" / "run_report.json").read_text())["failures"]
    assert failure["kind"] == "unreliable"
    assert "bundle.json changed while it was used: it had" in capsys.readouterr().err


def test_a_scan_that_is_cut_is_an_error_in_words(scan, tmp_path, capsys, during_the_run):
    during_the_run(before=lambda: os.truncate(scan, 5000))
    assert _reconstruct(scan, tmp_path / "out") == 1
    assert "scan.npz was cut while it was used" in capsys.readouterr().err


def test_training_and_conversion_tell_of_changes_too(scan, tmp_path, capsys, monkeypatch):
    def trained(*positional):
        os.utime(scan, ns=(1, 1))
        return 0

    monkeypatch.setattr(train_module, "_train", trained)
    words = ["--model", "pinn", "--train_data", str(scan), "--output_dir", str(tmp_path / "run")]
    assert train_module.main(words) == 1
    assert "what is kept in" in capsys.readouterr().err

    def written(path, found):
        os.utime(scan, ns=(2, 2))
        write_npz(path, found)

    monkeypatch.setattr("ptycho.data.write_npz", written)
    assert convert_module.main([str(scan), str(tmp_path / "out.npz")]) == 1
    assert f"{scan} changed while it was used" in capsys.readouterr().err
    assert read_npz(tmp_path / "out.npz").n_frames == read_npz(scan).n_frames


@pytest.mark.spec("CM-9.7")
def test_a_disk_without_room_is_refused_before_the_run(scan, tmp_path, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("ptycho.cli._paths.shutil.disk_usage", lambda path: usage._replace(free=1000))
    assert _reconstruct(scan, tmp_path / "out") == 1
    assert "MB will be written but 0.001 MB are free; free some space" in capsys.readouterr().err
    assert compare_models(_words(scan, tmp_path / "out", "--arm", f"B={model_folder('baseline')}")) == 1
    assert convert_module.main([str(scan), str(tmp_path / "out.npz")]) == 1
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.npz").exists()


def test_results_fit_what_was_reckoned_for_them(scan, tmp_path):
    # The smallest room in which a run begins is no less than its images take.
    found = {}

    def note(path, n_bytes):
        found["bytes"] = n_bytes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ptycho.cli._paths.check_space", note)
        assert _reconstruct(scan, tmp_path / "out") == 0
    with np.load(tmp_path / "out" / "reconstruction.npz") as arrays:
        taken = arrays["reconstructed_object"].nbytes + arrays["coverage"].nbytes
    assert taken <= found["bytes"] <= 1.2 * taken
