"""`ptycho-convert` from the outside: what it writes, says and refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.cli.convert import main
from ptycho.data import SimulationSettings, probe_energy_ratio, read_npz, simulate, write_npz

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def tike(tmp_path) -> Path:
    """Seven frames of 16x16 in tike's layout, with a probe in other units than the counts."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:16, :16] - 8
    rate = 900 * np.exp(-(y**2 + 2 * x**2) / 9)
    path = tmp_path / "tike.npz"
    np.savez(
        path,
        data=np.fft.ifftshift(rng.poisson(rate, size=(1, 7, 16, 16)), axes=(-2, -1)).astype(np.float32),
        scan=rng.uniform((-9, -20), (9, 20), size=(1, 7, 2)).astype(np.float32),
        probe=(np.exp(-(y**2 + x**2) / 20) * np.exp(0.2j * x)).astype(np.complex64)[None, None],
    )
    return path


@pytest.fixture
def reconstruction(tmp_path, tike) -> Path:
    """An iterative reconstruction whose positions belong to the scan of `tike`."""
    with np.load(tike) as file:
        positions = file["scan"][0].astype(np.float64)
    rng = np.random.default_rng(6)
    path = tmp_path / "epie.npz"
    np.savez(
        path,
        reconstructed_object=(rng.random((45, 70)) + 1j * rng.random((45, 70))).astype(np.complex64),
        reconstructed_probe=100 * np.ones((16, 16), np.complex64),
        algorithm="ePIE",
        positions_yx=positions + np.array([20.0, 35.0]),
    )
    return path


