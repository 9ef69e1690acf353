"""How positions and frames are turned is told from the frames, and where it cannot be told nothing is said."""

from __future__ import annotations

import bz2
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from oracle_model import OracleModel

from ptycho.data import ImportSettings, SimulationSettings, read_scan, simulate, simulate_scan
from ptycho.data.illumination import probe_of_mean_frame
from ptycho.orientation import OrientationSettings, Turn, check_orientation
from ptycho.reconstruction import InferenceSettings

QUICK = OrientationSettings(n_frames=80, sweeps=2)
STAR = Path(__file__).parents[4] / "shared" / "data" / "siemens-star-small.npz.bz2"


@pytest.fixture(scope="module")
def scan():
    made = simulate(SimulationSettings(patch_size=32, object_shape_yx=(80, 90), step_px=5.0))
    return replace(made, object_guess=None)


def _with_positions_turned(scan, number):
    return replace(scan, positions_yx=Turn(number).inverse.of_positions(scan.positions_yx))


def _with_frames_turned(scan, number):
    frames = np.stack([Turn(number).inverse.of_image(frame) for frame in scan.amplitude])
    return replace(scan, amplitude=frames)


@pytest.mark.parametrize("number", range(1, 8))
def test_each_turn_of_the_positions_is_named_with_the_flags_that_undo_it(scan, number):
    found = check_orientation(_with_positions_turned(scan, number), settings=QUICK)
    assert found.verdict == "turned"
    assert [trial.positions for trial in found.fitting] == [Turn(number)]
    mended = Turn(number).put_on(ImportSettings())
    assert 4 * mended.swap_xy + 2 * mended.flip_y + mended.flip_x == number
    assert f"pass {Turn(number).positions_settings(ImportSettings())} (or, if" in found.in_words()


def test_a_scan_that_is_right_is_called_so(scan):
    found = check_orientation(scan)
    assert found.verdict == "right"
    assert found.sigmas > 10
    assert "the positions fit as they are" in found.in_words()


@pytest.mark.parametrize("number", [1, 2, 5, 6])
def test_turned_frames_are_mended_by_the_inverse_turn_of_the_positions(scan, number):
    found = check_orientation(_with_frames_turned(scan, number), settings=QUICK)
    assert [trial.positions for trial in found.fitting] == [Turn(number).inverse]
    assert f"`frame_orientation={number}`: the same image" in found.in_words()


def test_frames_and_positions_that_are_turned_alike_are_right(scan):
    assert (
        check_orientation(_with_frames_turned(_with_positions_turned(scan, 5), 5), settings=QUICK).verdict
        == "right"
    )


def test_a_probe_that_is_no_disk_tells_turned_frames_from_turned_positions():
    made = simulate(SimulationSettings(patch_size=32, object_shape_yx=(80, 90), step_px=5.0))
    far = np.fft.fft2(np.fft.ifftshift(made.probe))
    y, x = np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32), indexing="ij")
    lopsided = np.fft.fftshift(np.fft.ifft2(np.where((y > 0.08) | (x < -0.14), 0, far)))
    assert made.object_guess is not None
    scan = simulate_scan(
        made.object_guess,
        lopsided,
        made.positions_yx,
        photons_per_frame=1e6,
        rng=np.random.default_rng(4),
    )
    wrong = _with_frames_turned(replace(scan, object_guess=None), 1)
    found = check_orientation(wrong, settings=replace(QUICK, frames_too=True))
    assert len(found.trials) == 64
    best = found.trials[0]
    assert (best.positions, best.frames) == (Turn(0), Turn(1))
    assert found.verdict == "turned"
    assert "pass `frame_orientation=1`;" in found.in_words()


def test_a_round_probe_needs_no_trials_of_the_frames(scan):
    assert len(check_orientation(scan, settings=replace(QUICK, frames_too=True)).trials) == 8


def test_nothing_is_tried_with_a_probe_of_the_mean_frame(scan):
    guess = probe_of_mean_frame(scan.amplitude, np.ones((32, 32), bool))
    found = check_orientation(_with_positions_turned(replace(scan, probe=guess), 4))
    assert (found.verdict, found.trials) == ("unknown", ())
    assert "cannot be told: the far field of the probe is flat" in found.in_words()


