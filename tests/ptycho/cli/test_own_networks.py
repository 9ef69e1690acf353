"""A network of one's own on the command line: run, reported, and told in one sentence what its description lacks."""

import json

import numpy as np
import pytest
from own_networks import known_keras, known_patches

from ptycho.cli import compare_models, reconstruct
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.stitching import stitch_patches


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    scan = simulate(SimulationSettings(object_shape_yx=(100, 110), n_lines=12, step_px=12.0, seed=4))
    write_npz(folder / "scan.npz", scan)
    known_keras(side=None).save(folder / "named.keras")
    known_keras(None, side=64).save(folder / "plain.keras")
    description = {"model": "plain.keras", "outputs": ["amplitude", "phase"], "input_scaling": "amplitude"}
    (folder / "two.json").write_text(json.dumps(description))
    return folder


def _compare(folder, output, *arms, more=()):
    flags = [word for arm in arms for word in ("--arm", arm)]
    scan = ("--test_data", str(folder / "scan.npz"), "--output_dir", str(output))
    return compare_models.main([*scan, *flags, *map(str, more)])


@pytest.mark.spec("CM-1.4")
def test_networks_of_ones_own_are_arms_and_what_is_assumed_of_them_is_said(
    workplace, tmp_path, capsys, pictures
):
    arms = [f"mine={workplace / 'two.json'}", f"named={workplace / 'named.keras'}"]
    assert _compare(workplace, tmp_path, *arms, more=["--metric-convention", "ptychopinn"]) == 0
    told = "named.keras: nothing describes the network: its outputs are taken as amplitude and phase, by their names"
    assert told in " ".join(capsys.readouterr().err.split())
    mine, named = json.loads((tmp_path / "run_report.json").read_text())["arms"]
    assert (mine["label"], mine["assumptions"]) == ("mine", [])
    assert told.partition(": ")[2] in named["assumptions"][0]
    assert mine["prediction"]["planned_batch_size"] >= 1
    with np.load(workplace / "scan.npz") as scan, np.load(tmp_path / "reconstructions.npz") as found:
        offsets_xy = np.stack([scan["xcoords"], scan["ycoords"]], axis=1)
        expected = stitch_patches(known_patches(scan["diffraction"]), offsets_xy, crop_size=20)
        np.testing.assert_allclose(found["mine_complex"], expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.spec("CM-1.4")
def test_outputs_that_nothing_describes_are_refused_in_one_sentence(workplace, tmp_path, capsys):
    assert _compare(workplace, tmp_path, f"mine={workplace / 'plain.keras'}") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert 'write a plain.json beside it with {"outputs": ["amplitude", "phase"]}' in line
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_ones_own_is_no_pinn(workplace, tmp_path, capsys):
    more = ("--pinn_dir", workplace / "named.keras", "--baseline_dir", workplace)
    assert _compare(workplace, tmp_path, more=more) == 2
    assert "holds a network of its own kind but a pinn is wanted" in capsys.readouterr().err


def test_one_network_of_ones_own_makes_an_image_of_its_own(workplace, tmp_path, pictures):
    files = ["--model_dir", workplace / "two.json", "--test_data", workplace / "scan.npz"]
    assert reconstruct.main([*map(str, files), "--output_dir", str(tmp_path)]) == 0
    (arm,) = json.loads((tmp_path / "run_report.json").read_text())["arms"]
    assert arm["label"] == "plain.keras"
    with np.load(tmp_path / "reconstruction.npz") as found:
        assert str(found["algorithm"]) == "plain.keras"
