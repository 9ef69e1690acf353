"""CXI in its dialects, made here key by key and written by cdtools itself."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
from known_scan import assert_forward_model_agrees, forward
from peer_writers import BASES, P, translations, write_cxi

from ptycho.data import detect_format, read_reconstruction, read_scan
from ptycho.errors import DataError


def _change(path, key, value) -> None:
    with h5py.File(path, "r+") as file:
        if key in file:
            del file[key]
        if value is not None:
            file[key] = value


def _from_lowest(positions, side) -> np.ndarray:
    return positions - positions.min(axis=0) + side / 2


@pytest.mark.parametrize("transpose_basis", [False, True])
@pytest.mark.parametrize("basis", BASES)
def test_positions_follow_the_detector_s_basis(tmp_path, known, basis, transpose_basis):
    write_cxi(tmp_path / "a", known, basis=BASES[basis], transpose_basis=transpose_basis)
    scan = read_scan(tmp_path / "a")
    np.testing.assert_allclose(scan.positions_yx, _from_lowest(known.positions_yx, 16), atol=1e-6)
    np.testing.assert_allclose(scan.amplitude**2, known.clean, rtol=1e-6)
    # The bit "has signal" marks no fault.
    np.testing.assert_array_equal(scan.mask, ~known.bad)
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m, rel=1e-6)


def test_a_probe_that_is_missing_is_estimated_and_said(tmp_path, known, caplog):
    write_cxi(tmp_path / "a", known)
    scan = read_scan(tmp_path / "a")
    assert "no probe; one is estimated from the mean frame" in caplog.text
    # Its far field is the mean frame's, up to a factor.
    far = np.abs(np.fft.fftshift(np.fft.fft2(scan.probe)))
    mean = np.sqrt((scan.amplitude.astype(np.float64) ** 2).mean(axis=0))
    np.testing.assert_allclose(far / far.max(), mean / mean.max(), atol=1e-5)


def test_the_order_of_pynx_is_turned(tmp_path, known, caplog):
    write_cxi(tmp_path / "a", known)
    _change(tmp_path / "a", "entry_1/sample_1/geometry_1/translation", translations(known, None).T)
    with caplog.at_level(logging.INFO):
        scan = read_scan(tmp_path / "a")
    np.testing.assert_allclose(scan.positions_yx, _from_lowest(known.positions_yx, 16), atol=1e-6)
    assert "has the order (3, n), as PyNX writes it" in caplog.text


def test_a_wavelength_is_preferred_and_one_pixel_size_is_enough(tmp_path, known):
    write_cxi(tmp_path / "a", known)
    _change(tmp_path / "a", "entry_1/instrument_1/source_1/energy", known.energy_j * 1.00116)
    _change(tmp_path / "a", "entry_1/instrument_1/source_1/wavelength", known.wavelength_m)
    _change(tmp_path / "a", "entry_1/instrument_1/detector_1/x_pixel_size", None)
    assert read_scan(tmp_path / "a").geometry.object_pixel_m == pytest.approx(known.pixel_m, rel=1e-9)


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "eV"), (1e-3, "keV")])
def test_an_energy_that_is_not_in_joules_is_known_by_its_size(tmp_path, known, caplog, factor, unit):
    write_cxi(tmp_path / "a", known)
    _change(tmp_path / "a", "entry_1/instrument_1/source_1/energy", known.energy_ev * factor)
    with caplog.at_level(logging.INFO):
        assert read_scan(tmp_path / "a").geometry.photon_energy_ev == pytest.approx(8000)
    assert f"without a unit and is taken for {unit}" in caplog.text


def test_background_and_efficiency_are_taken_out(tmp_path, known):
    write_cxi(tmp_path / "a", known)
    flat = np.linspace(0.5, 1, 256).reshape(16, 16)
    counts = known.counts.astype(np.float64) * flat + 3
    _change(tmp_path / "a", "entry_1/instrument_1/detector_1/data", counts)
    _change(tmp_path / "a", "entry_1/instrument_1/detector_1/data_dark", np.full((4, 16, 16), 3.0))
    _change(tmp_path / "a", "entry_1/instrument_1/detector_1/qe_mask", flat)
    np.testing.assert_allclose(read_scan(tmp_path / "a").amplitude ** 2, known.clean, rtol=1e-4, atol=1e-3)


def test_a_raster_of_frames_is_one_after_the_other(tmp_path, known):
    write_cxi(tmp_path / "a", known)
    _change(tmp_path / "a", "entry_1/instrument_1/detector_1/data", known.counts.reshape(3, 4, 16, 16))
    np.testing.assert_allclose(read_scan(tmp_path / "a").amplitude ** 2, known.clean, rtol=1e-6)


def test_frames_that_are_not_square_are_cropped_about_the_beam(tmp_path, known):
    write_cxi(tmp_path / "a", known)
    # 21 columns have their middle at 10, so that the 16 about it begin at 2.
    wide = np.pad(known.counts.astype(np.int32), ((0, 0), (0, 0), (2, 3)), constant_values=7)
    mask = np.pad(known.bad, ((0, 0), (2, 3))).astype(np.int8)
    _change(tmp_path / "a", "entry_1/instrument_1/detector_1/data", wide)
    _change(tmp_path / "a", "entry_1/instrument_1/detector_1/mask", mask)
    scan = read_scan(tmp_path / "a")
    np.testing.assert_allclose(scan.amplitude**2, known.clean, rtol=1e-6)
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m, rel=1e-6)


def test_a_product_of_ptychodus_has_object_and_probe(tmp_path, known):
    write_cxi(tmp_path / "a", known)
    centre = np.array([-7e-7, 1.3e-6])
    with h5py.File(tmp_path / "a", "r+") as file:
        file["entry_1/process_1/program"] = "Ptychodus"
        file["entry_1/image_1/data"], file["entry_1/image_2/data"] = known.modes[None], known.image[None]
        own = file.create_group("entry_1/ptychodus")
        for side in ("width", "height"):
            own[f"object_pixel_{side}_m"] = known.pixel_m
        own["object_center_y_m"], own["object_center_x_m"] = centre
    x, y = known.metres_about(centre).T[::-1]
    _change(tmp_path / "a", "entry_1/sample_1/geometry_1/translation", np.stack([x, y, 0 * x], axis=-1))
    scan = read_scan(tmp_path / "a")
    np.testing.assert_allclose(scan.positions_yx, known.positions_yx, atol=1e-6)
    assert_forward_model_agrees(scan, forward(known.image, known.modes[1], known.positions_yx))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("entry_1/instrument_1/detector_1/distance", None, "a lacks detector distance"),
        ("entry_1/instrument_1/detector_1/x_pixel_size", 2 * P, "0.00015 m wide but must be square"),
        (
            "entry_1/instrument_1/source_1/energy",
            7e9,
            r"source_1/energy in .* is 7e\+09, which is no photon energy",
        ),
        (
            "entry_1/instrument_1/detector_1/mask",
            np.zeros((16, 15), int),
            r"\(16, 15\) but the frames are \(16, 16\)",
        ),
        ("entry_1/instrument_1/detector_1/basis_vectors", np.ones((2, 3)), "two independent steps"),
        ("entry_1/sample_1/geometry_1/translation", np.zeros((7, 3)), "12 frames but 7 positions"),
        ("entry_1/sample_1/geometry_1/translation", np.zeros((12, 4)), r"\(12, 4\) but must be \(n, 3\)"),
        ("entry_1/sample_1/geometry_1/translation", None, "a lacks positions"),
        ("entry_1/sample_1/geometry_1/surface_normal", [1.0, 0, 1], "a sample in reflection"),
    ],
)
def test_what_cannot_be_right_is_named(tmp_path, known, key, value, message):
    write_cxi(tmp_path / "a", known)
    _change(tmp_path / "a", key, value)
    with pytest.raises(DataError, match=message):
        read_scan(tmp_path / "a")


def test_a_result_of_cdtools_is_read(tmp_path, known):
    basis = np.array([[0, -known.pixel_m], [-known.pixel_m, 0], [0, 0]])
    with h5py.File(tmp_path / "a", "w") as file:
        file["obj"], file["probe"], file["obj_basis"] = known.image, known.modes, basis
        pixels = known.positions_yx + np.array([20.0, -3.0])
        file["translations"] = pixels @ basis.T
        file["state_dict/min_translation"] = np.array([28.0, 5.0])
    found = read_reconstruction(tmp_path / "a")
    np.testing.assert_allclose(found.positions_yx, known.positions_yx, atol=1e-6)
    np.testing.assert_array_equal(found.object, known.image)
    assert found.label == "cdtools"
    assert_forward_model_agrees(_Explained(found), forward(known.image, known.modes[1], known.positions_yx))


class _Explained:
    """A reconstruction as the check of the forward model takes it."""

    def __init__(self, found) -> None:
        self.object_guess, self.probe, self.positions_yx = found.object, found.probe, found.positions_yx


def test_a_result_of_pynx_is_turned_upside_down(tmp_path, known):
    y, x = ((known.positions_yx - (20, 30)) * known.pixel_m).T
    rows = (np.arange(57) - 20) * known.pixel_m * 1e9
    with h5py.File(tmp_path / "a", "w") as file:
        file.attrs["creator"] = "PyNX"
        entry = file.create_group("entry_1")
        entry["result_1/data"], entry["result_2/data"] = known.image[None, ::-1], known.modes[:, ::-1]
        entry["result_5/data"] = np.stack([x, y, 0 * x, 0 * y])
        for key, number in (("object", 1), ("probe", 2), ("positions", 5)):
            entry[key] = h5py.SoftLink(f"/entry_1/result_{number}")
        entry["result_1/row_coords"] = rows[::-1]
        entry["result_1/col_coords"] = (np.arange(71) - 30) * known.pixel_m * 1e9
        for key in ("row_coords", "col_coords"):
            entry[f"result_1/{key}"].attrs["units"] = "nm"
        file["entry_last"] = h5py.SoftLink("/entry_1")
    assert detect_format(tmp_path / "a") == "pynx-result"
    found = read_reconstruction(tmp_path / "a")
    np.testing.assert_allclose(found.positions_yx, known.positions_yx, atol=1e-6)
    expected = forward(known.image, known.modes[1], known.positions_yx)
    assert_forward_model_agrees(_Explained(found), expected)


def test_a_dead_link_is_named_with_what_is_missing(tmp_path, known):
    write_cxi(tmp_path / "a.cxi", known)
    with h5py.File(tmp_path / "a.cxi", "r+") as file:
        del file["entry_1/instrument_1/detector_1/data"]
    with pytest.raises(
        DataError, match=r"links of a\.cxi lead nowhere \(entry_1/data_1/data -> .*lacks frames"
    ):
        read_scan(tmp_path / "a.cxi")
