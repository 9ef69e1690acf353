"""Doubts about overlap, repeated positions and near field: named where they are planted, silent on good scans."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import (
    ScanData,
    ScanGeometry,
    SimulationSettings,
    check_plausible,
    defocused_probe,
    random_positions,
    simulate,
    simulate_scan,
)
from ptycho.data.illumination import probe_of_mean_frame
from ptycho.data.overlap import beam_width_px, fresnel_number, median_step, repeated_positions


def _doubts(caplog, scan):
    with caplog.at_level(logging.WARNING):
        check_plausible(scan)
    return caplog.text


@pytest.fixture(scope="module")
def good():
    return simulate(SimulationSettings(object_shape_yx=(120, 140), step_px=9.0))


def test_the_width_of_a_disk_and_of_a_gaussian():
    y, x = np.mgrid[:64, :64]
    disk = np.hypot(y - 30, x - 35) <= 12
    assert beam_width_px(disk) == pytest.approx(24 * np.sqrt(0.9), abs=1)
    gaussian = np.exp(-(((y - 30) ** 2 + (x - 33) ** 2) / 10.0**2))
    assert beam_width_px(gaussian) == pytest.approx(2 * 10 * np.sqrt(np.log(10) / 2), abs=1)


def test_the_step_is_that_to_the_nearest_place():
    raster = np.stack(np.mgrid[:4, :5], axis=-1).reshape(-1, 2) * np.array([7.0, 3.0])
    assert median_step(np.concatenate([raster, raster])) == 3.0
    assert median_step(raster[:3]) is None


def test_frames_that_do_not_overlap_are_named(good, caplog):
    centre = good.positions_yx.mean(axis=0)
    apart = replace(good, positions_yx=(good.positions_yx - centre) * 6 + centre, object_guess=None)
    text = _doubts(caplog, apart)
    assert "so frames hardly overlap; check the unit of the positions, `position_unit`," in text


@pytest.mark.parametrize(("step_px", "percent"), [(23.0, "24"), (30.0, "1"), (34.0, "0")])
def test_frames_that_overlap_too_little_are_named_with_what_is_usual(good, caplog, step_px, percent):
    text = _doubts(caplog, _with_step(good, step_px))
    assert (
        f"frames overlap by {percent} % (median step {step_px:g} pixels, 90 % of the beam within 30.3)"
        in text
    )
    assert "takes 60 to 70 %" in text
    assert "steps of at most 12.1 pixels, or check `position_unit` and `object_pixel_m`" in text
    assert text.count("WARNING") == 1


@pytest.mark.parametrize("step_px", [3.0, 9.0, 12.0, 18.0, 21.0])
def test_a_third_of_overlap_is_little_but_no_doubt(good, caplog, step_px):
    assert _doubts(caplog, _with_step(good, step_px)) == ""


def test_the_sparse_scan_of_the_failing_inputs_is_doubted(caplog):
    # As `ptycho simulate --seed 7 --step 30` makes it: four frames of a raster.
    sparse = simulate(SimulationSettings(object_shape_yx=(100, 100), step_px=30.0, seed=7))
    assert "neighbouring frames overlap by " in _doubts(caplog, sparse)


def _with_step(scan, step_px):
    """The frames on a raster of rows that lie farther apart than the frames of a row."""
    rows, columns = np.divmod(np.arange(scan.n_frames), 7)
    positions = np.stack([1.3 * rows, columns], axis=1) * step_px + 40.0
    return replace(scan, positions_yx=positions, object_guess=None)


def test_an_estimated_probe_is_too_small_to_tell(good, caplog):
    guess = probe_of_mean_frame(good.amplitude, np.ones((64, 64), bool))
    assert beam_width_px(guess) < median_step(good.positions_yx)
    assert "overlap" not in _doubts(caplog, replace(good, probe=guess))


def test_repeated_positions_are_counted(good, caplog):
    positions = good.positions_yx.copy()
    positions[10:20] = positions[9]
    assert repeated_positions(positions).tolist() == list(range(10, 20))
    text = _doubts(caplog, replace(good, positions_yx=positions))
    assert (
        f"10 of {good.n_frames} positions are exactly those of an earlier frame, the first being frame 10"
        in text
    )


def test_a_near_field_is_named_by_its_fresnel_number(good, caplog):
    lengths = {"photon_energy_j": 3.1e-19, "detector_pixel_m": 5e-6}
    near = ScanGeometry(object_pixel_m=20e-6, detector_distance_m=0.02, **lengths)
    scan = replace(good, geometry=near)
    width_m = beam_width_px(good.probe) * 20e-6
    assert fresnel_number(scan) == pytest.approx(width_m**2 / (near.wavelength_m * 0.02))
    assert "so these frames are near field" in _doubts(caplog, scan)


def test_a_far_field_is_not(good, caplog):
    far = ScanGeometry.of_far_field(
        photon_energy_j=1.28e-15, detector_distance_m=2.0, detector_pixel_m=75e-6, patch_size=64
    )
    scan = replace(good, geometry=far)
    assert fresnel_number(scan) < 0.1
    assert fresnel_number(good) is None
    assert _doubts(caplog, scan) == ""


def _spiral(n, step):
    turn = np.arange(n) * np.pi * (3 - np.sqrt(5))
    return np.stack([np.sin(turn), np.cos(turn)], axis=-1) * step * np.sqrt(np.arange(n))[:, None]


def _blobs(shape, rng):
    from scipy.ndimage import gaussian_filter

    return np.exp(1j * 8 * gaussian_filter(rng.standard_normal(shape), 3)).astype(np.complex64)


@pytest.mark.parametrize("photons", [30.0, 1e4])
@pytest.mark.parametrize("kind", ["raster", "random", "spiral", "blobs", "dense"])
@pytest.mark.parametrize("side", [64, 128])
def test_good_scans_give_no_doubt(caplog, kind, side, photons):
    rng = np.random.default_rng([side, int(photons)])
    shape = (side + 60, side + 75)
    probe = defocused_probe(
        side, aperture=0.4 if kind == "dense" else 0.5, defocus=18.0 if kind == "random" else 12.0
    )
    image = _blobs(shape, rng)
    middle = np.array(shape) / 2
    positions = {
        "raster": np.stack(np.mgrid[:5, :6], axis=-1).reshape(-1, 2) * 8.0 - 20 + middle,
        "random": random_positions(shape, side, n_positions=30, rng=rng),
        "spiral": _spiral(30, 4.0) + middle,
        "blobs": random_positions(shape, side, n_positions=40, rng=rng),
        "dense": np.stack(np.mgrid[:5, :6], axis=-1).reshape(-1, 2) * 2.5 - 6 + middle,
    }[kind]
    scan: ScanData = simulate_scan(image, probe, positions, photons_per_frame=photons * side, rng=rng)
    assert _doubts(caplog, scan) == ""
    assert _doubts(caplog, replace(scan, object_guess=None)) == ""
