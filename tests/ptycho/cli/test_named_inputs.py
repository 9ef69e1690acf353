"""No command writes over what it reads, however that is named; --overwrite or not."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from known_scan import make_known_scan
from peer_writers import write_frames, write_product

from ptycho.cli.main import main
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.demo import model_folder

LENGTHS = ("--energy", "8keV", "--distance", "2m", "--detector-pixel", "75um")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    scan = simulate(SimulationSettings(object_shape_yx=(80, 90), step_px=9.0, n_lines=5))
    write_npz(folder / "scan.npz", scan)
    np.save(folder / "frames.npy", (scan.amplitude**2).astype(np.float32))
    np.savetxt(folder / "steps.csv", scan.positions_yx * 1e-8, delimiter=",")
    np.save(folder / "probe.npy", scan.probe)
    (folder / "lab.toml").write_text('positions = "{stem}.csv"\n')
    known = make_known_scan()
    write_frames(folder / "diffraction.h5", known)
    write_product(folder / "product.h5", known)
    (folder / "out").mkdir()
    np.savez(folder / "out" / "reconstruction.npz", positions_yx=scan.positions_yx)
    return folder


@pytest.fixture
def workplace(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


FRAMES = ("--frames", "frames.npy", "--positions", "steps.csv", "--columns", "y,x", *LENGTHS)
CASES = [
    ("convert", "scan.npz", "scan.npz"),
    ("convert", *FRAMES, "frames.npy"),
    ("convert", *FRAMES, "steps.csv"),
    ("convert", "scan.npz", "lab.toml", "--recipe", "lab.toml"),
    ("convert", "diffraction.h5", "product.h5"),
    ("convert", *FRAMES, "o.npz", "--save-recipe", "steps.csv"),
    ("convert", "scan.npz", "o.npz", "--save-recipe", "o.npz"),
    ("inspect", "scan.npz", "--plot", "scan.npz"),
    ("inspect", "product.h5", "--plot", "diffraction.h5"),
    ("inspect", "product.h5", "--with", "diffraction.h5", "--save-recipe", "diffraction.h5"),
    (
        "reconstruct",
        "--model_dir",
        str(model_folder("pinn")),
        "--output_dir",
        "out",
        "--test_data",
        "frames.npy",
        "--positions",
        "out/reconstruction.npz:positions_yx",
        *LENGTHS,
    ),
    (
        "reconstruct",
        "--model_dir",
        "m",
        "--output_dir",
        "o",
        "--test_data",
        "scan.npz",
        "--save-recipe",
        "scan.npz",
    ),
    ("train", "--model", "pinn", "--train_data", "scan.npz", "--probe", "probe.npy", "--output_dir", "."),
]


@pytest.mark.parametrize("words", CASES, ids=lambda words: f"{words[0]}-{words[-1]}")
def test_an_input_is_refused_as_an_output(workplace, capsys, words):
    before = {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()}
    assert main([*words, "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "is an input of this run; pass another" in error or "is another output of this run" in error
    assert {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()} == before


def test_a_partner_is_refused_as_an_export(workplace, capsys):
    (workplace / "diffraction.h5").rename(workplace / "out" / "reconstruction_diffraction.h5")
    (workplace / "product.h5").rename(workplace / "out" / "reconstruction.h5")
    words = [
        "reconstruct",
        "--model_dir",
        str(model_folder("pinn")),
        "--output_dir",
        "out",
        "--export",
        "product",
    ]
    assert main([*words, "--test_data", "out/reconstruction_diffraction.h5", "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "out/reconstruction.h5" in error
    assert "would be replaced by a result but is an input of this run" in error
