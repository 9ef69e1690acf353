"""Users' files and finished work survive: plots that fail, signals, two runs, inputs among the outputs."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ptycho._io.atomic import sole_use, staged_files
from ptycho.cli.compare_models import main as compare_models
from ptycho.cli.reconstruct import main as reconstruct
from ptycho.cli.train import main as train
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.demo import model_folder


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    settings = SimulationSettings(object_shape_yx=(96, 104), step_px=9.0, seed=3)
    write_npz(path, simulate(settings))
    return path


def _compare(scan, folder, *flags):
    words = [
        "--test_data",
        scan,
        "--arm",
        f"B={model_folder('baseline')}",
        "--output_dir",
        folder,
        "--quiet",
        *flags,
    ]
    return compare_models([str(word) for word in words])


def _reconstruct(scan, folder, *flags):
    words = [
        "--test_data",
        scan,
        "--model_dir",
        model_folder("baseline"),
        "--output_dir",
        folder,
        "--quiet",
        *flags,
    ]
    return reconstruct([str(word) for word in words])


@pytest.mark.parametrize(
    "name",
    [
        "frc_curves.png",
        "half_set_frc_curves.png",
        "mine_debug_images.npz",
        "mine_debug_images.png",
        "logs/debug.log",
        "comparison_metrics.csv",
    ],
)
def test_a_file_that_the_comparison_would_replace_is_named_and_kept(scan, tmp_path, capsys, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious")
    assert _compare(scan, tmp_path) == 2
    assert f"already holds results ({name}); pass --overwrite" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["bundle.json", "probes.npy", "network.weights.h5", "loss_curve.csv", "loss_curve.png"]
)
def test_a_file_that_training_would_replace_is_named_and_kept(scan, tmp_path, capsys, name):
    (tmp_path / name).write_text("precious")
    assert train(["--model", "baseline", "--train_data", str(scan), "--output_dir", str(tmp_path)]) == 2
    assert f"already holds results ({name})" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "precious"


def test_an_input_among_the_files_to_be_replaced_is_refused_even_with_overwrite(scan, tmp_path, capsys):
    image = tmp_path / "reconstructions.npz"
    image.write_bytes(b"an arm of mine")
    assert _compare(scan, tmp_path, "--arm", f"A={image}", "--overwrite") == 2
    assert "would be replaced by a result but is an input of this run; pass another --output_dir" in (
        capsys.readouterr().err
    )
    assert image.read_bytes() == b"an arm of mine"


class _BrokenError(Exception):
    """What no list of expected errors holds."""


@pytest.mark.parametrize(
    ("command", "figure", "image"),
    [
        (_compare, "ptycho.report.figures.draw_errors", "reconstructions.npz"),
        (_reconstruct, "ptycho.report.plot_reconstruction", "reconstruction.npz"),
    ],
)
@pytest.mark.parametrize(
    "error", [_BrokenError("no font"), RuntimeError("latex was not found"), KeyboardInterrupt()]
)
def test_a_plot_that_fails_in_any_way_costs_itself_alone(
    scan, tmp_path, monkeypatch, capsys, command, figure, image, error
):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(figure, failing)
    stopped = isinstance(error, KeyboardInterrupt)
    assert command(scan, tmp_path) == (130 if stopped else 1)
    assert ("the plots not finished" if stopped else str(error)) in capsys.readouterr().err
    with np.load(tmp_path / image) as file:
        assert file.files
    (failure,) = json.loads((tmp_path / "run_report.json").read_text())["failures"]
    assert (failure["label"], failure["kind"]) == ("the plots", "stopped" if stopped else "failed")


@pytest.mark.usefixtures("pictures")
def test_a_users_matplotlibrc_changes_nothing(scan, tmp_path):
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "savefig.dpi": 3, "font.size": 90}):
        assert _reconstruct(scan, tmp_path) == 0
        assert matplotlib.rcParams["text.usetex"] is True
    assert matplotlib.image.imread(tmp_path / "reconstruction.png").shape[1] > 200


def test_a_second_run_into_the_folder_is_refused_and_a_dead_ones_rest_is_removed(scan, tmp_path, capsys):
    folder = tmp_path / "out"
    with sole_use(folder) as left:
        assert left == []
        assert _reconstruct(scan, folder) == 1
        assert "another run is at work in this folder" in capsys.readouterr().err
    # Made by the first use, empty at its end.
    assert not folder.exists()
    (folder / ".unfinished-abc").mkdir(parents=True)
    (folder / ".unfinished-abc" / "half.npz").write_text("half")
    (folder / f".image.npz.{'0a' * 16}.tmp").write_text("half")
    (folder / ".hidden").write_text("the user's")
    assert _reconstruct(scan, folder) == 0
    assert sorted(path.name for path in folder.glob(".*")) == [".hidden"]


def _write_staged(folder, *names, overwrite=True, meanwhile=lambda: None):
    with staged_files(folder, overwrite=overwrite) as stage:
        for name in names:
            (stage / name).write_text("new")
        meanwhile()


def test_a_folder_in_the_place_of_a_result_leaves_all_as_it_was(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(IsADirectoryError, match="a folder has the name of a result"):
        _write_staged(tmp_path, "a.csv", "b.csv")
    assert (tmp_path / "a.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_results_that_may_not_overwrite_what_came_meanwhile_are_kept_beside_it(tmp_path):
    users = tmp_path / "a.csv"
    with pytest.raises(FileExistsError, match=r"a\.csv came to be there") as caught:
        _write_staged(tmp_path, "a.csv", overwrite=False, meanwhile=lambda: users.write_text("the user's"))
    (kept,) = tmp_path.glob("not-overwritten-*")
    assert str(kept) in str(caught.value)
    assert (users.read_text(), (kept / "a.csv").read_text()) == ("the user's", "new")


def test_overwriting_keeps_the_mode_of_a_file(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    (tmp_path / "a.csv").chmod(0o600)
    with staged_files(tmp_path) as stage:
        (stage / "a.csv").write_text("new")
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o600


# Signals may be ignored where the tests run, as in the background or under nohup, and a child inherits that.
_SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
for each in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_DFL)
import ptycho.data
original = ptycho.data.read_scan
def slow(*args, **options):
    print("reading", flush=True)
    time.sleep(30)
    return original(*args, **options)
ptycho.data.read_scan = slow
from ptycho.cli.convert import main
sys.exit(main([sys.argv[1], sys.argv[2]]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_signals_end_a_command_in_one_sentence_and_their_own_code(scan, tmp_path, number, code):
    words = [sys.executable, "-c", _SCRIPT, str(scan), str(tmp_path / "out.npz")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "reading\n"
        time.sleep(0.1)
        run.send_signal(number)
        error = run.communicate(timeout=20)[1]
    assert run.returncode == code
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert error == f"ptycho-convert: error: stopped by {name} before anything was finished\n"
    assert list(tmp_path.iterdir()) == []


def test_brackets_in_a_label_are_no_markup(scan, tmp_path, capsys):
    words = [
        "--test_data",
        scan,
        "--arm",
        f"PINN [lr 1e-3]={model_folder('baseline')}",
        "--output_dir",
        tmp_path,
    ]
    assert compare_models([str(word) for word in words]) == 0
    assert "PINN [lr 1e-3]" in capsys.readouterr().out
