"""`ptycho-train` from the outside: what it writes, and what Ctrl-C leaves behind."""

import argparse
import hashlib
import io
import json
import shlex
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from known_models import shallow_baselines

from ptycho.cli._import_flags import add_import_flags
from ptycho.cli.train import build_parser, main
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.models import _callbacks, _fitting, training
from ptycho.models.bundle import load_bundle
from ptycho.models.networks import Architecture


@pytest.fixture(scope="module", autouse=True)
def _shallow():
    with pytest.MonkeyPatch.context() as monkeypatch:
        shallow_baselines(monkeypatch)
        yield


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("train") / "scan.npz"
    settings = SimulationSettings(patch_size=16, object_shape_yx=(46, 56), n_lines=12, n_positions=24, seed=1)
    write_npz(path, simulate(settings))
    return path


def _arguments(scan, folder, *flags):
    words = ["--model", "baseline", "--train_data", scan, "--output_dir", folder, "--n-filters-scale", 0.25]
    # All frames that are learnt in one step: without graphs a step is what takes time.
    return [str(word) for word in (*words, "--epochs", 3, "--batch-size", 24, "--quiet", *flags)]


@pytest.fixture(scope="module")
def trained(scan, tmp_path_factory):
    """The folder of a run and what it printed."""
    folder = tmp_path_factory.mktemp("trained") / "deep" / "run"
    words = _arguments(scan, folder, "--seed", "5", "--batch-size", "8")
    with redirect_stdout(io.StringIO()) as printed:
        assert main([word for word in words if word != "--quiet"]) == 0
    return folder, printed.getvalue()


