"""Each likely mistake is named; no genuine amplitude is refused."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import (
    SimulationSettings,
    check_plausible,
    read_reconstruction,
    read_tike,
    simulate,
    with_reconstruction,
)
from ptycho.errors import DataError


@pytest.mark.parametrize("photons", [30, 1e3, 1e5, 1e8])
@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.0371, 400.0])
def test_genuine_amplitude_passes_at_every_dose_and_scale(make_scan, photons, noise, scale):
    scan = make_scan(photons=photons, noise=noise)
    check_plausible(replace(scan, amplitude=scan.amplitude * scale))
    check_plausible(replace(scan, amplitude=scan.amplitude * scale, object_guess=None))


@pytest.mark.spec("CM-2.4")
@pytest.mark.parametrize("photons", [300, 1e3, 1e5])
@pytest.mark.parametrize("scale", [1.0, 0.0371, 400.0])
def test_counts_are_called_intensity_at_every_dose_and_scale(make_scan, photons, scale):
    scan = make_scan(photons=photons)
    counts = replace(scan, amplitude=scan.amplitude**2 * scale, object_guess=None)
    with pytest.raises(DataError, match=r"counts \(intensity\) .* store numpy.sqrt of the frames"):
        check_plausible(counts)


def test_counts_beyond_the_reach_of_multiples_are_found_as_whole_numbers(make_scan):
    scan = make_scan(photons=1e8)
    counts = replace(scan, amplitude=np.rint(scan.amplitude.astype(np.float64) ** 2), object_guess=None)
    assert counts.amplitude.max() > 1e4
    with pytest.raises(DataError, match="all whole multiples of 1, as counts"):
        check_plausible(counts)


def test_frames_of_single_photons_pass_because_the_root_changes_nothing(scan):
    single = (np.random.default_rng(1).random(scan.amplitude.shape) < 0.05) * 1.0
    check_plausible(replace(scan, amplitude=np.fft.fftshift(single, axes=(1, 2)), object_guess=None))


@pytest.mark.parametrize("scale", [1.0, 0.0371])
def test_intensity_without_noise_is_found_through_the_object(make_scan, scale):
    scan = make_scan(noise=False)
    with pytest.raises(DataError, match=r"to the power 2\.00, but amplitude follows it to the power 1"):
        check_plausible(replace(scan, amplitude=scan.amplitude**2 * scale))


def test_a_wrong_object_does_not_refuse_amplitude(make_scan):
    scan = make_scan(noise=False)
    other = np.random.default_rng(2).random((61, 83)) * np.exp(1j * np.random.default_rng(3).random((61, 83)))
    check_plausible(replace(scan, object_guess=other))


@pytest.mark.parametrize("seed", range(6))
def test_a_wrong_and_nearly_empty_object_does_not_refuse_amplitude(make_scan, seed):
    faint = 1 + 1e-5 * np.random.default_rng(seed).normal(size=(61, 83))
    check_plausible(replace(make_scan(noise=False), object_guess=faint))


@pytest.mark.parametrize("width", [0.5, 1.5, 6.0])
@pytest.mark.parametrize("noise", [False, True])
def test_a_loose_probe_guess_does_not_refuse_amplitude(make_scan, width, noise):
    y, x = np.mgrid[:16, :16] - 8
    check_plausible(replace(make_scan(noise=noise), probe=np.exp(-(y**2 + x**2) / (2 * width**2))))


@pytest.mark.spec("CM-2.4")
def test_an_unshifted_far_field_is_refused(scan):
    with pytest.raises(DataError, match=r"at the corners .* store numpy.fft.fftshift"):
        check_plausible(replace(scan, amplitude=np.fft.ifftshift(scan.amplitude, axes=(1, 2))))


def test_a_stray_position_is_named_against_the_object(scan):
    positions = scan.positions_yx.copy()
    positions[3, 1] = 1e9
    message = r"1 of 9 positions .* frame 3 at y = [\d.]+, x = 1e\+09, but 0 <= y <= 61 and 0 <= x <= 83"
    with pytest.raises(DataError, match=message):
        check_plausible(replace(scan, positions_yx=positions))


@pytest.mark.spec("CM-2.4")
def test_a_stray_position_is_named_without_an_object(scan):
    positions = scan.positions_yx.copy()
    positions[3, 0] = -1e9
    message = r"frame 3 is at y = -1e\+09, .* overlapping frames of 16 pixels reach at most 1600"
    with pytest.raises(DataError, match=message):
        check_plausible(replace(scan, positions_yx=positions, object_guess=None))


def test_a_scan_far_from_the_origin_passes_without_an_object(scan):
    check_plausible(replace(scan, positions_yx=scan.positions_yx + 1e6, object_guess=None))


def test_swapped_axes_are_suspected_when_swapping_helps(scan):
    positions = scan.positions_yx.copy()
    positions[4] = (20.0, 80.0)
    check_plausible(replace(scan, positions_yx=positions))
    with pytest.raises(DataError, match=r"x \(columns\) and y \(rows\) seem to be swapped"):
        check_plausible(replace(scan, positions_yx=positions[:, ::-1]))


def test_blank_frames_are_counted_in_a_warning(scan, caplog):
    frames = scan.amplitude.copy()
    frames[[2, 5]] = 0
    check_plausible(replace(scan, amplitude=frames))
    assert "2 of 9 frames are zero everywhere, the first being 2" in caplog.text
    assert "so leave them out (`skip='2,5'`)" in caplog.text


def test_coinciding_positions_are_warned_about(scan, caplog):
    check_plausible(replace(scan, positions_yx=scan.positions_yx * 1e-6))
    assert "if they are in metres" in caplog.text


def test_a_featureless_object_is_warned_about(scan, caplog):
    check_plausible(replace(scan, object_guess=np.full((61, 83), 0.5 + 0.1j)))
    assert "objectGuess is the same everywhere" in caplog.text


def test_a_right_scan_is_passed_in_silence(caplog):
    right = simulate(SimulationSettings(object_shape_yx=(100, 120), step_px=11.0, seed=4))
    with caplog.at_level(logging.DEBUG):
        check_plausible(right)
    assert caplog.text == ""


def test_measured_data_pass_as_amplitude_and_fail_as_counts_or_unshifted(siemens):
    scan = read_tike(siemens / "siemens-star-small.npz.bz2")
    known = with_reconstruction(scan, read_reconstruction(siemens / "siemens-star-epie.npz"))
    check_plausible(known)
    with pytest.raises(DataError, match="all whole multiples of 1, as counts"):
        check_plausible(replace(scan, amplitude=scan.amplitude**2))
    with pytest.raises(DataError, match=r"store numpy.fft.fftshift"):
        check_plausible(replace(scan, amplitude=np.fft.ifftshift(scan.amplitude, axes=(1, 2))))
