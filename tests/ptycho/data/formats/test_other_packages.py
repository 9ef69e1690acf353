"""Files of further packages, made here key by key from a scan of which everything is known."""

from __future__ import annotations

import logging
import struct
import zlib

import h5py
import numpy as np
import pytest
from known_scan import assert_forward_model_agrees, forward
from peer_files import WRITERS
from peer_writers import fold_slice_variables, write_eiger, write_fold_slice, write_nexus, write_ptyd
from scipy.io import savemat

from ptycho.data import ImportSettings, detect_format, read_reconstruction, read_scan
from ptycho.data.formats._matlab import MatFile
from ptycho.errors import DataError


def _from_lowest(known) -> np.ndarray:
    return known.positions_yx - known.positions_yx.min(axis=0) + known.side / 2


def _assert_is_known_scan(scan, known, *, pixel_m=None) -> None:
    """Without an object: positions with the smallest at N/2, frames, and the object's pixel."""
    np.testing.assert_allclose(scan.positions_yx, _from_lowest(known), atol=1e-5)
    np.testing.assert_allclose(scan.amplitude**2, known.clean, rtol=1e-5)
    assert scan.geometry.object_pixel_m == pytest.approx(pixel_m or known.pixel_m, rel=1e-6)


def _assert_is_known_result(found, known, mode=1) -> None:
    np.testing.assert_allclose(found.positions_yx, known.positions_yx, atol=1e-5)
    np.testing.assert_allclose(found.object, known.image, rtol=1e-6)

    class Explained:
        object_guess, probe, positions_yx = found.object, found.probe, found.positions_yx

    assert_forward_model_agrees(Explained, forward(known.image, known.modes[mode], known.positions_yx))


# fold_slice


@pytest.mark.parametrize("opened", ["data_roi0_dp.hdf5", "data_roi0_para.hdf5"])
@pytest.mark.parametrize("shape", [(-1, 1), (1, -1), (-1,)])
def test_a_pair_of_fold_slice_is_a_scan(tmp_path, known, caplog, opened, shape):
    write_fold_slice(tmp_path, known, shape=shape)
    with caplog.at_level(logging.INFO):
        scan = read_scan(tmp_path / opened)
    _assert_is_known_scan(scan, known)
    assert scan.geometry.wavelength_m == pytest.approx(known.wavelength_m)
    assert "those that MATLAB wrote need `frame_orientation=4`" in caplog.text


def test_frames_that_matlab_wrote_are_transposed_when_told(tmp_path, known):
    write_fold_slice(tmp_path, known)
    with h5py.File(tmp_path / "data_roi0_dp.hdf5", "r+") as file:
        file["dp"][...] = known.clean.swapaxes(1, 2)
    scan = read_scan(tmp_path / "data_roi0_dp.hdf5", importing=ImportSettings(frame_orientation=4))
    _assert_is_known_scan(scan, known)


def test_electrons_are_told_by_positions_in_angstrom(tmp_path, known):
    write_fold_slice(tmp_path, known, unit=1e-10)
    with h5py.File(tmp_path / "data_roi0_para.hdf5", "r+") as file:
        file["dx"][...] = known.pixel_m * 1e10
    _assert_is_known_scan(read_scan(tmp_path / "data_roi0_para.hdf5"), known)


def test_a_result_of_fold_slice_is_read_from_matlab_5(tmp_path, known):
    savemat(tmp_path / "a.mat", fold_slice_variables(known))
    assert detect_format(tmp_path / "a.mat") == "fold-slice-result"
    _assert_is_known_result(read_reconstruction(tmp_path / "a.mat"), known)


