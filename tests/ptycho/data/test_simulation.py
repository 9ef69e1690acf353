"""Simulated scans against direct formulas, frame by frame."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from ptycho.data import (
    defocused_probe,
    extract_patches,
    random_lines,
    random_positions,
    raster_positions,
    simulate_scan,
)
from ptycho.errors import DataError


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def lopsided_object(rng):
    return random_lines((90, 130), n_lines=40, rng=rng)


def test_patches_at_whole_positions_are_the_object_itself(lopsided_object):
    patches = extract_patches(lopsided_object, np.array([[20.0, 31.0], [74.0, 114.0]]), 32)
    np.testing.assert_allclose(patches[0], lopsided_object[4:36, 15:47], atol=2e-6)
    np.testing.assert_allclose(patches[1], lopsided_object[58:90, 98:130], atol=2e-6)


def test_sub_pixel_patches_equal_scipys_spline_at_every_pixel(lopsided_object):
    y, x = 33.3, 61.85
    rows = np.arange(32) - 16 + y
    columns = np.arange(32) - 16 + x
    grid = np.meshgrid(rows, columns, indexing="ij")
    expected = scipy.ndimage.map_coordinates(lopsided_object.astype(complex), grid, order=3, mode="mirror")
    patch = extract_patches(lopsided_object, np.array([[y, x]]), 32)[0]
    np.testing.assert_allclose(patch, expected, atol=2e-6)


def test_amplitudes_equal_the_direct_formula_frame_by_frame(lopsided_object, rng):
    probe = defocused_probe(32)
    positions = random_positions(lopsided_object.shape, 32, n_positions=5, rng=rng)
    scan = simulate_scan(lopsided_object, probe, positions, photons_per_frame=1e9, rng=rng)
    for frame, patch in zip(scan.amplitude, extract_patches(lopsided_object, positions, 32), strict=True):
        expected = np.abs(scipy.fft.fftshift(scipy.fft.fft2(patch * scan.probe))) / 32
        np.testing.assert_allclose(frame, expected, atol=3 * np.sqrt(0.25) + 1, rtol=0)


def test_mean_photons_per_frame_are_as_asked_and_counts_are_poisson(lopsided_object, rng):
    positions = np.full((400, 2), (41.5, 60.25))
    scan = simulate_scan(lopsided_object, defocused_probe(32), positions, photons_per_frame=5e4, rng=rng)
    counts = scan.amplitude.astype(np.float64) ** 2
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-2)
    assert scan.mean_frame_energy == pytest.approx(5e4, rel=2e-3)
    bright = counts.mean(axis=0) > 20
    assert counts.var(axis=0)[bright].mean() / counts.mean(axis=0)[bright].mean() == pytest.approx(
        1, abs=0.03
    )


def test_the_same_seed_gives_the_same_scan(lopsided_object):
    scans = []
    for _ in range(2):
        rng = np.random.default_rng(11)
        positions = random_positions(lopsided_object.shape, 32, n_positions=3, rng=rng)
        scans.append(
            simulate_scan(lopsided_object, defocused_probe(32), positions, photons_per_frame=1e4, rng=rng)
        )
    np.testing.assert_array_equal(scans[0].amplitude, scans[1].amplitude)


def test_raster_covers_the_object_and_stays_inside(rng):
    positions = raster_positions((100, 160), 32, step_px=8.0, jitter_px=2.0, rng=rng)
    assert positions.min(axis=0) == pytest.approx([16, 16], abs=4)
    assert (positions >= 16).all()
    assert (positions <= [84, 144]).all()
    assert len(positions) == 9 * 16


def test_a_patch_outside_the_object_is_named(lopsided_object):
    with pytest.raises(DataError, match=r"1 of 2 patches .* number 1 centred at \(y, x\) = \(15\.9, 50\)"):
        extract_patches(lopsided_object, np.array([[16.0, 50.0], [15.9, 50.0]]), 32)


def test_single_material_ties_phase_to_amplitude(lopsided_object):
    thickness = -np.log(np.abs(lopsided_object)) / 0.9
    assert thickness.min() >= -1e-6
    assert thickness.max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(np.angle(lopsided_object), 1.8 * thickness, atol=1e-5)


def test_defocus_spreads_the_probe():
    def rms_radius(probe):
        grid = np.arange(64) - 32
        weights = np.abs(probe) ** 2
        return np.sqrt((weights * np.add.outer(grid**2, grid**2)).sum() / weights.sum())

    assert rms_radius(defocused_probe(64, defocus=12.0)) > 2 * rms_radius(defocused_probe(64, defocus=0.0))
