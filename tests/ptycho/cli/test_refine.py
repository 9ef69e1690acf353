"""`ptycho-refine` from the outside: what it writes, says and refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ptycho.cli.main import main as ptycho
from ptycho.cli.refine import main
from ptycho.data import (
    Reconstruction,
    SimulationSettings,
    read_npz,
    read_reconstruction,
    simulate,
    write_npz,
    write_reconstruction,
)
from ptycho.image import PlacedImage
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.reconstruction import judge_image
from ptycho.refinement import RefinementSettings, refine


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refine")
    scan = simulate(
        SimulationSettings(patch_size=32, object_shape_yx=(72, 86), n_lines=20, step_px=8.0, seed=4)
    )
    write_npz(folder / "scan.npz", scan)
    image = Reconstruction(
        label="guess",
        object=(0.5 + 0.5 * scan.object_guess[10:60, 12:80]).astype(np.complex64),
        probe=scan.probe,
        positions_yx=scan.positions_yx - (10, 12),
    )
    write_reconstruction(folder / "guess.npz", image)
    return folder


def _arguments(folder, output, *flags):
    return [str(word) for word in ("--test_data", folder / "scan.npz", "--output_dir", output, *flags)]


def test_an_image_is_refined_as_python_does_it(workplace, tmp_path, capsys, pictures):
    output = tmp_path / "deep" / "out"
    flags = ("--image", workplace / "guess.npz", "--sweeps", "2", "--mini-batch", "8", "--alpha", "0.3")
    assert main(_arguments(workplace, output, *flags, "--seed", "3", "--batch-size", "5")) == 0
    assert {path.name for path in output.iterdir()} == {
        "refined.npz",
        "refined.png",
        "run_report.json",
        "logs",
    }
    scan, guess = read_npz(workplace / "scan.npz"), read_reconstruction(workplace / "guess.npz")
    start = PlacedImage(guess.object, np.ones(guess.object.shape, bool), (10.0, 12.0))
    run = refine(start, scan, RefinementSettings(sweeps=2, mini_batch=8, alpha=0.3, seed=3))
    found = read_reconstruction(output / "refined.npz")
    np.testing.assert_array_equal(found.object, run.image.values)
    np.testing.assert_array_equal(found.coverage, run.image.coverage)
    assert found.origin_in(scan) == pytest.approx(run.image.origin_yx)
    assert found.label == "guess + 2 sweeps"

    before, after = json.loads((output / "run_report.json").read_text())["arms"]
    assert (before["label"], before["kind"], before["refinement"]) == ("guess", "reconstruction", None)
    assert (after["label"], after["kind"]) == ("guess + 2 sweeps", "refined")
    assert after["refinement"]["distrust"] == run.distrust
    assert after["refinement"]["sweeps"][0]["batch_sizes"][0] == 5
    assert f"{run.distrust:.1%}" in capsys.readouterr().out


def test_a_flat_object_and_all_that_can_be_refined(workplace, tmp_path, capsys, pictures):
    flags = (
        "--sweeps",
        "3",
        "--refine-probe",
        "--refine-positions",
        "--max-position-shift",
        "1.5",
        "--quiet",
    )
    assert ptycho(["refine", *_arguments(workplace, tmp_path, *flags)]) == 0
    (arm,) = json.loads((tmp_path / "run_report.json").read_text())["arms"]
    assert arm["label"] == "Flat object + 3 sweeps"
    scan, found = read_npz(workplace / "scan.npz"), read_reconstruction(tmp_path / "refined.npz")
    moved = found.positions_yx - scan.positions_yx
    assert 0.01 < np.ptp(moved, axis=0).max() <= 3
    assert np.abs(found.probe - scan.probe).max() > 0.01 * np.abs(scan.probe).max()
    assert capsys.readouterr().out == ""


def test_what_was_refined_with_the_image_judges_it(workplace, tmp_path, pictures):
    scan = read_npz(workplace / "scan.npz")
    rng = np.random.default_rng(2)
    wrong = replace(scan, positions_yx=scan.positions_yx + rng.uniform(-1, 1, scan.positions_yx.shape))
    write_npz(tmp_path / "scan.npz", replace(wrong, object_guess=None))
    flags = ("--sweeps", "6", "--refine-probe", "--refine-positions", "--mini-batch", "4")
    assert main(_arguments(tmp_path, tmp_path / "out", *flags)) == 0
    settings = RefinementSettings(sweeps=6, refine_probe=True, refine_positions=True, mini_batch=4)
    run = refine(None, wrong, settings)
    moved = replace(wrong, positions_yx=run.positions_yx)
    expected = judge_image(moved, run.image, probe=run.probe)
    others = judge_image(wrong, run.image, probe=run.probe), judge_image(moved, run.image)
    (arm,) = json.loads((tmp_path / "out" / "run_report.json").read_text())["arms"]
    assert arm["verdict"]["image"]["r_factor"] == pytest.approx(expected.r_factor, rel=1e-4)
    assert all(abs(other.r_factor / expected.r_factor - 1) > 1e-2 for other in others)


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(workplace, tmp_path, capsys):
    flags = ("--image", workplace / "guess.npz", "--dry-run")
    assert main(_arguments(workplace, tmp_path / "out", *flags)) == 0
    assert "mini-batches of 32, beginning with guess, 50x68 pixels" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_results_that_are_there_are_not_replaced_unasked(workplace, tmp_path, capsys):
    (tmp_path / "refined.npz").write_bytes(b"precious")
    assert main(_arguments(workplace, tmp_path)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "refined.npz").read_bytes() == b"precious"


def test_a_model_is_sent_to_the_command_that_runs_it(workplace, tmp_path, capsys):
    architecture = Architecture(kind="pinn", patch_size=64, n_filters_scale=0.25)
    save_bundle(tmp_path / "pinn", PatchModel(build_network(architecture), architecture))
    assert main(_arguments(workplace, tmp_path / "out", "--image", tmp_path / "pinn")) == 2
    assert f"run ptycho-reconstruct --model_dir {tmp_path / 'pinn'} --refine 1" in capsys.readouterr().err


def test_an_image_of_unknown_place_is_refused(workplace, tmp_path, capsys):
    guess = read_reconstruction(workplace / "guess.npz")
    write_reconstruction(
        tmp_path / "lost.npz", Reconstruction(label="lost", object=guess.object, probe=guess.probe)
    )
    assert main(_arguments(workplace, tmp_path / "out", "--image", tmp_path / "lost.npz")) == 2
    assert "lost does not say where its image lies" in capsys.readouterr().err


def test_an_image_of_another_scan_is_told_by_the_number_of_positions(workplace, tmp_path, capsys):
    guess = read_reconstruction(workplace / "guess.npz")
    fewer = replace(guess, positions_yx=guess.positions_yx[:-3])
    write_reconstruction(tmp_path / "other.npz", fewer)
    assert main(_arguments(workplace, tmp_path / "out", "--image", tmp_path / "other.npz")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    n = len(guess.positions_yx)
    assert f"guess has {n - 3} positions but the scan has {n}, so that {tmp_path / 'other.npz'}" in error
    assert "objectGuess" not in error


def test_an_image_in_place_of_the_scan_is_told_from_one(workplace, tmp_path, capsys):
    words = ["--test_data", workplace / "guess.npz", "--output_dir", tmp_path / "out"]
    assert main([str(word) for word in words]) == 2
    assert "guess.npz is a finished image, without frames" in (error := capsys.readouterr().err)
    assert "--image" in error


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--refine-probe", "--sweeps", 2), "sweeps is 2 but must be at least 3 with refine_probe"),
        (("--refine-positions",), "sweeps is 1 but must be at least 3 with refine_positions"),
        (("--max-position-shift", 2), "--max-position-shift limits what --refine-positions does"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(workplace, tmp_path, capsys, flags, words):
    assert main(_arguments(workplace, tmp_path / "out", "--dry-run", *flags)) == 2
    assert words in capsys.readouterr().err
    if "--max-position-shift" not in flags:
        image = ("--image", workplace / "guess.npz")
        assert main(_arguments(workplace, tmp_path / "out", "--dry-run", *image, *flags)) == 0


def test_an_alpha_above_one_is_refused_before_any_work(workplace, tmp_path, capsys):
    assert main(_arguments(workplace, tmp_path / "out", "--alpha", "2")) == 2
    assert "alpha is 2.0 but must be" in capsys.readouterr().err
