"""Sweeps over the frames: against a naive twin, bit by bit, and where the answer is known."""

from dataclasses import replace

import naive_pie
import numpy as np
import pytest

from autobatch.testing import inject_oom
from ptycho.data import ScanData, SimulationSettings, defocused_probe, simulate
from ptycho.diffraction import SplineObject, expected_amplitude, spread_under_frames
from ptycho.errors import DataError, SettingsError
from ptycho.image import PlacedImage, Rectangle
from ptycho.refinement import RefinementSettings, refine

SIDE = 32


def noiseless(scan, truth, *, mask=None):
    """`scan` with the frames that `truth` gives without noise."""
    amplitude = expected_amplitude(SplineObject.of(truth), scan.probe, scan.positions_yx)
    clean = ScanData(
        amplitude=amplitude, positions_yx=scan.positions_yx, probe=scan.probe, object_guess=truth
    )
    return clean if mask is None else clean.with_mask(mask)


@pytest.fixture(scope="module")
def scan():
    """54 frames of 32x32 pixels on a lopsided object, sub-pixel, with noise."""
    settings = SimulationSettings(
        patch_size=SIDE, object_shape_yx=(72, 86), n_lines=25, step_px=6.5, seed=4, defocus=5.0
    )
    return simulate(settings)


@pytest.fixture(scope="module")
def guess(scan):
    """A part of the object, blurred, wrong and elsewhere than at the origin."""
    truth = scan.object_guess[18:54, 20:68]
    values = (0.7 * truth + 0.2 * truth.mean() + 0.02j).astype(np.complex64)
    covered = np.ones(values.shape, bool)
    covered[5, 7] = covered[-1, :9] = False
    return PlacedImage(np.where(covered, values, 0), covered, (18.0, 20.0))


@pytest.mark.parametrize("masked", [False, True])
def test_sweeps_equal_the_naive_twin(scan, guess, masked):
    mask = np.ones((SIDE, SIDE), bool)
    mask[12:20, 3:9] = mask[15, 17] = False
    scan = scan.with_mask(mask) if masked else scan
    settings = RefinementSettings(sweeps=2, mini_batch=10, alpha=0.3, seed=5)
    run = refine(guess, scan, settings)

    start, _, origin_yx = spread_under_frames(
        guess.values, guess.covered, guess.origin_yx, scan.positions_yx, SIDE
    )
    rng = np.random.default_rng(5)
    orders = [rng.permutation(scan.n_frames) for _ in range(2)]
    expected = naive_pie.sweep(
        run.scale * start, scan, scan.positions_yx - origin_yx, orders, mini_batch=10, alpha=0.3
    )
    assert run.image.origin_yx == origin_yx
    covered = run.image.covered
    assert covered.mean() > 0.4
    np.testing.assert_allclose(run.image.values[covered], expected[covered], atol=1e-5, rtol=0)


def digest(run):
    arrays = (run.image.values, run.image.coverage, run.change, run.probe, run.positions_yx)
    return [array.tobytes() for array in arrays] + [run.sweeps[-1].r_factor, run.sweeps[-1].change]


@pytest.mark.spec("CM-6.8")
@pytest.mark.parametrize("extra", [{}, {"refine_probe": True, "refine_positions": True}])
def test_no_bit_depends_on_how_many_frames_are_computed_at_once(scan, guess, extra):
    runs = [
        refine(guess, scan, RefinementSettings(sweeps=2, mini_batch=20, batch_size=size, **extra))
        for size in (1, 7, 20, "auto")
    ]
    assert [run.sweeps[0].batch_sizes for run in runs] == [(1,), (7, 6), (20, 14), (20, 14)]
    assert [digest(run) for run in runs[1:]] == [digest(runs[0])] * 3


def test_no_bit_depends_on_threads_or_on_where_the_frames_lie(scan, guess, monkeypatch, tmp_path):
    expected = digest(refine(guess, scan))
    np.save(tmp_path / "frames.npy", scan.amplitude)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    monkeypatch.setattr("ptycho.refinement._cpu_sums._PIXELS_PER_THREAD", 1)
    monkeypatch.setattr("ptycho.refinement._cpu_sums.available_threads", lambda: 3)
    assert digest(
        refine(guess, ScanData(amplitude=mapped, positions_yx=scan.positions_yx, probe=scan.probe))
    ) == (expected)