def test_a_result_of_fold_slice_is_read_from_matlab_7_3(tmp_path, known):
    """All axes are reversed, complex numbers are pairs, and a block of 512 bytes comes first."""
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        for name, value in fold_slice_variables(known).items():
            if isinstance(value, dict):
                for key, entry in value.items():
                    file[f"{name}/{key}"] = np.atleast_2d(entry).T
            else:
                pairs = np.empty(value.T.shape, [("real", "f8"), ("imag", "f8")])
                pairs["real"], pairs["imag"] = value.T.real, value.T.imag
                file[name] = pairs
    with (tmp_path / "a.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    _assert_is_known_result(read_reconstruction(tmp_path / "a.mat"), known)


@pytest.mark.parametrize("do_compression", [True, False])
def test_variables_of_matlab_5_are_read_as_scipy_writes_them(tmp_path, do_compression):
    rng = np.random.default_rng(2)
    written = {
        "counts": rng.integers(0, 60000, (3, 4, 5)).astype(np.uint16),
        "field": rng.random((2, 7)) + 1j * rng.random((2, 7)),
        "small": np.array([[3]], np.int8),
        "single": rng.random((5, 1)).astype(np.float32),
        "text": "not numbers",
        "list": np.array([1, "a"], dtype=object),
        "p": {"lambda": 1.5, "name": "x", "deep": {"a": np.arange(6.0).reshape(2, 3)}},
    }
    savemat(tmp_path / "a.mat", written, do_compression=do_compression)
    file = MatFile(tmp_path / "a.mat")
    assert file.keys == tuple(written)
    for name in ("counts", "field", "small", "single"):
        np.testing.assert_array_equal(file.read(name), written[name])
        assert file.read(name).dtype == written[name].dtype
    assert file.field("p", "lambda") == 1.5
    assert file.field("p", "name") is None
    assert file.field("counts", "lambda") is None
    with pytest.raises(DataError, match="has no numbers called text; it holds counts, field"):
        file.read("text")


@pytest.mark.parametrize(("at", "reason"), [(2000, "incorrect data check"), (-40, "bytes where")])
def test_a_damaged_mat_file_is_named(tmp_path, known, at, reason):
    savemat(tmp_path / "a.mat", fold_slice_variables(known), do_compression=True)
    content = bytearray((tmp_path / "a.mat").read_bytes())
    content[at] ^= 0xFF
    (tmp_path / "a.mat").write_bytes(content[:at] if at < 0 else content)
    with pytest.raises(DataError, match=rf"a\.mat is damaged \(.*{reason}.*\); copy it again"):
        read_reconstruction(tmp_path / "a.mat")


def test_a_bomb_in_a_mat_file_is_not_unpacked(tmp_path):
    packed = zlib.compress(bytes(80 << 20), 9)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "a.mat").write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(DataError, match="far larger than the file"):
        MatFile(tmp_path / "a.mat")


# ptypy


@pytest.mark.parametrize("linked", [False, True])
def test_prepared_data_of_ptypy_are_a_scan(tmp_path, known, linked):
    write_ptyd(tmp_path / "a.ptyd", known, linked=linked)
    scan = read_scan(tmp_path / "a.ptyd")
    _assert_is_known_scan(scan, known)
    np.testing.assert_array_equal(scan.mask, ~known.bad)


def test_chunks_without_indices_are_in_the_order_of_their_numbers(tmp_path, known):
    write_ptyd(tmp_path / "a.ptyd", known)
    with h5py.File(tmp_path / "a.ptyd", "r+") as file:
        del file["chunks/2/indices"], file["chunks/10/indices"]
    order = [*range(7, 12), *range(7)]
    scan = read_scan(tmp_path / "a.ptyd")
    np.testing.assert_allclose(scan.amplitude**2, known.clean[order], rtol=1e-5)
    np.testing.assert_allclose(scan.positions_yx, _from_lowest(known)[order], atol=1e-5)


def test_a_part_of_ptypy_s_data_that_is_not_there_is_named(tmp_path, known):
    write_ptyd(tmp_path / "a.ptyd", known, linked=True)
    (tmp_path / "a.ptyd.part10").unlink()
    with pytest.raises(DataError, match=r"chunks/10 .* a link to a\.ptyd\.part10, which is not beside it"):
        read_scan(tmp_path / "a.ptyd")


