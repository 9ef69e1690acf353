"""The contract of `ScanData`: what it converts, what it refuses, and how it says so."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from ptycho.data import ScanData, ScanGeometry, subsample
from ptycho.errors import DataError


def _mask() -> np.ndarray:
    """Two pixels of 16x16 that do not count, off every symmetry; both are lit in the scan."""
    mask = np.ones((16, 16), bool)
    mask[8, 7] = mask[6, 9] = False
    return mask


def test_converts_to_the_dtypes_of_the_contract(scan):
    scan = scan.with_mask(_mask()).select(np.arange(8))
    dtypes = {name: getattr(scan, name).dtype.name for name in vars(scan) if name != "geometry"}
    assert dtypes == {
        "amplitude": "float32",
        "positions_yx": "float64",
        "probe": "complex64",
        "object_guess": "complex64",
        "labels": "complex64",
        "scan_index": "int64",
        "frame_numbers": "int64",
        "mask": "bool",
    }


def test_frames_of_the_right_dtype_are_not_copied():
    frames = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    scan = ScanData(amplitude=frames, positions_yx=np.zeros((3, 2)), probe=np.ones((8, 8)))
    assert np.shares_memory(scan.amplitude, frames)


def test_cannot_be_reassigned(scan):
    with pytest.raises(FrozenInstanceError):
        scan.amplitude = scan.amplitude


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amplitude": np.ones((9, 16, 15))}, r"\(9, 16, 15\) but must be \(n, N, N\)"),
        ({"amplitude": np.ones((16, 16))}, r"\(16, 16\) but must be \(n, N, N\)"),
        ({"amplitude": np.ones((0, 16, 16))}, r"\(0, 16, 16\) but must be \(n, N, N\)"),
        ({"amplitude": np.ones((9, 16, 16), complex)}, "amplitude is complex128 but must be real"),
        ({"positions_yx": np.ones((8, 2))}, r"positions_yx has shape \(8, 2\) but \(9, 2\)"),
        ({"positions_yx": np.array([["a", "b"]] * 9)}, "positions_yx has dtype <U1 but must be numeric"),
        ({"probe": np.ones((3, 16, 16))}, r"probe has shape \(3, 16, 16\) .* pass one probe mode"),
        ({"probe": np.ones((8, 8))}, r"probe has shape \(8, 8\) but \(16, 16\)"),
        ({"probe": np.zeros((16, 16))}, "the probe is zero everywhere"),
        ({"labels": np.ones((9, 8, 8))}, r"labels has shape \(9, 8, 8\)"),
        ({"scan_index": np.ones(8)}, r"scan_index has shape \(8,\)"),
        ({"object_guess": np.ones((2, 61, 83))}, r"object_guess has shape \(2, 61, 83\) but must be a 2-D"),
        ({"amplitude": np.zeros((9, 16, 16))}, "every amplitude frame is zero"),
        ({"mask": np.ones((16, 15))}, r"mask has shape \(16, 15\) but \(16, 16\)"),
        ({"mask": np.zeros((16, 16), bool)}, "mask is False everywhere .* invert it"),
        (
            {"mask": _mask()},
            r"2 of the 2 pixels that mask leaves out .* set them to zero with ScanData.with_mask",
        ),
        ({"geometry": 64e-9}, r"geometry is a float but .*ScanGeometry\(object_pixel_m=…\)"),
    ],
)
def test_refuses_and_names_the_value(scan, change, message):
    with pytest.raises(DataError, match=message):
        replace(scan, **change)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_its_frame(scan, value):
    frames = scan.amplitude.copy()
    frames[5, 3, 2] = value
    with pytest.raises(DataError, match=r"amplitude is not finite .* in 1 of 9 frames, the first being 5"):
        replace(scan, amplitude=frames)


@pytest.mark.parametrize("name", ["positions_yx", "probe", "object_guess", "labels"])
def test_nan_is_refused_in_every_array(scan, name):
    broken = getattr(scan, name).copy()
    broken[4, 1] = np.nan
    with pytest.raises(DataError, match=rf"{name} is not finite .* the first being 4"):
        replace(scan, **{name: broken})


def test_a_negative_value_is_named_by_its_frame(scan):
    frames = scan.amplitude.copy()
    frames[2, 0, 1] = -0.5
    with pytest.raises(DataError, match=r"negative values \(smallest -0.5, frame 2\)"):
        replace(scan, amplitude=frames)


def test_select_keeps_frames_and_positions_together(scan):
    chosen = scan.select([7, 2])
    np.testing.assert_array_equal(chosen.amplitude, scan.amplitude[[7, 2]])
    np.testing.assert_array_equal(chosen.positions_yx, scan.positions_yx[[7, 2]])
    np.testing.assert_array_equal(chosen.labels, scan.labels[[7, 2]])
    np.testing.assert_array_equal(chosen.scan_index, [1, 0])
    assert chosen.object_guess is scan.object_guess


def test_chosen_frames_keep_the_numbers_that_they_had(scan):
    chosen = scan.select([7, 2, 5])
    np.testing.assert_array_equal(chosen.frame_numbers, [7, 2, 5])
    np.testing.assert_array_equal(chosen.select([False, True, True]).frame_numbers, [2, 5])


def test_frame_energies_are_sums_of_squares(scan):
    expected = (scan.amplitude.astype(np.float64) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(scan.frame_energies, expected, rtol=1e-12)
    assert scan.mean_frame_energy == pytest.approx(expected.mean(), rel=1e-12)


def test_normalised_scales_frames_and_probe_by_one_factor(scan):
    scaled = scan.normalised()
    assert scaled.mean_frame_energy == pytest.approx((16 / 2) ** 2, rel=1e-5)
    factor = scan.normalisation
    np.testing.assert_allclose(scaled.amplitude, scan.amplitude * factor, rtol=1e-6)
    np.testing.assert_allclose(scaled.probe, scan.probe * factor, rtol=1e-5)
    np.testing.assert_array_equal(scaled.positions_yx, scan.positions_yx)


@pytest.mark.parametrize(
    "name", ["amplitude", "positions_yx", "probe", "object_guess", "labels", "scan_index"]
)
def test_no_array_of_a_scan_can_be_changed(scan, name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(scan, name)[0] = 0


def test_positions_are_the_scans_own_and_frames_are_shared(scan):
    positions, frames = np.array(scan.positions_yx), np.array(scan.amplitude)
    made = ScanData(amplitude=frames, positions_yx=positions, probe=scan.probe)
    positions[0, 0] = np.nan
    assert np.isfinite(made.positions_yx).all()
    assert np.shares_memory(made.amplitude, frames)
    assert frames.flags.writeable


def test_masked_pixels_are_zero_and_the_input_stays(scan):
    before = scan.amplitude.copy()
    masked = scan.with_mask(_mask())
    assert masked.n_masked == 2
    assert scan.n_masked == 0
    assert not masked.amplitude[:, 8, 7].any()
    np.testing.assert_array_equal(masked.amplitude[:, _mask()], before[:, _mask()])
    np.testing.assert_array_equal(scan.amplitude, before)


@pytest.mark.parametrize(
    "change", [lambda s: s.select([7, 2]), ScanData.normalised, lambda s: subsample(s, 4, seed=1)]
)
def test_mask_and_geometry_are_carried_along(scan, change):
    geometry = ScanGeometry(object_pixel_m=64e-9)
    changed = change(replace(scan.with_mask(_mask()), geometry=geometry))
    np.testing.assert_array_equal(changed.mask, _mask())
    assert changed.geometry is geometry