def test_memory_that_runs_out_takes_a_smaller_batch_and_changes_no_bit(scan, guess):
    settings = RefinementSettings(mini_batch=16)
    # The second mini-batch, then the half of it.
    with inject_oom(at=(1, 2), form="memory_error"):
        run = refine(guess, scan, settings)
    assert run.sweeps[0].n_oom == 2
    assert run.sweeps[0].batch_sizes == (16, 4, 2)
    assert digest(run) == digest(refine(guess, scan, settings))


def test_the_order_of_the_frames_follows_from_the_seed(scan, guess):
    first, again, other = (refine(guess, scan, RefinementSettings(seed=seed)) for seed in (1, 1, 2))
    assert digest(first) == digest(again)
    assert digest(first) != digest(other)


def test_the_object_of_noiseless_frames_stays_what_it_is(scan):
    truth = scan.object_guess
    clean = noiseless(scan, truth)
    image = PlacedImage(truth, np.ones(truth.shape, bool), (0.0, 0.0))
    run = refine(image, clean, RefinementSettings(sweeps=2, refine_probe=True, refine_positions=True))
    # Beyond the object, where only positions that have moved would lie, stands its border.
    there = run.image.in_window(Rectangle(8, 64, 8, 78))
    assert there.covered.mean() > 0.7
    np.testing.assert_allclose(there.values[there.covered], truth[8:64, 8:78][there.covered], atol=2e-4)
    assert run.scale == pytest.approx(1, abs=1e-5)
    assert run.distrust < 1e-4
    assert run.sweeps[0].r_factor < 1e-4
    np.testing.assert_allclose(run.positions_yx, scan.positions_yx, atol=2e-3)


# What `guess` covers.
GIVEN = Rectangle(20, 52, 24, 64)


def error_of(image, truth, window=GIVEN):
    """Relative error of an image against the truth in a window, without a constant factor."""
    here = image.in_window(window).values
    there = window.of(truth)
    factor = np.vdot(here, there) / np.vdot(here, here)
    return float(np.linalg.norm(factor * here - there) / np.linalg.norm(there))


def test_frames_improve_an_image_and_make_one_from_nothing(scan, guess):
    settings = RefinementSettings(sweeps=4, mini_batch=4)
    polished, made = (refine(start, scan, settings) for start in (guess, None))
    assert error_of(polished.image, scan.object_guess) < 0.6 * error_of(guess, scan.object_guess)
    for run in (polished, made):
        assert run.sweeps[3].change < run.sweeps[0].change / 5
        assert run.sweeps[3].r_factor < 0.7 * run.sweeps[0].r_factor
    assert polished.distrust < made.distrust / 3


def test_an_image_in_other_units_is_brought_to_the_brightness_of_the_frames(scan, guess):
    bright = PlacedImage(5 * guess.values, guess.covered, guess.origin_yx)
    runs = [refine(image, scan) for image in (guess, bright)]
    assert runs[1].scale == pytest.approx(runs[0].scale / 5, rel=1e-5)
    np.testing.assert_allclose(runs[1].image.values, runs[0].image.values, atol=2e-5)


def test_masked_pixels_of_the_detector_say_nothing(scan, guess):
    mask = np.ones((SIDE, SIDE), bool)
    mask[14:18, 14:18] = False
    clean = noiseless(scan, scan.object_guess, mask=mask)
    image = PlacedImage(scan.object_guess, np.ones(scan.object_guess.shape, bool), (0.0, 0.0))
    assert refine(image, clean).distrust < 1e-4
    # Were the zeros taken for a measurement, the beam's centre would be torn out of every frame.
    assert refine(image, replace(clean, mask=None)).distrust > 0.01


def test_change_tells_where_the_frames_distrust_the_image(scan):
    truth = scan.object_guess
    wrong = truth.copy()
    wrong[30:38, 50:60] *= 0.5
    runs = [
        refine(PlacedImage(values, np.ones(truth.shape, bool), (0.0, 0.0)), noiseless(scan, truth))
        for values in (truth, wrong)
    ]
    assert runs[1].distrust > 20 * runs[0].distrust
    origin_yx = runs[1].image.origin_yx
    assert origin_yx is not None
    y, x = (int(start) for start in origin_yx)
    changed = runs[1].change
    assert changed[30 - y : 38 - y, 50 - x : 60 - x].mean() > 5 * changed.mean()
    assert changed.dtype == np.float32


