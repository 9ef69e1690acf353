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
    np.testing.assert_array_equal(found.probe, probe)
    assert found.object.shape == (61, 83)
    assert "has 2 modes; only the first is used" in caplog.text


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


@pytest.mark.parametrize("change", [np.flip, np.flipud, np.fliplr])
def test_positions_of_another_order_or_swapped_axes_are_refused(tmp_path, scan, change):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    with pytest.raises(
        DataError, match=r"position \d of the reconstruction is .* at most 4 can be refinement"
    ):
        with_reconstruction(scan, replace(found, positions_yx=change(found.positions_yx)))


def test_a_probe_of_another_size_is_refused(tmp_path, scan):
    found = read_reconstruction(_saved(tmp_path / "r.npz", _members(scan)))
    with pytest.raises(DataError, match=r"probe has shape \(8, 8\) but \(16, 16\)"):
        with_reconstruction(scan, replace(found, probe=found.probe[:8, :8]))