def test_a_model_and_its_loss_curve_are_written(trained):
    folder, printed = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "bundle.json",
        "network.weights.h5",
        "probes.npy",
        "loss_curve.csv",
        "loss_curve.png",
        "held_out.png",
        "training_report.html",
    } | {"checkpoint.npz"}
    assert (folder / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
    assert "baseline trained for 3 epochs" in printed


def test_quiet_says_nothing_at_all(scan, tmp_path, capfd):
    assert main(_arguments(scan, tmp_path / "run", "--epochs", 1, "--batch-size", 8)) == 0
    assert capfd.readouterr() == ("", "")


def test_a_model_is_not_replaced_unasked(scan, tmp_path, capsys):
    (tmp_path / "bundle.json").write_text("precious")
    assert main(_arguments(scan, tmp_path)) == 2
    assert "already holds results (bundle.json); pass --overwrite" in capsys.readouterr().err
    assert (tmp_path / "bundle.json").read_text() == "precious"


def test_a_finished_model_without_a_state_is_not_replaced_by_going_on(scan, tmp_path, capsys):
    (tmp_path / "bundle.json").write_text("precious")
    assert main(_arguments(scan, tmp_path, "--resume", "--no-checkpoint")) == 2
    assert (
        "(bundle.json); there is no checkpoint.npz to go on from: pass --overwrite" in capsys.readouterr().err
    )
    assert (tmp_path / "bundle.json").read_text() == "precious"


def test_a_training_that_was_killed_is_to_go_on_rather_than_to_begin_anew(scan, tmp_path, capsys):
    (tmp_path / "checkpoint.npz").write_bytes(b"precious")
    assert main(_arguments(scan, tmp_path)) == 2
    assert (
        "(checkpoint.npz); pass --resume to go on with its training, --overwrite to begin anew, or another"
        in capsys.readouterr().err
    )


def test_ctrl_c_keeps_the_best_epoch_and_says_so(scan, tmp_path, monkeypatch, capsys, without_graphs):
    original = _callbacks.Report.on_epoch_begin

    def interrupting(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt
        original(self, epoch, logs)

    monkeypatch.setattr(_callbacks.Report, "on_epoch_begin", interrupting)
    assert main(_arguments(scan, tmp_path)) == 130
    assert capsys.readouterr().err.endswith(
        f"stopped by Ctrl-C; the best epoch so far is kept in {tmp_path}\n"
    )
    assert load_bundle(tmp_path).training["epochs_run"] == 2
    assert len((tmp_path / "loss_curve.csv").read_text().splitlines()) == 3


def test_ctrl_c_in_the_first_epoch_leaves_nothing(scan, tmp_path, monkeypatch, capsys):
    def interrupting(self, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(_callbacks.Report, "on_epoch_begin", interrupting)
    assert main(_arguments(scan, tmp_path / "run")) == 130
    assert "before anything was finished" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_want_of_memory_is_a_failure_with_its_remedy(scan, tmp_path, monkeypatch, capsys):
    def exhausted(*arguments, **options):
        raise MemoryError("OOM when allocating tensor")

    monkeypatch.setattr(_fitting, "_fit", exhausted)
    assert main(_arguments(scan, tmp_path / "run")) == 1
    assert "out of memory at --batch-size 24; pass a smaller one" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--learning-rate", "-1"), "'-1' is not a number above 0"),
        (("--learning-rate", "inf"), "'inf' is not a finite number"),
        (("--validation-fraction", "1"), "'1' is not a number between 0 and 1"),
        (("--stop-patience", "0"), "'0' is not a whole number of at least 1"),
        (("--max-minutes", "soon"), "'soon' is not a number"),
        (("--seed", "-1"), "'-1' is not a whole number from 0 to"),
    ],
)
def test_numbers_out_of_range_are_refused_by_the_parser(scan, tmp_path, capsys, flags, words):
    with pytest.raises(SystemExit) as caught:
        main(_arguments(scan, tmp_path / "run", *flags))
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("xcoords", None, "has no xcoords"),
        ("objectGuess", None, "neither labels (Y) nor an objectGuess"),
        ("diffraction", np.zeros((24, 16, 16)), "every amplitude frame is zero"),
    ],
)
def test_a_scan_that_cannot_be_learnt_from_is_exit_code_2(scan, tmp_path, capsys, key, value, words):
    with np.load(scan) as archive:
        arrays = {**archive, key: value}
    np.savez(tmp_path / "bad.npz", **{name: array for name, array in arrays.items() if array is not None})
    assert main(_arguments(tmp_path / "bad.npz", tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_output_folder_beneath_a_file_is_refused(scan, capsys):
    assert main(_arguments(scan, scan / "run")) == 2
    assert "is a file but the output needs a folder" in capsys.readouterr().err


def test_the_record_says_how_it_was_trained(trained):
    settings = json.loads((trained[0] / "bundle.json").read_text())["training"]["settings"]
    assert (settings["seed"], settings["epochs"], settings["batch_size"]) == (5, 3, 8)


def test_the_record_says_from_what_it_was_trained(trained, scan):
    record = json.loads((trained[0] / "bundle.json").read_text())["training"]
    (source,) = record["scans"]
    assert (source["file"], source["bytes"], source["n_frames"]) == (str(scan), scan.stat().st_size, 24)
    assert source["sha256"] == hashlib.sha256(scan.read_bytes()).hexdigest()
    assert shlex.split(record["command"])[:5] == [
        "ptycho-train",
        "--model",
        "baseline",
        "--train_data",
        str(scan),
    ]
    assert record["versions"].keys() == {"ptycho-autobatch", "python", "tensorflow", "keras", "numpy"}
    assert record["started_from"] is None


def test_a_run_that_was_out_of_time_goes_on(scan, tmp_path, capsys, without_graphs):
    assert main(_arguments(scan, tmp_path, "--max-minutes", 1e-9)) == 0
    assert load_bundle(tmp_path).training["epochs_run"] == 1
    assert main(_arguments(scan, tmp_path)) == 2
    assert "already holds results" in capsys.readouterr().err
    assert main(_arguments(scan, tmp_path, "--epochs", 2, "--resume")) == 0
    assert load_bundle(tmp_path).training["epochs_run"] == 2
    assert len((tmp_path / "loss_curve.csv").read_text().splitlines()) == 3


def test_a_state_under_other_settings_is_named_and_overwritten_when_asked(
    scan, trained, tmp_path, capsys, without_graphs
):
    for path in trained[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert main(_arguments(scan, tmp_path, "--resume", "--batch-size", 4)) == 2
    assert "began with batch_size 8 and cannot go on with 4" in capsys.readouterr().err
    assert main(_arguments(scan, tmp_path, "--overwrite", "--epochs", 1, "--no-checkpoint")) == 0
    assert load_bundle(tmp_path).training["epochs_run"] == 1
    assert not (tmp_path / "checkpoint.npz").exists()


def test_a_model_to_begin_with_gives_network_and_weights_and_tensorboard_is_fed(
    scan, trained, tmp_path, without_graphs
):
    words = [word for word in _arguments(scan, tmp_path / "run") if word not in ("--n-filters-scale", "0.25")]
    words += ["--init-from", str(trained[0]), "--epochs", "1", "--learning-rate", "1e-12"]
    assert main([*words, "--tensorboard", str(tmp_path / "board")]) == 0
    first, second = load_bundle(trained[0]), load_bundle(tmp_path / "run")
    assert second.architecture == first.architecture
    assert second.training["started_from"] == str(trained[0])
    for one, other in zip(first.network.get_weights(), second.network.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
    assert list((tmp_path / "board" / "train").glob("events.*"))


def test_a_network_of_other_size_is_not_begun_with(scan, trained, tmp_path, capsys):
    words = _arguments(scan, tmp_path / "run", "--n-filters-scale", 0.5, "--init-from", trained[0])
    assert main(words) == 2
    error = capsys.readouterr().err
    assert (
        "begin with has n_filters_scale 0.25 but one of 0.5 is to be trained; leave out --n-filters-scale"
        in error
    )
    assert not (tmp_path / "run").exists()


def test_a_network_for_other_frames_or_of_another_kind_is_not_begun_with(trained, tmp_path, capsys):
    path = tmp_path / "larger.npz"
    settings = SimulationSettings(patch_size=32, object_shape_yx=(60, 60), n_lines=12, n_positions=6, seed=1)
    write_npz(path, simulate(settings))
    words = [word for word in _arguments(path, tmp_path / "run") if word not in ("--n-filters-scale", "0.25")]
    words += ["--init-from", str(trained[0])]
    assert main(words) == 2
    assert f"{path} has frames of 32 pixels but the network takes 16; begin with a network for 32" in (
        capsys.readouterr().err
    )
    words[words.index("baseline")] = "pinn"
    assert main(words) == 2
    assert "holds a baseline but a pinn is wanted; name another folder, or ask for a baseline." in (
        capsys.readouterr().err
    )


def test_a_model_to_begin_with_is_not_written_over(scan, trained, capsys):
    assert main(_arguments(scan, trained[0], "--overwrite", "--init-from", trained[0])) == 2
    assert "would be replaced by a result but is an input of this run" in capsys.readouterr().err


def test_the_defaults_are_those_of_the_settings():
    # --help may import neither Keras nor NumPy, so the parser cannot take them from there.
    flags = vars(build_parser().parse_args(["--model", "pinn", "--train_data", "a.npz", "--output_dir", "b"]))
    assert flags.pop("warnings") == ()
    importing = argparse.ArgumentParser()
    add_import_flags(importing)
    for name in vars(importing.parse_args([])):
        flags.pop(name)
    expected = {
        **asdict(training.TrainingSettings()),
        **asdict(Architecture(kind="pinn", patch_size=64)),
        "model": "pinn",
        "train_data": [Path("a.npz")],
        "output_dir": Path("b"),
        "device": None,
        "mask_hot": False,
        # Those of a network to begin with, if there is one.
        "gridsize": None,
        "n_filters_scale": None,
    }
    of_the_display = {
        "overwrite": False,
        "resume": False,
        "init_from": None,
        "tensorboard": None,
        "formats": ("png",),
        "dpi": 150,
        "quiet": False,
        "verbose": False,
        "console_level": "INFO",
    }
    without_a_flag = ("plateau_patience", "kind", "patch_size")
    assert flags == {
        name: value for name, value in {**expected, **of_the_display}.items() if name not in without_a_flag
    }