def test_the_image_is_a_reconstruction_in_its_own_frame(scan, guess):
    run = refine(guess, scan)
    made = run.as_reconstruction(label="polished")
    np.testing.assert_allclose(made.positions_yx + run.image.origin_yx, scan.positions_yx)
    assert made.origin_in(scan) == pytest.approx(run.image.origin_yx)
    assert (made.label, made.seconds) == ("polished", run.seconds)


def test_an_image_of_unknown_place_is_refused(scan, guess):
    with pytest.raises(DataError, match="does not say where it lies"):
        refine(PlacedImage(guess.values, guess.covered), scan)


def test_a_dark_image_is_refused(scan, guess):
    with pytest.raises(DataError, match="explains none of them; begin with None"):
        refine(PlacedImage(0 * guess.values, guess.covered, guess.origin_yx), scan)


def test_a_probe_in_other_units_is_told(scan, caplog):
    other = ScanData(amplitude=scan.amplitude, positions_yx=scan.positions_yx, probe=100 * scan.probe)
    refine(None, other)
    assert "pass ptycho.data.consistent_probe(scan)" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"sweeps": 0},
        {"mini_batch": 0},
        {"alpha": 0},
        {"alpha": 1.5},
        {"batch_size": "all"},
        {"refine_probe": 2},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        RefinementSettings(**wrong)


def probe_error(probe, truth):
    """Relative error of a probe, without a constant factor, which the object may have in its place."""
    factor = np.vdot(probe, truth) / np.vdot(probe, probe)
    return np.linalg.norm(factor * probe - truth) / np.linalg.norm(truth)


def position_error(positions_yx, truth):
    """Root mean square distance in pixels, without a common shift, which the object may have in its place."""
    stray = (positions_yx - truth) - (positions_yx - truth).mean(axis=0)
    return np.sqrt(np.mean(np.sum(stray**2, axis=1)))


def test_a_probe_out_of_focus_is_mended(scan, guess):
    wrong = defocused_probe(SIDE, defocus=7.0)
    wrong = (wrong * np.linalg.norm(scan.probe) / np.linalg.norm(wrong)).astype(np.complex64)
    settings = RefinementSettings(sweeps=15, mini_batch=4, refine_probe=True)
    run = refine(guess, replace(scan, probe=wrong), settings)
    assert probe_error(run.probe, scan.probe) < 0.5 * probe_error(wrong, scan.probe)
    without = refine(guess, replace(scan, probe=wrong), replace(settings, refine_probe=False))
    np.testing.assert_array_equal(without.probe, wrong)
    assert error_of(run.image, scan.object_guess) < 0.6 * error_of(without.image, scan.object_guess)


@pytest.mark.parametrize("from_flat", [False, True])
def test_positions_wrong_by_two_pixels_are_mended(scan, guess, from_flat):
    stray = np.random.default_rng(3).normal(0, np.sqrt(2), scan.positions_yx.shape)
    moved = replace(scan, positions_yx=scan.positions_yx + stray)
    settings = RefinementSettings(sweeps=20, mini_batch=8, refine_positions=True)
    run = refine(None if from_flat else guess, moved, settings)
    before, after = (
        position_error(found, scan.positions_yx) for found in (moved.positions_yx, run.positions_yx)
    )
    assert before == pytest.approx(2, abs=0.1)
    assert after < 0.5 * before
    assert np.abs(run.positions_yx - moved.positions_yx).max() <= settings.max_position_shift_px
    without = refine(None if from_flat else guess, moved, replace(settings, refine_positions=False))
    np.testing.assert_array_equal(without.positions_yx, moved.positions_yx)
    assert run.sweeps[-1].r_factor < 0.7 * without.sweeps[-1].r_factor


def test_positions_move_no_further_than_they_may(scan, guess):
    moved = replace(scan, positions_yx=scan.positions_yx + 3.0 * (np.arange(scan.n_frames)[:, None] % 2))
    settings = RefinementSettings(sweeps=5, mini_batch=4, refine_positions=True, max_position_shift_px=0.5)
    run = refine(guess, moved, settings)
    assert np.abs(run.positions_yx - moved.positions_yx).max() == pytest.approx(0.5)


def test_a_flat_object_leaves_a_sweep_for_what_is_refined_beside_it(scan):
    with pytest.raises(
        SettingsError, match="sweeps is 2 but must be at least 3 with refine_probe and refine_pos"
    ):
        refine(None, scan, RefinementSettings(sweeps=2, refine_probe=True, refine_positions=True))