def test_nothing_is_tried_with_few_frames_or_without_overlap(scan):
    few = check_orientation(scan.select(np.arange(29)))
    assert "there are 29 frames with light, and 30 are needed" in few.in_words()
    apart = check_orientation(replace(scan, positions_yx=6 * scan.positions_yx))
    assert "leave the frames too little in common" in apart.in_words()
    assert not few.trials
    assert not apart.trials


def test_an_object_without_structure_is_no_reason_for_a_doubt(scan):
    rng = np.random.default_rng(2)
    empty = np.abs(np.fft.fftshift(np.fft.fft2(scan.probe))) ** 2 / 32**2
    counts = rng.poisson(np.broadcast_to(empty, scan.amplitude.shape))
    found = check_orientation(replace(scan, amplitude=np.sqrt(counts)), settings=QUICK)
    assert found.verdict == "unknown"
    assert "all 8 ways to turn them fit alike" in found.in_words()


def test_a_scan_along_one_line_cannot_tell_what_leaves_the_line_as_it_is():
    made = simulate(
        SimulationSettings(patch_size=32, object_shape_yx=(34, 420), step_px=5.0, jitter_px=0.0, n_lines=90)
    )
    straight = replace(made, object_guess=None)
    found = check_orientation(_with_positions_turned(straight, 1))
    assert {trial.positions.number for trial in found.fitting} == {1, 3}


def test_masked_pixels_and_frames_cut_from_larger_ones_tell_as_well(scan):
    mask = np.ones((32, 32), bool)
    mask[3:6, 16] = mask[20, 9] = False
    assert check_orientation(_with_positions_turned(scan.with_mask(mask), 4), settings=QUICK).fitting[
        0
    ].positions == Turn(4)
    large = simulate(
        SimulationSettings(patch_size=160, object_shape_yx=(240, 250), step_px=15.0, n_lines=90, aperture=0.4)
    )
    wrong = _with_positions_turned(replace(large, object_guess=None), 6)
    found = check_orientation(wrong, settings=OrientationSettings(n_frames=40, sweeps=2))
    assert found.fitting[0].positions == Turn(6)
    assert found.verdict == "turned"


@pytest.mark.skipif(not STAR.is_file(), reason="needs the Siemens star")
def test_the_siemens_star_is_told(tmp_path):
    path = tmp_path / "star.npz"
    path.write_bytes(bz2.decompress(STAR.read_bytes()))
    found = check_orientation(_with_positions_turned(read_scan(path), 5))
    assert found.verdict == "turned"
    assert [trial.positions for trial in found.fitting] == [Turn(5)]


@pytest.mark.parametrize("number", [0, 3, 5])
def test_a_model_tells_the_positions_without_a_probe(number):
    made = simulate(SimulationSettings(patch_size=32, object_shape_yx=(80, 90), step_px=5.0))
    guess = probe_of_mean_frame(made.amplitude, np.ones((32, 32), bool))
    model = OracleModel(made)
    wrong = _with_positions_turned(replace(made, object_guess=None, probe=guess), number)
    found = check_orientation(wrong, model=model, inference=InferenceSettings(predict_batch_size=64))
    assert sum(model.batch_sizes) == 120 + 8
    assert [trial.positions for trial in found.fitting] == [Turn(number)]
    assert found.verdict == ("turned" if number else "right")
    assert "left-out patches of the model are met with a squared error of" in found.in_words()


def test_patches_that_hardly_overlap_tell_nothing(scan):
    made = simulate(SimulationSettings(patch_size=32, object_shape_yx=(120, 130), step_px=11.0))
    found = check_orientation(made, model=OracleModel(made))
    assert "steps of 10" in found.in_words()
    assert "which meet within 16 pixels" in found.in_words()


def test_a_hot_pixel_hides_no_turn(scan):
    amplitude = scan.amplitude.copy()
    amplitude[:, 5, 26] = 40 * amplitude.max()
    found = check_orientation(_with_positions_turned(replace(scan, amplitude=amplitude), 6), settings=QUICK)
    assert [trial.positions for trial in found.fitting] == [Turn(6)]
