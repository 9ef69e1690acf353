"""`compare` says of every arm whether its image explains the frames, and what is to blame if not."""

from dataclasses import replace

import numpy as np
import pytest
from oracle_model import FrameOracle, OracleModel, lopsided_scan

from ptycho.comparison import ComparisonSettings, FinishedArm, ModelArm, compare
from ptycho.data import SimulationSettings, defocused_probe, extract_patches, simulate
from ptycho.image.placed import PlacedImage

SETTINGS = SimulationSettings(
    patch_size=32, object_shape_yx=(110, 118), step_px=5.0, aperture=0.6, defocus=6.0, n_lines=15, seed=4
)
COMPARISON = ComparisonSettings(crop_size=18, self_consistency=False)


@pytest.fixture(scope="module")
def scan():
    return simulate(SETTINGS)


def _patches(scan, object_image=None, positions_yx=None):
    image = scan.object_guess if object_image is None else object_image
    return extract_patches(image, scan.positions_yx if positions_yx is None else positions_yx, 32)


def _verdict(scan, arm, *, blind=True, **changes):
    shown = replace(scan, object_guess=None) if blind else scan
    (result,) = compare([arm], shown, settings=replace(COMPARISON, **changes)).arms
    return result.verdict


def _arm(scan, patches):
    return ModelArm(label="known", model=FrameOracle(scan, patches))


def _finished(scan, image, **changes):
    covered = np.ones(image.shape, bool)
    values = {"origin_yx": (0.0, 0.0)} | changes
    probe = values.pop("probe", None)
    placed = PlacedImage(image.astype(np.complex64), covered, **values)
    return FinishedArm(label="finished", image=placed, probe=probe)


def test_true_patches_explain_the_frames(scan):
    verdict = _verdict(scan, _arm(scan, _patches(scan)))
    assert verdict.cause == "explained"
    assert verdict.counted
    assert verdict.patches.chi2 == pytest.approx(1, abs=3 * verdict.patches.chi2_error)
    # Bilinear stitching blurs the finest detail.
    assert 1 < verdict.image.chi2 < 2
    assert verdict.constant.chi2 > 10
    assert 0.3 < verdict.judged_fraction < 1
    assert verdict.notes == ()


def test_wrong_positions_are_told_from_a_wrong_network(scan):
    rng = np.random.default_rng(3)
    shaken = np.clip(scan.positions_yx + rng.normal(0, 2.0, scan.positions_yx.shape), 16, 94)
    shaken_scan = replace(scan, positions_yx=shaken)
    # The network sees frames alone, and its patches are right; they are put down in wrong places.
    assert _verdict(shaken_scan, _arm(shaken_scan, _patches(scan))).cause == "positions"
    other = simulate(replace(SETTINGS, seed=31)).object_guess
    assert _verdict(scan, _arm(scan, _patches(scan, other))).cause == "network"


def test_a_wrong_probe_is_told_from_good_patches(scan):
    wrong = defocused_probe(32, aperture=0.6, defocus=2.0) * np.float32(np.abs(scan.probe).max())
    misled = replace(scan, probe=wrong)
    assert _verdict(misled, _arm(misled, _patches(scan))).cause == "network"


def test_a_bad_frame_is_named_by_its_number_in_the_whole_scan(scan):
    frames = scan.amplitude.copy()
    frames[57] = np.sqrt(60) * np.roll(frames[57], 5, axis=0)
    part = replace(scan, amplitude=frames).select(np.arange(4, scan.n_frames))
    verdict = _verdict(part, _arm(part, _patches(part)))
    assert (verdict.cause, verdict.n_bad_frames) == ("frames", 1)
    assert "but 1, frame 57." in verdict.diagnosis
    assert verdict.patches.worst_frames[0].index == 57
    # It spoils the mean over all frames, and not their median.
    assert verdict.patches.chi2 > 5
    assert verdict.patches.spread.median == pytest.approx(1, abs=0.1)