@pytest.mark.parametrize("with_positions", [True, False])
def test_a_result_of_ptypy_is_read(tmp_path, known, with_positions):
    origin = np.array([3e-6, -2e-6])
    with h5py.File(tmp_path / "a.ptyr", "w") as file:
        file["content/obj/SscanG00/data"], file["content/probe/SscanG00/data"] = (
            known.image[None],
            known.modes,
        )
        file["content/obj/SscanG00/_psize"] = np.full(2, known.pixel_m)
        file["content/obj/SscanG00/_origin"] = origin
        file["content/obj/SscanG00/_energy"] = 8.0
        if with_positions:
            file["content/positions/SscanG00"] = known.positions_yx * known.pixel_m + origin
    found = read_reconstruction(tmp_path / "a.ptyr")
    assert found.label == "ptypy"
    if not with_positions:
        assert found.positions_yx is None
        found = type(found)(label="", object=found.object, probe=found.probe, positions_yx=known.positions_yx)
    _assert_is_known_result(found, known)


# PtyLab


@pytest.mark.parametrize("code", range(8))
def test_an_input_of_ptylab_is_a_scan(tmp_path, known, code):
    stored = known.clean
    # Undone in the reverse order: flip columns, flip rows, transpose.
    stored = stored[..., ::-1] if code & 1 else stored
    stored = stored[:, ::-1] if code & 2 else stored
    stored = stored.swapaxes(1, 2) if code & 4 else stored
    with h5py.File(tmp_path / "a", "w") as file:
        file["ptychogram"], file["encoder"] = stored.astype(np.float32), known.metres_about().T
        file["dxd"], file["zo"], file["wavelength"] = (
            known.detector_pixel_m,
            [[known.distance_m]],
            known.wavelength_m,
        )
        file["orientation"] = code
    _assert_is_known_scan(read_scan(tmp_path / "a"), known)


@pytest.mark.parametrize(
    ("key", "message"), [("zled", "Fourier ptychography"), ("theta", "a sample in reflection")]
)
def test_other_instruments_of_ptylab_are_refused(tmp_path, known, key, message):
    with h5py.File(tmp_path / "a", "w") as file:
        file["ptychogram"], file["encoder"], file[key] = known.clean, known.metres_about(), 0.3
    with pytest.raises(DataError, match=message):
        read_scan(tmp_path / "a")


def test_a_result_of_ptylab_is_read(tmp_path, known):
    corner = np.array(known.image.shape) // 2 - known.side // 2
    with h5py.File(tmp_path / "a", "w") as file:
        file["object"] = known.image[None, None, None, None]
        file["probe"] = known.modes[None, None, :, None]
        file["encoder_corrected"] = (known.positions_yx - known.side / 2 - corner) * known.pixel_m
        file["dxp"], file["wavelength"] = known.pixel_m, known.wavelength_m
    assert detect_format(tmp_path / "a") == "ptylab-result"
    _assert_is_known_result(read_reconstruction(tmp_path / "a"), known)


# NeXus


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("raster", [True, False])
def test_a_nexus_file_is_a_scan(tmp_path, known, names, raster):
    write_nexus(tmp_path / "a.nxs", known, names=names, raster=raster)
    assert detect_format(tmp_path / "a.nxs") == "nxcxi"
    scan = read_scan(tmp_path / "a.nxs")
    _assert_is_known_scan(scan, known)
    np.testing.assert_array_equal(scan.mask, ~known.bad)


