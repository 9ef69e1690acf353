"""`ptycho inspect` from the outside: what it says of files that are right, wrong, unknown and broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.cli.inspect import main
from ptycho.data import (
    ImportSettings,
    ScanGeometry,
    SimulationSettings,
    inspect_file,
    simulate,
    write_npz,
    write_reconstruction,
)
from ptycho.data.reconstruction import Reconstruction

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="module")
def scan():
    return simulate(SimulationSettings(object_shape_yx=(100, 120), step_px=9.0))


def _said(capsys, *argv) -> str:
    assert main([str(part) for part in argv]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def test_a_good_scan_is_described_without_a_doubt(tmp_path, scan, capsys):
    mask = np.ones((64, 64), bool)
    mask[3, 4:7] = False
    write_npz(tmp_path / "a.npz", replace(scan.with_mask(mask), geometry=ScanGeometry(object_pixel_m=1e-6)))
    out = _said(capsys, tmp_path / "a.npz")
    assert out.startswith(
        f"{tmp_path / 'a.npz'}: an NPZ archive, format npz\n  frames    {scan.n_frames} of 64x64"
    )
    height, width = np.ptp(scan.positions_yx, axis=0)
    assert f"extent    {height:.4g} px ({height:.4g} µm) x {width:.4g} px ({width:.4g} µm)" in out
    assert "masked    3 of 4096 pixels" in out
    assert "pixel     1 µm of the object" in out
    assert "object    100x120 pixels" in out
    assert out.endswith("no doubts\n")


def test_a_file_of_no_known_format_is_listed_with_the_flags_that_read_it(tmp_path, scan, capsys):
    counts = np.rint(scan.amplitude.astype(np.float64) ** 2).astype(np.uint32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan/ccd"], file["scan/positions"] = counts, scan.positions_yx * 25e-9
        file["scan/latest"] = h5py.SoftLink("/scan/gone")
    out = _said(capsys, tmp_path / "a.h5")
    assert f"scan/ccd        {scan.n_frames}x64x64  uint32" in out
    assert "dead link: scan/latest leads to /scan/gone, which does not exist" in out
    assert (
        "to read it, if its datasets are what their names say: --frames :scan/ccd --positions :scan/positions"
        in out
    )
    assert "and the order of the columns of the positions (--columns y,x or x,y)" in out
    flags = ["--frames", ":scan/ccd", "--columns", "y,x", "--pixel-size", "25nm"]
    out = _said(capsys, tmp_path / "a.h5", *flags, "--save-recipe", tmp_path / "r.toml")
    assert "pixel     25 nm of the object" in out
    assert "no probe; one is estimated from the mean frame" in out.partition("doubts:")[2]
    assert "overlap   not known" in out
    assert "pixel     25 nm of the object" in _said(
        capsys, tmp_path / "a.h5", "--recipe", tmp_path / "r.toml"
    )


def test_every_doubt_and_the_refusal_are_told(tmp_path, scan, capsys):
    positions = scan.positions_yx.copy()
    positions[5:15] = positions[4]
    wrong = replace(scan, positions_yx=positions, amplitude=np.fft.fftshift(scan.amplitude, axes=(1, 2)))
    write_npz(tmp_path / "a.npz", wrong)
    out = _said(capsys, tmp_path / "a.npz")
    assert "10 of" in out.partition("doubts:")[2]
    assert "refused: the frames have" in out
    assert "no doubts" not in out


def test_a_scan_that_lacks_something_says_what(tmp_path, scan, capsys):
    np.save(tmp_path / "a.npy", (scan.amplitude**2).astype(np.uint32))
    out = _said(capsys, tmp_path / "a.npy")
    assert "refused: a.npy lacks positions (--positions FILE:DATASET" in out


def test_a_finished_reconstruction_is_known_as_one(tmp_path, scan, capsys):
    finished = Reconstruction(label="ePIE", object=scan.object_guess, probe=scan.probe)
    write_reconstruction(tmp_path / "a.npz", finished)
    out = _said(capsys, tmp_path / "a.npz")
    assert out.startswith(f"{tmp_path / 'a.npz'}: an NPZ archive, a finished reconstruction\n")
    assert "a finished reconstruction by ePIE: object 100x120, probe 64x64, no positions\n" in out
    assert "refused" not in out
    assert "to read it" not in out
    write_reconstruction(tmp_path / "a.npz", replace(finished, positions_yx=scan.positions_yx))
    assert f"probe 64x64, {scan.n_frames} positions, centres y 32.2 to" in _said(capsys, tmp_path / "a.npz")


def test_a_finished_reconstruction_that_is_refused_says_why(tmp_path, scan, capsys):
    positions = scan.positions_yx - 32.0
    np.savez(
        tmp_path / "a.npz",
        reconstructed_object=scan.object_guess,
        reconstructed_probe=scan.probe,
        algorithm="ePIE",
        positions_yx=positions,
    )
    out = _said(capsys, tmp_path / "a.npz")
    assert "an NPZ archive, a finished reconstruction\n" in out
    assert "refused: " in out
    assert "positions" in out.partition("refused: ")[2]
    assert "no scan" not in out
    assert "to read it" not in out


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared test files are not there")
@pytest.mark.parametrize("name", ["recon_centre_origin.npz", "recon_corner_positions.npz"])
def test_reconstructions_about_another_origin_say_so(capsys, name):
    out = _said(capsys, SHARED / "failing-inputs" / name)
    assert ", a finished reconstruction\n" in out
    assert "fit into it once the positions are shifted" in out.partition("refused: ")[2]


def test_the_refusal_is_told_whatever_flags_are_given(tmp_path, scan, capsys):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ccd"] = np.rint(scan.amplitude.astype(np.float64) ** 2).astype(np.uint32)
        file["positions"] = scan.positions_yx[:-1]
    given = ["--frames", ":ccd", "--positions", ":positions", "--columns", "y,x", "--pixel-size", "25nm"]
    out = _said(capsys, tmp_path / "a.h5", *given, "--position-units", "px")
    assert f": there are {scan.n_frames} frames but {scan.n_frames - 1} positions" in out
    assert "to read it" not in out
    out = _said(capsys, tmp_path / "a.h5", *given[:2])
    assert "a.h5 lacks positions (--positions FILE:DATASET" in out.partition("refused: ")[2]
    assert "to read it" not in out


def test_hot_pixels_are_masked_as_its_own_doubt_says(tmp_path, scan, capsys):
    amplitude = scan.amplitude.copy()
    amplitude[:, 5, 7] = amplitude.max() / 2
    write_npz(tmp_path / "a.npz", replace(scan, amplitude=amplitude))
    assert "mask them with --mask-hot" in _said(capsys, tmp_path / "a.npz")
    out = _said(capsys, tmp_path / "a.npz", "--mask-hot")
    assert "masked    1 of 4096 pixels" in out
    assert "do not measure" not in out


def test_names_that_would_steer_the_terminal_are_shown(tmp_path, scan, capsys):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["\x1b[2Jccd\nrefused: no"] = scan.amplitude
    out = _said(capsys, tmp_path / "a.h5")
    assert "\x1b" not in out
    assert r"\x1b[2Jccd\nrefused: no" in out


def test_it_draws_what_it_saw(tmp_path, scan, capsys, pictures):
    write_npz(tmp_path / "a.npz", scan)
    out = _said(capsys, tmp_path / "a.npz", "--plot", tmp_path / "a.png")
    assert out.endswith(f"drawn: {tmp_path / 'a.png'}\n")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert main([str(tmp_path / "a.npz"), "--plot", str(tmp_path / "a.png")]) == 2
    assert "already exists; pass --overwrite" in capsys.readouterr().err
    assert main([str(tmp_path / "a.npz"), "--plot", str(tmp_path / "a.jpg")]) == 2
    assert "a.jpg ends in .jpg but must be .png, .pdf or .svg; name it so." in capsys.readouterr().err


def test_a_broken_file_is_one_line(tmp_path, capsys):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n and nothing more")
    assert main([str(tmp_path / "a.h5")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_frames_in_matlabs_order_are_named(tmp_path, scan):
    counts = np.rint(scan.amplitude.astype(np.float64) ** 2).astype(np.uint32)
    np.save(tmp_path / "a.npy", np.moveaxis(counts, 0, -1))
    np.savetxt(tmp_path / "a.csv", scan.positions_yx * 25e-9, delimiter=",", fmt="%.15g")
    found = inspect_file(tmp_path / "a.npy")
    assert "`object_pixel_m=…`" in found.refusal
    refused = inspect_file(tmp_path / "a.npy", importing=ImportSettings(object_pixel_m=25e-9)).refusal
    assert (
        f"the frames, of shape (64, 64, {scan.n_frames}), seem to be in the order (H, W, n): pass `axes='yxn'`"
        in refused
    )
    mended = inspect_file(tmp_path / "a.npy", importing=ImportSettings(object_pixel_m=25e-9, axes="yxn"))
    assert mended.scan.n_frames == scan.n_frames


def test_turned_positions_of_an_imported_file_are_a_doubt_with_the_flags_that_mend_it(tmp_path, capsys):
    made = simulate(SimulationSettings(patch_size=32, object_shape_yx=(80, 90), step_px=8.0))
    counts = np.rint(np.fft.ifftshift(made.amplitude.astype(np.float64) ** 2, axes=(1, 2)))
    path = tmp_path / "tike.npz"
    np.savez(path, data=counts[None], scan=made.positions_yx[None, :, ::-1], probe=made.probe)
    out = _said(capsys, path)
    doubt = "do not fit the frames as they are, but turned: pass --swap-xy (or, if it is the frames"
    assert doubt in out.partition("doubts:")[2]
    mended = _said(capsys, path, "--swap-xy")
    assert "the positions fit as they are" in mended.partition("notes:")[2]
    assert mended.endswith("no doubts\n")
    assert "orientation:" not in _said(capsys, path, "--no-check-orientation")


def test_the_orientation_of_our_own_file_is_checked_only_if_that_is_asked_for(tmp_path, capsys):
    made = simulate(SimulationSettings(patch_size=32, object_shape_yx=(80, 90), step_px=8.0))
    write_npz(tmp_path / "a.npz", made)
    assert "orientation:" not in _said(capsys, tmp_path / "a.npz")
    assert "orientation: of 8 ways" in _said(capsys, tmp_path / "a.npz", "--check-orientation")
    assert "orientation: of 8 ways" in _said(capsys, tmp_path / "a.npz", "--try-orientations")


def test_an_estimated_probe_lets_no_orientation_be_told(tmp_path, capsys):
    made = simulate(SimulationSettings(patch_size=32, object_shape_yx=(80, 90), step_px=8.0))
    counts = np.rint(made.amplitude.astype(np.float64) ** 2).astype(np.uint32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan/ccd"], file["scan/positions"] = counts, made.positions_yx * 25e-9
    flags = ["--frames", ":scan/ccd", "--columns", "x,y", "--pixel-size", "25nm"]
    out = _said(capsys, tmp_path / "a.h5", *flags)
    assert "cannot be told: the far field of the probe is flat" in out.partition("notes:")[2]


def test_hot_pixels_are_a_doubt_until_they_are_masked(tmp_path, scan, capsys):
    amplitude = scan.amplitude.copy()
    amplitude[:, 5, 50] = 40 * amplitude.max()
    write_npz(tmp_path / "a.npz", replace(scan, amplitude=amplitude))
    out = _said(capsys, tmp_path / "a.npz")
    assert "pixels of the detector do not measure" in out.partition("doubts:")[2]
    out = _said(capsys, tmp_path / "a.npz", "--mask-hot")
    assert "masked    1 of 4096 pixels" in out
    assert out.endswith("no doubts\n")