def _fails(capsys, *argv) -> str:
    assert main([str(part) for part in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_tike_is_recognised_and_converted(tike, tmp_path, capsys):
    out = tmp_path / "out.npz"
    assert main([str(tike), str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{out}: 7 frames of 16x16 from tike, centres y 8.0 to ")
    assert shown.out.count("\n") == 1
    assert "the probe is multiplied by" in shown.err
    scan = read_npz(out)
    with np.load(tike) as file:
        counts = np.fft.fftshift(file["data"][0], axes=(-2, -1))
        corners = file["scan"][0].astype(np.float64)
    np.testing.assert_allclose(scan.amplitude**2, counts, rtol=1e-6)
    np.testing.assert_array_equal(scan.positions_yx, corners - corners.min(axis=0) + 8)
    assert probe_energy_ratio(scan) == pytest.approx(1, rel=1e-5)


def test_an_object_brings_its_probe_and_positions(tike, reconstruction, tmp_path, capsys):
    out = tmp_path / "out.npz"
    assert main([str(tike), str(out), "--from", "tike", "--object", str(reconstruction)]) == 0
    assert "object 45x70" in capsys.readouterr().out
    scan = read_npz(out)
    with np.load(reconstruction) as file:
        np.testing.assert_array_equal(scan.object_guess, file["reconstructed_object"])
        np.testing.assert_array_equal(scan.positions_yx, file["positions_yx"])


def test_a_legacy_npz_is_made_current(tike, tmp_path):
    main([str(tike), str(tmp_path / "first.npz")])
    with np.load(tmp_path / "first.npz") as file:
        legacy = dict(file)
    legacy["diff3d"] = np.moveaxis(legacy.pop("diffraction"), 0, -1)
    np.savez(tmp_path / "legacy.npz", **legacy)
    assert main([str(tmp_path / "legacy.npz"), str(tmp_path / "second.npz"), "--quiet"]) == 0
    first, second = read_npz(tmp_path / "first.npz"), read_npz(tmp_path / "second.npz")
    np.testing.assert_array_equal(second.amplitude, first.amplitude)


def test_an_existing_output_is_replaced_only_when_told(tike, tmp_path, capsys):
    out = tmp_path / "out.npz"
    out.write_text("precious")
    assert "already exists; pass --overwrite" in _fails(capsys, tike, out)
    assert out.read_text() == "precious"
    assert main([str(tike), str(out), "--overwrite"]) == 0
    assert read_npz(out).n_frames == 7


def test_a_name_that_would_steer_the_terminal_is_shown(tike, tmp_path, capsys):
    assert main([str(tike), str(tmp_path / "a\x1b[2J.npz")]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/a\\x1b[2J.npz: 7 frames")


def test_quiet_says_nothing(tike, tmp_path, capsys):
    assert main([str(tike), str(tmp_path / "out.npz"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("none.npz", "out.npz"), "none.npz: No such file or directory; check the path."),
        (("tike.npz", "none/out.npz"), "none does not exist"),
        (("tike.npz", "tike.npz/out.npz"), "is a file but the output needs a folder"),
        (("tike.npz", "out.npz", "--from", "npz"), "has no diffraction frames; it holds data, scan, probe"),
        (("epie.npz", "out.npz"), "is a finished image, without frames, where a scan is wanted"),
        (("epie.npz", "out.npz", "--from", "tike"), "has no data, scan, probe"),
        (("tike.npz", "out.npz", "--object", "tike.npz"), "has no reconstructed_object"),
        (("tike.npz", "out.npz", "--object", "none.npz"), "none.npz: No such file"),
        (("text", "out.npz"), "text is none of the files that are read here: it begins with b'hello'"),
        (("tike.npz", "out.npz", "--from", "pdf"), "'pdf' is no format that is known here; pass one of"),
        (("tike.npz", "out.npz", "--from", "cxi"), "is an NPZ archive, which a CXI file never is"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    tike, reconstruction, tmp_path, capsys, monkeypatch, argv, message
):
    (tmp_path / "text").write_text("hello")
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert message in _fails(capsys, *argv)
    assert sorted(tmp_path.iterdir()) == before


def test_a_failure_to_write_is_code_1(tike, tmp_path, capsys, monkeypatch):
    def broken_disk(file, members):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("ptycho.data.npz.write_archive", broken_disk)
    assert main([str(tike), str(tmp_path / "out.npz")]) == 1
    assert capsys.readouterr().err.endswith(f"{tmp_path}/out.npz: Input/output error.\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["tike.npz"]


def test_files_of_other_packages_need_no_flag(known, tmp_path, capsys):
    path = tmp_path / "scan.cxi"
    with h5py.File(path, "w") as file:
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector["data"], detector["distance"] = known.clean, known.distance_m
        detector["x_pixel_size"] = known.detector_pixel_m
        file["entry_1/instrument_1/source_1/energy"] = known.energy_j
        file["entry_1/sample_1/geometry_1/translation"] = np.pad(
            known.metres_about()[:, ::-1], ((0, 0), (0, 1))
        )
    assert main([str(path), str(tmp_path / "out.npz")]) == 0
    assert "12 frames of 16x16 from cxi, centres y 8.0 to" in capsys.readouterr().out
    scan = read_npz(tmp_path / "out.npz")
    np.testing.assert_allclose(scan.amplitude**2, known.clean, rtol=1e-5)
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m)


def test_frames_and_positions_in_two_files_are_named(known, tmp_path, capsys):
    np.save(tmp_path / "frames.npy", known.clean)
    np.savetxt(tmp_path / "where.csv", known.metres_about(), delimiter=",")
    argv = ["frames.npy", "out.npz", "--with", "where.csv"]
    argv = [str(tmp_path / word) if "." in word else word for word in argv]
    assert "frames.npy and where.csv lack photon energy" in _fails(capsys, *argv, "--quiet")
    assert main([*argv, "--pixel-size", str(known.pixel_m)]) == 0
    scan = read_npz(tmp_path / "out.npz")
    expected = known.positions_yx - known.positions_yx.min(axis=0) + 8
    np.testing.assert_allclose(scan.positions_yx, expected, atol=1e-6)


def test_the_measured_siemens_star_is_converted(tmp_path, capsys):
    if not SHARED.exists():
        pytest.skip("the measured data are not beside this checkout")
    out = tmp_path / "star.npz"
    source, image = SHARED / "siemens-star-small.npz.bz2", SHARED / "siemens-star-epie.npz"
    assert main([str(source), str(out), "--object", str(image)]) == 0
    assert "516 frames of 128x128 from tike" in capsys.readouterr().out
    scan = read_npz(out)
    assert scan.object_guess is not None
    assert scan.object_guess.shape == (462, 459)


def test_hot_pixels_are_masked_on_request_and_named_in_any_case(tmp_path, capsys):
    scan = simulate(SimulationSettings(object_shape_yx=(90, 100), step_px=11.0, seed=2))
    frames = scan.amplitude.copy()
    frames[:, 5, 40] = 1000.0
    write_npz(tmp_path / "hot.npz", replace(scan, amplitude=frames))
    for flags, n_masked in (([], 0), (["--mask-hot"], 1)):
        assert main([str(tmp_path / "hot.npz"), str(tmp_path / "out.npz"), "--overwrite", *flags]) == 0
        assert "1 hot: row 5 column 40; mask them with --mask-hot" in capsys.readouterr().err
        assert read_npz(tmp_path / "out.npz").n_masked == n_masked