def test_rows_and_columns_of_a_nexus_raster_are_spread(tmp_path, known):
    write_nexus(tmp_path / "a.nxs", known)
    with h5py.File(tmp_path / "a.nxs", "r+") as file:
        axes = file["entry_1/sample_1/transformations"]
        for name, values, vector in (
            ("slow", np.arange(3.0), (0, 1, 0)),
            ("fast", np.arange(4.0), (1, 0, 0)),
        ):
            del axes[name]
            axes[name] = values
            axes[name].attrs.update({"units": "um", "vector": vector})
    scan = read_scan(tmp_path / "a.nxs")
    step = 1e-6 / known.pixel_m
    np.testing.assert_allclose(scan.positions_yx[:2], [[8, 8], [8, 8 + step]])
    np.testing.assert_allclose(scan.positions_yx[-1], [8 + 2 * step, 8 + 3 * step])


@pytest.mark.parametrize(
    ("key", "value", "units", "message"),
    [
        ("instrument_1/beam_1/energy", 3e9, None, "the energy of a machine and not of photons"),
        ("instrument_1/beam_1/energy", 8.0, "furlong", "is in 'furlong' but one of j, ev, kev"),
        ("instrument_1/detector_1/distance", 2.0, "parsec", "is in 'parsec' but one of m, cm"),
        ("sample_1/transformations/slow", np.zeros(5), "um", "have 5 values in y and 12 in x"),
    ],
)
def test_what_cannot_be_right_in_a_nexus_file_is_named(tmp_path, known, key, value, units, message):
    write_nexus(tmp_path / "a.nxs", known)
    with h5py.File(tmp_path / "a.nxs", "r+") as file:
        path = f"entry_1/{key}"
        attributes = dict(file[path].attrs)
        del file[path]
        file[path] = value
        file[path].attrs.update(attributes)
        if units is not None:
            file[path].attrs["units"] = units
    with pytest.raises(DataError, match=message):
        read_scan(tmp_path / "a.nxs")


# 4D-STEM


