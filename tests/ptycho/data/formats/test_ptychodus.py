"""Files of the ptychodus family, made here key by key and written by ptychodus itself."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
from known_scan import assert_forward_model_agrees, forward
from peer_writers import CENTRE_YX, pinn_members, write_frames, write_product, write_training

from ptycho.data import (
    ImportSettings,
    detect_format,
    read_npz,
    read_reconstruction,
    read_scan,
)
from ptycho.errors import DataError


def _assert_is_known(scan, known, order=slice(None)) -> None:
    np.testing.assert_allclose(scan.positions_yx, known.positions_yx[order], atol=1e-6)
    np.testing.assert_allclose(scan.amplitude**2, known.clean[order], rtol=1e-6)
    np.testing.assert_array_equal(scan.mask, ~known.bad)
    assert_forward_model_agrees(scan, forward(known.image, known.modes[1], known.positions_yx[order]))


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("opened", ["diffraction.h5", "product.h5"])
def test_frames_and_product_beside_each_other_make_a_scan(tmp_path, known, caplog, older, opened):
    write_frames(tmp_path / "diffraction.h5", known)
    write_product(tmp_path / "product.h5", known, older=older)
    with caplog.at_level(logging.INFO):
        scan = read_scan(tmp_path / opened)
    _assert_is_known(scan, known)
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m, rel=1e-6)
    assert scan.geometry.photon_energy_ev == pytest.approx(8000)
    assert scan.geometry.detector_pixel_m == known.detector_pixel_m
    other = {"diffraction.h5": "product.h5", "product.h5": "diffraction.h5"}[opened]
    assert f"taken from {other}" in caplog.text
    assert "has 2 modes; the strongest, number 1 with" in caplog.text


def test_frames_and_positions_are_paired_by_number(tmp_path, known):
    order = [9, 3, 0, 7, 5, 8, 11]
    write_frames(tmp_path / "scan_diffraction.h5", known)
    write_product(tmp_path / "scan_product.h5", known, order=order)
    _assert_is_known(read_scan(tmp_path / "scan_product.h5"), known, order)


@pytest.mark.parametrize("name", ["positions.csv", "positions.txt"])
@pytest.mark.parametrize("opened", ["diffraction.h5", "table"])
def test_frames_and_a_table_of_positions_need_the_pixel(tmp_path, known, name, opened):
    metres = known.metres_about()
    rows, delimiter = (metres, ",") if name.endswith("csv") else (metres[:, ::-1], " ")
    np.savetxt(tmp_path / name, rows, delimiter=delimiter, fmt="%.18g")
    write_frames(tmp_path / "diffraction.h5", known)
    path = tmp_path / (name if opened == "table" else opened)
    with pytest.raises(
        DataError, match=r"lack photon energy \(`photon_energy_j=…`\), detector distance.*`object_pixel_m=…`"
    ):
        read_scan(path)
    scan = read_scan(path, importing=ImportSettings(object_pixel_m=known.pixel_m))
    expected = known.positions_yx - known.positions_yx.min(axis=0) + known.side / 2
    np.testing.assert_allclose(scan.positions_yx, expected, atol=1e-6)
    assert scan.object_guess is None


def test_a_training_file_is_a_scan_of_its_own(tmp_path, known):
    write_training(tmp_path / "a.h5", known)
    scan = read_scan(tmp_path / "a.h5")
    _assert_is_known(scan, known)
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m, rel=1e-6)


def test_the_npz_for_ptychopinn_is_counts_half_a_pixel_lower(tmp_path, known):
    np.savez(tmp_path / "a.npz", **pinn_members(known))
    _assert_is_known(read_scan(tmp_path / "a.npz"), known)


def test_an_older_npz_for_ptychopinn_is_known_by_its_object(tmp_path, known, caplog):
    y, x = known.positions_yx.T
    np.savez(tmp_path / "a.npz", **{**pinn_members(known), "ycoords": y, "xcoords": x})
    with caplog.at_level(logging.INFO):
        _assert_is_known(read_scan(tmp_path / "a.npz"), known)
    assert "positions are raised by 0 pixels, told by an object" in caplog.text


@pytest.mark.parametrize("stub", [None, np.full((57, 71), 0.5 + 0j), np.ones((9, 9), complex)])
def test_without_an_object_that_tells_the_newer_version_is_taken(tmp_path, known, caplog, stub):
    members = {**pinn_members(known), "objectGuess": stub}
    np.savez(tmp_path / "a.npz", **{name: value for name, value in members.items() if value is not None})
    with caplog.at_level(logging.INFO):
        scan = read_scan(tmp_path / "a.npz", plausibility=False)
    assert "positions are raised by 0.5 pixels, of version 1.7, for want of an object" in caplog.text
    shift = scan.positions_yx - known.positions_yx
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-9)


def test_amplitudes_with_the_same_keys_stay_amplitudes(tmp_path, known):
    members = {**pinn_members(known), "diff3d": np.sqrt(known.clean), "probeGuess": known.modes[1]}
    np.savez(tmp_path / "a.npz", **members)
    assert detect_format(tmp_path / "a.npz") == "npz"
    np.testing.assert_array_equal(
        read_scan(tmp_path / "a.npz").amplitude, read_npz(tmp_path / "a.npz").amplitude
    )


def test_a_product_alone_is_a_reconstruction_and_says_what_a_scan_lacks(tmp_path, known):
    write_product(tmp_path / "a.h5", known)
    found = read_reconstruction(tmp_path / "a.h5")
    np.testing.assert_allclose(found.positions_yx, known.positions_yx, atol=1e-6)
    np.testing.assert_array_equal(found.object, known.image)
    np.testing.assert_array_equal(found.probe, known.modes[1])
    assert found.label == "ptychodus"
    with pytest.raises(
        DataError,
        match=r"a\.h5 lacks frames \(`frames=…`\), .* name the file that has them among the `partners`",
    ):
        read_scan(tmp_path / "a.h5")


def test_a_product_in_npz_is_the_same(tmp_path, known):
    y, x = known.metres_about(CENTRE_YX).T
    np.savez(
        tmp_path / "a.npz",
        probe_position_x_m=x,
        probe_position_y_m=y,
        probe=known.modes[None],
        object=known.image[None],
        object_pixel_width_m=known.pixel_m,
        object_pixel_height_m=known.pixel_m,
        object_center_y_m=CENTRE_YX[0],
        object_center_x_m=CENTRE_YX[1],
        probe_energy_eV=known.energy_ev,
    )
    np.testing.assert_allclose(
        read_reconstruction(tmp_path / "a.npz").positions_yx, known.positions_yx, atol=1e-6
    )


def test_several_layers_are_multiplied(tmp_path, known):
    write_product(tmp_path / "a.h5", known)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        attributes = dict(file["object"].attrs)
        del file["object"]
        file["object"] = np.stack([known.image, 2j * np.ones_like(known.image)])
        file["object"].attrs.update(attributes)
    np.testing.assert_allclose(read_reconstruction(tmp_path / "a.h5").object, 2j * known.image)


def test_an_object_that_is_a_stub_is_left_out(tmp_path, known, caplog):
    write_frames(tmp_path / "diffraction.h5", known)
    write_product(tmp_path / "product.h5", known)
    with h5py.File(tmp_path / "product.h5", "r+") as file:
        file["probe_position_y_m"][...] *= 3
    assert read_scan(tmp_path / "product.h5").object_guess is None
    assert "pixels beyond it; it is left out" in caplog.text


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("object", np.ones((2, 2, 5, 5), complex), r"the object in .* \(2, 2, 5, 5\)"),
        (
            "probe",
            np.ones((1, 8, 9), complex),
            r"the probe in product.h5 and diffraction.h5 has shape \(1, 8, 9\)",
        ),
        (
            "probe",
            np.ones((8, 8), complex),
            r"has shape \(8, 8\) but the frames are 16x16; name files of the same scan",
        ),
        ("probe_position_indexes", np.arange(12) + 100, "no position has the number of a frame"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, known, key, value, message):
    write_frames(tmp_path / "diffraction.h5", known)
    write_product(tmp_path / "product.h5", known)
    with h5py.File(tmp_path / "product.h5", "r+") as file:
        attributes = dict(file[key].attrs)
        del file[key]
        file[key] = value
        file[key].attrs.update(attributes)
    with pytest.raises(DataError, match=message):
        read_scan(tmp_path / "product.h5")
