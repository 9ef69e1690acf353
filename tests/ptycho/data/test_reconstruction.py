"""Finished reconstructions: what is read, what is refused, and how one joins its scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import (
    Reconstruction,
    read_reconstruction,
    with_reconstruction,
    write_reconstruction,
)
from ptycho.errors import DataError


def _members(scan) -> dict:
    return {
        "reconstructed_object": scan.object_guess * np.complex64(2j),
        "reconstructed_probe": scan.probe * np.complex64(-0.5j),
        "algorithm": np.array("ePIE"),
        "computation_time_seconds": np.float64(26.5),
        "positions_yx": scan.positions_yx + np.array([3.0, -2.0]),
    }


def _saved(path, members):
    np.savez(path, **members)
    return path


@pytest.mark.spec("CM-2.10")
def test_everything_is_read(tmp_path, scan):
    members = _members(scan)
    found = read_reconstruction(_saved(tmp_path / "r.npz", members))
    assert (found.label, found.seconds) == ("ePIE", 26.5)
    np.testing.assert_array_equal(found.object, members["reconstructed_object"])
    np.testing.assert_array_equal(found.probe, members["reconstructed_probe"])
    np.testing.assert_array_equal(found.positions_yx, members["positions_yx"])
    assert found.positions_yx.dtype == np.float64


def test_time_and_positions_are_optional(tmp_path, scan):
    members = _members(scan)
    del members["positions_yx"], members["computation_time_seconds"]
    found = read_reconstruction(_saved(tmp_path / "r.npz", members))
    assert (found.seconds, found.positions_yx) == (None, None)


def test_leading_axes_of_one_and_further_probe_modes_are_dropped(tmp_path, scan, caplog):
    members = _members(scan)
    probe = members["reconstructed_probe"]
    members["reconstructed_object"] = members["reconstructed_object"][None]
    members["reconstructed_probe"] = np.stack([probe, probe * 3])[None, None]
    found = read_reconstruction(_saved(tmp_path / "r.npz", members))
    np.testing.assert_array_equal(found.probe, probe * 3)
    assert found.object.shape == (61, 83)
    assert (
        "r.npz has 2 modes; the strongest, number 1 with 90 % of the energy, is used, and not the first (number 0) "
        "with 10 %"
    ) in caplog.text


@pytest.mark.spec("CM-2.10")
@pytest.mark.parametrize("missing", ["reconstructed_object", "reconstructed_probe", "algorithm"])
def test_a_missing_key_is_named(tmp_path, scan, missing):
    members = _members(scan)
    del members[missing]
    with pytest.raises(DataError, match=f"has no {missing}; it holds .*positions_yx and needs "):
        read_reconstruction(_saved(tmp_path / "r.npz", members))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("reconstructed_object", np.ones((5, 6)), "float64 .* must be one complex image"),
        ("reconstructed_object", np.ones((2, 5, 6), complex), r"\(2, 5, 6\) but must be one complex image"),
        ("reconstructed_object", np.full((5, 6), np.nan + 0j), "holds NaN"),
        ("reconstructed_probe", np.ones((16, 12), complex), r"\(16, 12\) but must be numbers"),
        ("algorithm", np.array(3.0), "must be one text"),
        ("algorithm", np.array("  "), "is empty"),
        ("algorithm", np.array("x", dtype=object), "pickled Python object, which is never loaded"),
        ("computation_time_seconds", np.ones(2), "must be one number"),
        ("positions_yx", np.ones((9, 3)), r"\(9, 3\) but must be finite numbers \(n, 2\)"),
        ("positions_yx", np.full((9, 2), np.nan), r"must be finite numbers \(n, 2\)"),
        ("coverage", np.ones((83, 61)), r"\(83, 61\) but must be numbers of at least 0"),
        ("coverage", np.full((61, 83), -1), "must be numbers of at least 0"),
    ],
)
def test_wrong_members_are_refused(tmp_path, scan, key, value, message):
    with pytest.raises(DataError, match=message):
        read_reconstruction(_saved(tmp_path / "r.npz", {**_members(scan), key: value}))


def test_what_is_written_is_read_back(tmp_path, scan):
    made = Reconstruction(
        label="PtychoPINN",
        object=scan.object_guess,
        probe=scan.probe,
        seconds=1.25,
        positions_yx=scan.positions_yx,
        coverage=np.arange(61 * 83).reshape(61, 83),
    )
    write_reconstruction(tmp_path / "r.npz", made)
    found = read_reconstruction(tmp_path / "r.npz")
    assert (found.label, found.seconds, found.coverage.dtype) == ("PtychoPINN", 1.25, np.float32)
    for name in ("object", "probe", "positions_yx", "coverage"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))


def test_what_is_not_known_is_not_written(tmp_path, scan):
    write_reconstruction(
        tmp_path / "r.npz", Reconstruction(label="x", object=scan.object_guess, probe=scan.probe)
    )
    found = read_reconstruction(tmp_path / "r.npz")
    assert (found.seconds, found.positions_yx, found.coverage) == (None, None, None)


def test_object_probe_and_positions_are_taken_together(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    merged = with_reconstruction(scan, found)
    np.testing.assert_array_equal(merged.object_guess, found.object)
    np.testing.assert_array_equal(merged.probe, found.probe)
    np.testing.assert_array_equal(merged.positions_yx, scan.positions_yx + np.array([3.0, -2.0]))
    assert np.shares_memory(merged.amplitude, scan.amplitude)


def test_refined_positions_are_accepted(tmp_path, scan):
    members = _members(scan)
    members["positions_yx"] = members["positions_yx"] + np.random.default_rng(0).uniform(-1, 1, (9, 2))
    found = read_reconstruction(_saved(tmp_path / "r.npz", members))
    np.testing.assert_array_equal(with_reconstruction(scan, found).positions_yx, members["positions_yx"])


def test_the_origin_is_where_the_first_pixel_lies_in_the_scan_s_object(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    # Its positions are larger by (3, -2), so its pixel (0, 0) lies at (-3, 2).
    assert found.origin_in(scan) == (-3.0, 2.0)


def test_the_origin_is_unknown_without_positions_of_these_frames(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    assert replace(found, positions_yx=None).origin_in(scan) is None
    assert found.origin_in(scan.select(range(4))) is None


def test_the_origin_is_refused_for_another_scan(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    with pytest.raises(DataError, match="at most 4 can be refinement"):
        found.origin_in(scan.select(np.arange(9)[::-1]))


def test_without_positions_nothing_is_merged(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    with pytest.raises(DataError, match="the ePIE reconstruction has no positions_yx"):
        with_reconstruction(scan, replace(found, positions_yx=None))


def test_another_number_of_positions_is_refused(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    with pytest.raises(DataError, match="has 7 positions but the scan has 9 frames"):
        with_reconstruction(scan, replace(found, positions_yx=found.positions_yx[:7]))


def test_positions_of_another_order_are_refused(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    with pytest.raises(
        DataError, match=r"position \d of the reconstruction is .* at most 4 can be refinement"
    ):
        with_reconstruction(scan, replace(found, positions_yx=found.positions_yx[::-1]))


def test_positions_with_swapped_axes_are_refused(tmp_path, scan):
    members = _members(scan)
    members["positions_yx"] = members["positions_yx"][:, ::-1]
    with pytest.raises(DataError, match=r"r\.npz: .* x \(columns\) and y \(rows\) seem to be swapped"):
        read_reconstruction(_saved(tmp_path / "r.npz", members))


def _cut_to_the_scan(scan) -> dict:
    """Members whose object ends where the patches end, as reconstructions do."""
    members = _members(scan)
    low = scan.positions_yx.min(axis=0).astype(int) - 8
    high = np.ceil(scan.positions_yx.max(axis=0)).astype(int) + 8
    members["reconstructed_object"] = scan.object_guess[low[0] : high[0], low[1] : high[1]]
    members["positions_yx"] = scan.positions_yx - low
    return members


@pytest.mark.parametrize("origin", ["corner", "centre"])
def test_positions_from_another_origin_are_named_with_the_shift_to_add(tmp_path, scan, origin):
    members = _cut_to_the_scan(scan)
    right = members["positions_yx"]
    height, width = members["reconstructed_object"].shape
    shift = (8.0, 8.0) if origin == "corner" else ((height - 1) / 2, (width - 1) / 2)
    members["positions_yx"] = right - shift
    words = {"corner": "the corners of the patches", "centre": "counted from the centre"}[origin]
    with pytest.raises(
        DataError, match=rf"r\.npz: .* {words}.*; add {shift[0]:g} to y \(rows\) and {shift[1]:g} to x"
    ):
        read_reconstruction(_saved(tmp_path / "r.npz", members))
    members["positions_yx"] = right - shift + shift
    read_reconstruction(_saved(tmp_path / "r.npz", members))


def test_an_image_of_small_crops_is_not_suspected(scan):
    """Patches leave it on every side, by up to half of them less half a crop."""
    low, high = (extreme(scan.positions_yx, axis=0) for extreme in (np.min, np.max))
    inner = np.ones(np.ceil(high - low + 4).astype(int), np.complex64)
    centres = scan.positions_yx - low + 2
    made = Reconstruction(label="x", object=inner, probe=scan.probe, positions_yx=centres)
    assert made.origin_in(scan) == pytest.approx(tuple(low - 2))


def test_a_real_object_is_warned_of_as_a_phase_image(tmp_path, scan, caplog):
    members = _members(scan)
    members["reconstructed_object"] = np.abs(scan.object_guess).astype(np.complex64)
    read_reconstruction(_saved(tmp_path / "r.npz", members))
    assert "is real (" in caplog.text
    assert "store numpy.exp(1j * phase) in its place" in caplog.text


def test_a_probe_of_another_size_is_refused(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    with pytest.raises(DataError, match=r"probe has shape \(8, 8\) but \(16, 16\)"):
        with_reconstruction(scan, replace(found, probe=found.probe[:8, :8]))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_positions_that_are_no_numbers_are_refused(value):
    positions = np.random.default_rng(2).uniform(8, 40, (6, 2))
    positions[4, 1] = value
    with pytest.raises(
        DataError, match=r"1 of 6 positions of the ePIE reconstruction are not finite .* first being 4"
    ):
        Reconstruction(
            label="ePIE",
            object=np.ones((48, 49), complex),
            probe=np.ones((16, 16), complex),
            positions_yx=positions,
        )