def _raster(known):
    """Frames of a bright disk that is off the middle by (1, -2), in a raster of 3x4."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:16, :16]
    rate = np.where((y - 9) ** 2 + (x - 6) ** 2 <= 9.5, 400.0, 2.0)
    return rng.poisson(rate, (3, 4, 16, 16)).astype(np.uint16)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("rotation", [0.0, 0.5])
def test_a_scan_in_emd_is_a_raster(tmp_path, known, older, rotation):
    frames = _raster(known)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        cube = "4DSTEM_experiment/data/datacubes/cube" if older else "cube_root/cube"
        if not older:
            file.attrs["emd_group_type"] = "file"
        file[f"{cube}/data"] = frames
        calibration = file.create_group(f"{cube.rpartition('/')[0]}/metadatabundle/calibration")
        calibration["R_pixel_size"], calibration["R_pixel_units"] = 0.5, "Å"
        calibration["Q_pixel_size"], calibration["Q_pixel_units"] = 0.02, "A^-1"
        calibration["QR_rotation"] = rotation
    scan = read_scan(tmp_path / "a.h5")
    assert scan.geometry.object_pixel_m == pytest.approx(1e-10 / (16 * 0.02))
    np.testing.assert_allclose(scan.amplitude[5] ** 2, np.roll(frames[1, 1], (-1, 2), (0, 1)), rtol=1e-6)
    step = 0.5 * 16 * 0.02
    np.testing.assert_allclose(np.linalg.norm(np.diff(scan.positions_yx[:2], axis=0)), step)
    moved = scan.positions_yx[1] - scan.positions_yx[0]
    assert np.arctan2(moved[0], moved[1]) == pytest.approx(-rotation, abs=1e-6)


def test_frames_of_an_odd_side_in_emd_are_cropped_and_the_pixel_is_that_of_what_is_left(tmp_path, known):
    frames = np.pad(_raster(known), ((0, 0), (0, 0), (1, 0), (0, 5)))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["emd_group_type"] = "file"
        file["cube_root/cube/data"] = frames
        calibration = file.create_group("cube_root/metadatabundle/calibration")
        calibration["R_pixel_size"], calibration["R_pixel_units"] = 0.5, "nm"
        calibration["Q_pixel_size"], calibration["Q_pixel_units"] = 0.02, "1/A"
    scan = read_scan(tmp_path / "a.h5")
    assert scan.patch_size == 16
    assert scan.geometry.object_pixel_m == pytest.approx(1e-10 / (16 * 0.02))
    energy = (scan.amplitude.astype(np.float64) ** 2).mean(axis=0)
    disk = np.argwhere(energy > energy.max() / 2)
    np.testing.assert_allclose(disk.mean(axis=0), [8, 8])


def test_a_scan_in_emd_without_calibration_is_refused(tmp_path, known):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["emd_group_type"] = "file"
        file["cube_root/cube/data"] = _raster(known)
        file["cube_root/metadatabundle/calibration/R_pixel_size"] = 1.0
        file["cube_root/metadatabundle/calibration/R_pixel_units"] = "pixels"
    with pytest.raises(DataError, match=r"a\.h5 is not calibrated"):
        read_scan(tmp_path / "a.h5")


@pytest.mark.parametrize("raster", [True, False])
def test_an_array_and_its_table_are_a_scan(tmp_path, known, raster):
    np.save(tmp_path / "a.npy", known.clean.reshape(3, 4, 16, 16) if raster else known.clean)
    np.savetxt(tmp_path / "a.txt", known.metres_about()[:, ::-1])
    _assert_is_known_scan(
        read_scan(tmp_path / "a.npy", importing=ImportSettings(object_pixel_m=known.pixel_m)), known
    )


# Beamlines


def test_a_scan_of_hxn_has_amplitudes_turned_and_shifted(tmp_path, known):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        amplitude = np.sqrt(known.clean.astype(np.float64)).swapaxes(1, 2)
        file["diffamp"] = np.fft.ifftshift(amplitude, axes=(1, 2))
        file["points"] = -known.metres_about()[:, ::-1].T * 1e6
        file["lambda_nm"], file["z_m"], file["ccd_pixel_um"] = (
            known.wavelength_m * 1e9,
            known.distance_m,
            75.0,
        )
    _assert_is_known_scan(read_scan(tmp_path / "a.h5"), known)


def test_an_eiger_master_and_a_table_are_a_scan(tmp_path, known, caplog):
    write_eiger(tmp_path, known)
    scan = read_scan(tmp_path / "a_master.h5")
    _assert_is_known_scan(scan, known)
    np.testing.assert_array_equal(scan.mask, ~known.bad)
    assert "1 data files at the end are not there and are left out" in caplog.text


def test_a_data_file_that_is_missing_in_between_is_named(tmp_path, known):
    write_eiger(tmp_path, known)
    (tmp_path / "a_data_000001.h5").unlink()
    with pytest.raises(DataError, match=r"a link to a_data_000001\.h5, which is not beside it"):
        read_scan(tmp_path / "a_master.h5")


def test_frames_alone_say_what_they_lack(tmp_path, known):
    write_eiger(tmp_path, known)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(
        DataError,
        match=r"a_master\.h5 lacks positions \(`positions=…`.* or name the file that has them among the `partners`",
    ):
        read_scan(tmp_path / "a_master.h5")


def test_a_result_of_ptyrad_is_read_with_and_without_its_older_probe(tmp_path, known):
    path = WRITERS["ptyrad"](tmp_path, known)
    assert detect_format(path) == "ptyrad-result"
    _assert_is_known_result(read_reconstruction(path), known)
    with h5py.File(path, "r+") as file:
        del file["optimizable_tensors/probe"]
        file["optimizable_tensors/probe"] = np.stack([known.modes.real, known.modes.imag], axis=-1)
    _assert_is_known_result(read_reconstruction(path), known)
    with h5py.File(path, "r+") as file:
        del file["optimizable_tensors/probe_pos_shifts"]
        file["optimizable_tensors/probe_pos_shifts"] = np.zeros((3, 2))
    with pytest.raises(
        DataError, match=r"crop_pos and probe_pos_shifts in .* have shapes \(12, 2\) and \(3, 2\)"
    ):
        read_reconstruction(path)
