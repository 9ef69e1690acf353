"""Scans in tike's layout, made by hand and measured."""

from __future__ import annotations

import bz2

import numpy as np
import pytest

from ptycho.data import (
    ImportSettings,
    consistent_probe,
    detect_format,
    read_npz,
    read_reconstruction,
    read_scan,
    read_tike,
    with_reconstruction,
    write_npz,
)
from ptycho.errors import DataError


def _members(scan) -> dict:
    """Undo by hand what the reader must do."""
    intensity = np.fft.ifftshift(scan.amplitude.astype(np.float64) ** 2, axes=(-2, -1))
    return {
        "data": np.rint(intensity).astype(np.float32)[None],
        "scan": (scan.positions_yx - (300.5, 120.25)).astype(np.float32)[None],
        "probe": scan.probe[None, None, None, None],
    }


def _saved(path, members):
    np.savez(path, **members)
    return path


def _expected_positions(scan):
    return scan.positions_yx - scan.positions_yx.min(axis=0) + 8


@pytest.mark.parametrize("leading_axis", [True, False])
def test_intensity_corner_and_origin_are_converted(tmp_path, scan, leading_axis):
    members = _members(scan)
    if not leading_axis:
        members = {"data": members["data"][0], "scan": members["scan"][0], "probe": scan.probe}
    found = read_tike(_saved(tmp_path / "t.npz", members))
    np.testing.assert_allclose(found.amplitude, scan.amplitude, rtol=1e-6)
    np.testing.assert_allclose(found.positions_yx, _expected_positions(scan), atol=1e-4)
    np.testing.assert_array_equal(found.probe, scan.probe)


def test_bzip2_is_unpacked(tmp_path, scan):
    plain = _saved(tmp_path / "t.npz", _members(scan))
    packed = tmp_path / "t.npz.bz2"
    packed.write_bytes(bz2.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_tike(packed).amplitude, read_tike(plain).amplitude)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_truncated_bzip2_is_called_truncated(tmp_path, scan, kept):
    packed = bz2.compress(_saved(tmp_path / "t.npz", _members(scan)).read_bytes())
    (tmp_path / "t.npz.bz2").write_bytes(packed[: int(kept * len(packed))])
    with pytest.raises(DataError, match="is truncated: its bzip2 stream ends early"):
        read_tike(tmp_path / "t.npz.bz2")


def test_damaged_bzip2_is_called_damaged(tmp_path, scan):
    packed = bytearray(bz2.compress(_saved(tmp_path / "t.npz", _members(scan)).read_bytes()))
    packed[len(packed) // 2] ^= 0xFF
    (tmp_path / "t.npz.bz2").write_bytes(packed)
    with pytest.raises(DataError, match="is damaged"):
        read_tike(tmp_path / "t.npz.bz2")


def _one_frame_of(value: float) -> np.ndarray:
    """Nine frames, of which one holds `value`: the same in every frame would be a gap of the detector."""
    data = np.ones((1, 9, 16, 16))
    data[0, 4] = value
    return data


def test_a_gap_between_modules_is_masked(tmp_path, scan, caplog):
    members = _members(scan)
    members["data"][0, :, 3] = np.nan
    found = read_tike(_saved(tmp_path / "t.npz", members))
    assert "16 pixels (rows 11 to 11, columns 0 to 15) hold no measurement" in caplog.text
    assert not found.mask[11].any()
    assert found.n_masked == 16


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scan", np.zeros((1, 8, 2)), r"scan in .* has shape \(8, 2\) but must be finite and \(9, 2\)"),
        ("scan", np.full((1, 9, 2), np.inf), r"must be finite and \(9, 2\)"),
        ("data", np.ones((2, 9, 16, 16)), r"data in .* \(2, 9, 16, 16\) .* one scan per file"),
        ("data", _one_frame_of(-1.0), "data has values down to -1 but counts are never negative"),
        ("data", _one_frame_of(np.nan), "data has values down to nan"),
        ("probe", np.ones((16, 12)), r"probe in .* \(16, 12\) but must be numbers"),
    ],
)
def test_wrong_members_are_refused(tmp_path, scan, key, value, message):
    with pytest.raises(DataError, match=message):
        read_tike(_saved(tmp_path / "t.npz", {**_members(scan), key: value}))


def test_data_that_were_already_shifted_are_refused(tmp_path, scan):
    members = _members(scan)
    members["data"] = np.fft.fftshift(members["data"], axes=(-2, -1))
    with pytest.raises(DataError, match=r"t.npz: .* at the corners"):
        read_tike(_saved(tmp_path / "t.npz", members))


def test_formats_are_told_apart_by_their_keys(tmp_path, scan):
    write_npz(tmp_path / "own.npz", scan)
    assert detect_format(tmp_path / "own.npz") == "npz"
    assert detect_format(_saved(tmp_path / "t.npz", _members(scan))) == "tike"
    with pytest.raises(
        DataError, match="is an NPZ archive that holds a, which is no scan that is known here"
    ):
        detect_format(_saved(tmp_path / "other.npz", {"a": np.ones(3)}))


def test_read_as_any_scan_it_is_what_its_conversion_gives_bit_for_bit(tmp_path, scan):
    path = _saved(tmp_path / "t.npz", {**_members(scan), "probe": scan.probe * 1e-3})
    write_npz(tmp_path / "own.npz", consistent_probe(read_tike(path)))
    direct, converted = read_scan(path), read_npz(tmp_path / "own.npz")
    for name in ("amplitude", "positions_yx", "probe"):
        np.testing.assert_array_equal(getattr(direct, name), getattr(converted, name))


def test_a_whole_scan_takes_no_partner_but_a_pixel_size(tmp_path, scan):
    path = _saved(tmp_path / "t.npz", _members(scan))
    with pytest.raises(DataError, match="so it takes no `partners`; leave them out"):
        read_scan(path, partners=[path])
    assert read_scan(path, importing=ImportSettings(object_pixel_m=3e-9)).geometry.object_pixel_m == 3e-9


def test_the_measured_siemens_star_agrees_with_its_reconstruction(siemens):
    scan = read_tike(siemens / "siemens-star-small.npz.bz2")
    found = read_reconstruction(siemens / "siemens-star-epie.npz")
    np.testing.assert_allclose(scan.positions_yx, found.positions_yx, atol=1e-4)
    merged = with_reconstruction(scan, found).select(range(0, 516, 40))
    # The documented error of the reconstruction is 0.0155; whole-pixel patches cost a little.
    error = energy = 0.0
    for frame, (y, x) in zip(merged.amplitude, np.floor(merged.positions_yx).astype(int), strict=True):
        patch = found.object[y - 64 : y + 64, x - 64 : x + 64]
        predicted = np.abs(np.fft.fftshift(np.fft.fft2(found.probe * patch))) / 128
        error += np.sum((predicted - frame) ** 2)
        energy += np.sum(frame**2)
    assert error / energy < 0.03