def test_a_beam_stop_without_a_mask_is_found_on_the_detector(scan):
    stop = np.ones((32, 32), bool)
    stop[14:18, 15:20] = False
    stopped = replace(scan, amplitude=np.where(stop, scan.amplitude, 0))
    verdict = _verdict(stopped, _arm(stopped, _patches(scan)))
    assert verdict.cause == "detector"
    assert "rows 14 to 17, columns 15 to 19" in verdict.diagnosis
    masked = stopped.with_mask(stop)
    assert _verdict(masked, _arm(masked, _patches(scan))).cause == "explained"


def test_a_finished_image_is_judged_by_its_image_and_its_probe(scan):
    verdict = _verdict(scan, _finished(scan, scan.object_guess))
    assert (verdict.cause, verdict.patches) == ("explained", None)
    assert verdict.image.chi2 == pytest.approx(1, abs=3 * verdict.image.chi2_error)
    assert any("no patches" in note for note in verdict.notes)
    # A phase ramp may lie on the object or, the other way round, on the probe.
    y, x = np.mgrid[:110, :118]
    ramped = scan.object_guess * np.exp(0.3j * y - 0.2j * x)
    y, x = np.mgrid[:32, :32]
    own = scan.probe * np.exp(-0.3j * y + 0.2j * x)
    assert _verdict(scan, _finished(scan, ramped)).image.chi2 > 3
    assert _verdict(scan, _finished(scan, ramped, probe=own)).image.chi2 == pytest.approx(1, abs=0.05)
    strange = _verdict(scan, _finished(scan, scan.object_guess, probe=np.ones((8, 8), np.complex64)))
    assert strange.image.chi2 == pytest.approx(1, abs=0.05)
    assert any("probe of (8, 8)" in note for note in strange.notes)


def test_an_image_is_judged_where_registration_finds_it(scan):
    arm = _finished(scan, scan.object_guess, origin_yx=None)
    found = _verdict(scan, arm, blind=False)
    assert found.image.chi2 < 1.5
    lost = _verdict(scan, arm, blind=False, register="none")
    assert (lost.image, lost.cause) == (None, "unknown")
    assert any("Nothing says where the image lies" in note for note in lost.notes)


def test_groups_are_judged_by_their_image_alone():
    scan = lopsided_scan()
    model = OracleModel(scan, gridsize=2)
    verdict = _verdict(scan, ModelArm(label="groups", model=model))
    assert verdict.patches is None
    assert not verdict.counted
    assert any("lie between their frames" in note for note in verdict.notes)


def test_a_model_that_was_trained_with_another_probe_is_named(scan, caplog):
    arm = _arm(scan, _patches(scan))
    results = []
    strange = defocused_probe(32, aperture=0.6, defocus=1.0)
    for probes in (None, [strange, 2j * np.roll(scan.probe, 3, axis=1)], [strange]):
        arm.model.probes = None if probes is None else np.stack(probes)
        caplog.clear()
        results += compare([arm], scan, settings=replace(COMPARISON, verdict=False)).arms
        assert ("trained with another probe" in caplog.text) == (results[-1].familiarity.sentence is not None)
    unknown, same, other = results
    assert (unknown.probe_overlap, unknown.familiarity.word) == (None, "unknown")
    assert (same.probe_overlap, same.familiarity.word) == (pytest.approx(1, abs=1e-4), "like")
    assert other.probe_overlap < 0.9
    assert f"{other.probe_overlap:.2f}" in other.familiarity.sentence


def test_a_finished_image_has_learnt_nothing(scan):
    (result,) = compare([_finished(scan, scan.object_guess)], scan, settings=COMPARISON).arms
    assert (result.familiarity, result.probe_overlap) == (None, None)


def test_no_verdict_leaves_it_out(scan):
    (result,) = compare(
        [_finished(scan, scan.object_guess)], scan, settings=replace(COMPARISON, verdict=False)
    ).arms
    assert result.verdict is None
    assert "verdict" not in result.seconds
