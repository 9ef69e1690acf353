"""Every command reads every file: by its format, by flags, by a recipe."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from ptycho.cli import convert, reconstruct, train
from ptycho.cli.compare_models import main as compare
from ptycho.data import ScanGeometry, SimulationSettings, read_npz, simulate
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel

LENGTHS = {"photon_energy_j": 8000 * 1.602176634e-19, "detector_distance_m": 2.0, "detector_pixel_m": 75e-6}
PIXEL_M = ScanGeometry.of_far_field(**LENGTHS, patch_size=64).object_pixel_m
FLAGS = ("--energy", "8keV", "--distance", "2m", "--detector-pixel", "75um")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """One simulated scan as tike, as CXI and as an HDF5 of nobody's, and a network."""
    folder = tmp_path_factory.mktemp("files")
    scan = simulate(SimulationSettings(object_shape_yx=(110, 125), n_lines=12, step_px=9.0, seed=4))
    counts = np.rint(scan.amplitude.astype(np.float64) ** 2).astype(np.float32)
    corners = (scan.positions_yx - 32).astype(np.float32)
    np.savez(
        folder / "tike.npz",
        data=np.fft.ifftshift(counts, axes=(-2, -1))[np.newaxis],
        scan=corners[np.newaxis],
        probe=scan.probe[np.newaxis],
    )
    metres = corners.astype(np.float64) * PIXEL_M
    with h5py.File(folder / "scan.cxi", "w") as file:
        file["cxi_version"] = 160
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector["data"] = counts.astype(np.uint32)
        detector["distance"], detector["x_pixel_size"], detector["y_pixel_size"] = 2.0, 75e-6, 75e-6
        file["entry_1/instrument_1/source_1/energy"] = LENGTHS["photon_energy_j"]
        file["entry_1/instrument_1/source_1/illumination"] = scan.probe
        file["entry_1/sample_1/geometry_1/translation"] = np.pad(metres[:, ::-1], ((0, 0), (0, 1)))
    with h5py.File(folder / "scan.h5", "w") as file:
        file["ccd"] = counts.astype(np.uint32)
        file["stage/y"], file["stage/x"] = metres.T
        file["probe"] = scan.probe
    architecture = Architecture(kind="pinn", patch_size=64, n_filters_scale=0.25)
    save_bundle(folder / "pinn", PatchModel(build_network(architecture), architecture))
    return folder


def _image(output):
    with np.load(output / "reconstructions.npz") as file:
        return {key: file[key] for key in file.files}


def _compared(workplace, tmp_path, name, *flags):
    argv = [
        "--arm",
        f"PINN={workplace / 'pinn'}",
        "--test_data",
        str(workplace / name),
        "--skip-registration",
    ]
    assert compare([*argv, "--output_dir", str(tmp_path / "out"), "--quiet", *flags]) == 0
    return _image(tmp_path / "out")


@pytest.fixture(scope="module")
def from_tike(workplace, tmp_path_factory):
    return _compared(workplace, tmp_path_factory.mktemp("tike"), "tike.npz")


@pytest.mark.spec("CM-2.12")
@pytest.mark.parametrize(
    ("name", "flags"), [("scan.cxi", ()), ("scan.h5", ("--frames", ":ccd", *FLAGS)), ("scan.h5", None)]
)
def test_the_image_has_the_same_bits_whatever_the_file(workplace, tmp_path, from_tike, name, flags):
    if flags is None:
        (tmp_path / "r.toml").write_text(
            'frames = ":ccd"\nenergy = "8keV"\ndistance = 2\ndetector-pixel = "75 um"\n'
        )
        flags = ("--recipe", str(tmp_path / "r.toml"))
    found = _compared(workplace, tmp_path, name, *flags)
    assert found.keys() == from_tike.keys()
    for key, expected in from_tike.items():
        np.testing.assert_array_equal(found[key], expected)


@pytest.mark.spec("CM-2.12")
def test_reconstruct_takes_a_recipe_that_flags_overrule(workplace, tmp_path, capsys):
    recipe, output = tmp_path / "r.toml", tmp_path / "out"
    recipe.write_text('frames = ":none"\nenergy = "8keV"\ndistance = 2\ndetector-pixel = "75 um"\n')
    argv = [
        "--model_dir",
        str(workplace / "pinn"),
        "--test_data",
        str(workplace / "scan.h5"),
        "--recipe",
        str(recipe),
    ]
    assert reconstruct.main([*argv, "--output_dir", str(output)]) == 2
    assert "--frames names :none, which is neither a file nor a dataset of scan.h5" in capsys.readouterr().err
    saved = tmp_path / "saved.toml"
    flags = ["--frames", ":ccd", "--save-recipe", str(saved), "--quiet"]
    assert reconstruct.main([*argv, *flags, "--output_dir", str(output)]) == 0
    assert json.loads((output / "run_report.json").read_text())["scan"]["n_frames"] > 0
    assert 'frames = ":ccd"' in saved.read_text()


def test_training_refuses_one_file_of_frames_for_several_scans(workplace, tmp_path, capsys):
    scans = [str(workplace / "scan.h5")] * 2
    argv = ["--model", "pinn", "--train_data", *scans, "--output_dir", str(tmp_path / "out")]
    assert train.main([*argv, "--frames", f"{workplace / 'scan.h5'}:ccd"]) == 2
    assert "--frames names the one file" in capsys.readouterr().err


def test_convert_goes_from_the_first_message_to_the_file(workplace, tmp_path, capsys):
    scan, out = str(workplace / "scan.h5"), str(tmp_path / "out.npz")
    assert convert.main([scan, out]) == 2
    message = capsys.readouterr().err
    assert "pass --frames :ccd --y :stage/y --x :stage/x --probe :probe with what is missing" in message
    named = ["--frames", ":ccd", "--y", ":stage/y", "--x", ":stage/x", "--probe", ":probe"]
    assert convert.main([scan, *named, out, *FLAGS]) == 0
    capsys.readouterr()
    read = read_npz(out)
    assert read.geometry.object_pixel_m == pytest.approx(PIXEL_M)
    assert convert.main(["--frames", f"{scan}:ccd", *FLAGS, out, "--overwrite", "--quiet"]) == 0
    np.testing.assert_array_equal(read_npz(out).positions_yx, read.positions_yx)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["out.npz"], "one file is named but IN and OUT are needed"),
        (["a", "b", "c"], "3 files are named but IN and OUT are needed"),
        (["out.npz", "--frames", "none.h5:ccd"], "--frames names none.h5:ccd, but there is no such file"),
        (["a", "b", "--energy", "8 horses"], "'8 horses' is not an energy such as 8keV"),
        (["a", "b", "--grid", "4"], "'4' is not two numbers with a comma between, such as 20,25"),
        (["a", "b", "--recipe", "none.toml"], "none.toml: No such file or directory"),
        (["a", "b", "--crop", "51"], "crop is 51 but must be a whole multiple of 2"),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path, monkeypatch, capsys, argv, words):
    monkeypatch.chdir(tmp_path)
    try:
        code = convert.main(argv)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert words in capsys.readouterr().err
