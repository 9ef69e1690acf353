"""`compare`: placing, registering and scoring arms alike, and going on when one fails."""

import numpy as np
import pytest
from legacy_scores import plain_placement, plain_scores
from oracle_model import OracleModel, lopsided_scan

from autobatch.testing import inject_oom
from ptycho.comparison import ComparisonSettings, FinishedArm, ModelArm, check_arms, compare
from ptycho.comparison._placing import Placer
from ptycho.comparison._scoring import Scorer
from ptycho.data import ScanData, extract_patches
from ptycho.errors import DataError
from ptycho.image.placed import PlacedImage, shift_image
from ptycho.image.registration import register
from ptycho.stitching import stitch_patches


@pytest.fixture(scope="module")
def scan():
    return lopsided_scan()


@pytest.fixture(scope="module")
def oracle(scan):
    return OracleModel(scan)


@pytest.fixture(scope="module")
def corner(scan):
    """A part of the scan for what does not depend on its size: its window is a fifth."""
    return scan.select(np.flatnonzero((scan.positions_yx < 80).all(axis=1)))


def _finished(scan, origin_yx=(0.0, 0.0), image=None):
    image = scan.object_guess if image is None else image
    return PlacedImage(image, np.ones(image.shape, bool), origin_yx)


def _arm(label, source, **changes):
    """The arm of a model, or of an image that is finished."""
    if isinstance(source, PlacedImage):
        return FinishedArm(label=label, image=source, **changes)
    return ModelArm(label=label, model=source, **changes)


@pytest.mark.spec("CM-7.2")
@pytest.mark.parametrize("register", ["none", "all"])
def test_perfect_patches_of_a_lopsided_scan_need_no_registration(scan, oracle, register):
    settings = ComparisonSettings(crop_size=16, register=register)
    (arm,) = compare([_arm("oracle", oracle)], scan, settings=settings).arms
    assert arm.metrics.mae.amplitude < 2e-3
    assert arm.metrics.mae.phase < 4e-3
    if register == "all":
        assert np.hypot(*arm.registration.offset_yx) < 0.02


@pytest.mark.spec("CM-8.1")
def test_the_truth_as_an_arm_scores_ideally(scan):
    (arm,) = compare([_arm("truth", _finished(scan))], scan).arms
    assert arm.metrics.ssim.amplitude == pytest.approx(1, abs=1e-6)
    assert arm.metrics.mae.phase == pytest.approx(0, abs=1e-5)


@pytest.mark.spec("CM-7.3")
def test_a_reconstruction_of_known_origin_is_placed_by_it(scan):
    larger = np.pad(scan.object_guess, ((7, 0), (0, 3)), constant_values=1)
    settings = ComparisonSettings(register="none")
    arm = _arm("iterative", _finished(scan, (-7.0, 0.0), larger))
    (result,) = compare([arm], scan, settings=settings).arms
    assert result.metrics.mae.amplitude == pytest.approx(0, abs=1e-5)


@pytest.mark.spec("CM-7.3")
def test_a_reconstruction_of_unknown_origin_is_found_over_the_whole_range(scan):
    cut = scan.object_guess[2:120, 50:178]
    (result,) = compare([_arm("cut", _finished(scan, None, cut))], scan).arms
    assert result.registration.plausible
    # From the middle of the frame, much further than an image of known place may be moved.
    assert max(np.abs(result.registration.offset_yx)) > 20 > ComparisonSettings().max_shift_px
    assert result.metrics.mae.amplitude < 1e-3


@pytest.mark.spec("CM-7.7")
@pytest.mark.parametrize(
    ("register", "registered"), [("all", [True, True]), ("finished", [False, True]), ("none", [False, False])]
)
def test_only_finished_reconstructions_are_registered_if_asked(scan, oracle, register, registered):
    arms = [_arm("oracle", oracle), _arm("truth", _finished(scan))]
    result = compare(arms, scan, settings=ComparisonSettings(crop_size=16, register=register))
    assert [arm.registration is not None for arm in result.arms] == registered


@pytest.mark.spec("CM-8.8")
def test_the_log_names_a_collapsed_model_and_no_other(scan, oracle, caplog):
    constant = OracleModel(scan)
    constant.predict_batch = lambda frames, offsets_yx=None: np.full((len(frames), 32, 32), 0.7, "complex64")
    arms = [_arm("oracle", oracle), _arm("constant", constant)]
    result = compare(arms, scan, settings=ComparisonSettings(crop_size=16))
    assert [record.message for record in caplog.records if "collapsed" in record.message] == [
        f"constant has collapsed: {result.arms[1].collapsed}; its figures mean nothing"
    ]
    assert result.arms[0].collapsed is None


@pytest.mark.spec("CM-7.7")
def test_skipping_registration_holds_for_an_unknown_origin_too(scan, caplog):
    cut = scan.object_guess[10:140, 22:170]
    settings = ComparisonSettings(register="none")
    (result,) = compare([_arm("cut", _finished(scan, None, cut))], scan, settings=settings).arms
    assert result.registration is None
    assert "does not say where its image lies" in caplog.text
    margins = np.subtract(result.image.shape_yx, cut.shape) // 2
    rows, columns = (slice(max(m, 0), max(m, 0) + 40) for m in margins)
    inner = cut[max(-margins[0], 0) :, max(-margins[1], 0) :][:40, :40]
    np.testing.assert_array_equal(result.image.values[rows, columns], inner)


@pytest.mark.spec("CM-7.2")
@pytest.mark.parametrize("which", ["none", "all"])
def test_perfect_patches_of_a_smooth_object_lie_where_the_truth_lies(which):
    scan = lopsided_scan(blur_px=12.0, n_extra=150)
    middle = (scan.positions_yx.min(axis=0) + scan.positions_yx.max(axis=0)) / 2
    assert np.abs(scan.positions_yx.mean(axis=0) - middle).min() > 10
    settings = ComparisonSettings(crop_size=16, register=which, self_consistency=False)
    (arm,) = compare([_arm("oracle", OracleModel(scan))], scan, settings=settings).arms
    assert arm.metrics.mae.amplitude < 1e-3
    assert arm.metrics.mae.phase < 1e-3
    left = _residual_px(scan, arm, settings)
    assert left < 0.02


def _residual_px(scan, arm, settings):
    """Length of the shift that is left between the scored image and the truth."""
    window = compare([_arm("truth", _finished(scan))], scan, settings=settings)
    found = register(arm.aligned.values, window.truth, mask=arm.aligned.covered, max_shift_px=8.0)
    assert found.plausible
    return np.hypot(*found.offset_yx)


@pytest.mark.spec("CM-7.5")
def test_a_shift_beyond_the_bound_is_reported_and_not_applied(scan):
    moved = shift_image(scan.object_guess, (23.0, -4.0)).values
    (result,) = compare([_arm("moved", _finished(scan, image=moved))], scan).arms
    assert "beyond the plausible" in result.registration.failure
    np.testing.assert_array_equal(result.aligned.values, result.image.values)


@pytest.mark.spec("CM-7.5")
def test_an_unregistered_image_of_unknown_place_is_not_scored_and_spoils_no_other(scan):
    noise = np.exp(1j * np.random.default_rng(1).uniform(-3, 3, (50, 60))).astype(np.complex64)
    arms = [
        _arm("truth", _finished(scan)),
        _arm("noise", _finished(scan, None, noise)),
    ]
    result = compare(arms, scan)
    truth, unknown = result.arms
    assert unknown.registration_failed
    assert (unknown.place_known, unknown.metrics) == (False, None)
    np.testing.assert_array_equal(result.scored, truth.aligned.covered)
    assert truth.metrics.ssim.amplitude == pytest.approx(1, abs=1e-6)


@pytest.mark.spec("CM-7.8")
def test_an_arm_that_registration_refuses_takes_no_pixel_from_the_others(scan, oracle):
    elsewhere = np.exp(1j * np.random.default_rng(2).uniform(-3, 3, (50, 60))).astype(np.complex64)
    arms = [_arm("oracle", oracle), _arm("astray", _finished(scan, (60.0, 70.0), elsewhere))]
    alone = compare(arms[:1], scan, settings=ComparisonSettings(crop_size=16))
    both = compare(arms, scan, settings=ComparisonSettings(crop_size=16))
    assert both.arms[1].registration_failed
    np.testing.assert_array_equal(both.scored, alone.scored)
    assert both.arms[0].metrics.ssim == alone.arms[0].metrics.ssim
    assert both.arms[1].metrics.window.area_px < alone.arms[0].metrics.window.area_px


def test_crops_that_do_not_overlap_give_an_image_and_a_note(scan, oracle):
    far_apart: list[int] = []
    for number, centre in enumerate(scan.positions_yx):
        if all(np.abs(centre - scan.positions_yx[other]).max() > 26 for other in far_apart):
            far_apart.append(number)
    sparse = scan.select(far_apart)
    result = compare([_arm("oracle", oracle)], sparse, settings=ComparisonSettings(crop_size=24))
    (arm,) = result.arms
    assert result.failures == ()
    assert arm.image.covered.sum() >= sparse.n_frames * 24 * 24
    assert arm.consistency.half_set_frc is None
    assert "too few for the half-set FRC" in arm.consistency.notes[0]


@pytest.mark.spec("CM-7.8")
def test_all_arms_are_scored_on_the_same_pixels(scan, oracle):
    coverage = np.ones(scan.object_guess.shape, np.float32)
    coverage[:40] = 0
    partial = PlacedImage.of_coverage(scan.object_guess, coverage, (0.0, 0.0))
    arms = [_arm("oracle", oracle), _arm("partial", partial)]
    result = compare(arms, scan, settings=ComparisonSettings(crop_size=16))
    windows = {arm.metrics.window for arm in result.arms}
    assert len(windows) == 1
    assert not result.scored[: 40 - result.window.row_start].any()


@pytest.mark.spec("CM-8.10")
def test_without_a_truth_there_are_images_and_no_metrics(scan, oracle):
    blind = ScanData(amplitude=scan.amplitude, positions_yx=scan.positions_yx, probe=scan.probe)
    result = compare([_arm("oracle", oracle)], blind, settings=ComparisonSettings(crop_size=16))
    assert result.truth is None
    assert result.arms[0].metrics is None
    assert result.arms[0].image.covered.mean() > 0.9
    with_truth = compare([_arm("oracle", oracle)], scan, settings=ComparisonSettings(crop_size=16))
    rows, columns = np.subtract(with_truth.window.origin_yx, result.window.origin_yx)
    height, width = with_truth.window.shape_yx
    np.testing.assert_array_equal(
        result.arms[0].image.values[rows : rows + height, columns : columns + width],
        with_truth.arms[0].image.values,
    )


@pytest.mark.spec("CM-11.3")
def test_an_arm_that_fails_is_named_and_the_others_go_on(scan, oracle):
    arms = [_arm("doomed", oracle), _arm("truth", _finished(scan))]
    with inject_oom(at=range(100), label="doomed"):
        result = compare(arms, scan)
    assert [failure.what for failure in result.failures] == ["doomed"]
    assert [arm.label for arm in result.arms] == ["truth"]
    assert result.arms[0].metrics.ssim.phase == pytest.approx(1, abs=1e-5)


def _internal_error():
    import tensorflow as tf

    return tf.errors.InternalError(None, None, "cuDNN launch failure\n[[node conv]]")


def _error_in_a_graph():
    import tensorflow as tf

    @tf.function
    def gathered(values, index):
        return tf.gather(tf.pad(values, [[1, 1]]), index)

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"^Graph execution error") as caught:
        gathered(tf.zeros(6), tf.constant([9]))
    return caught.value


_LATE_ERRORS = {
    "memory": (lambda: MemoryError("Unable to allocate 3 GiB"), "out of memory: Unable to allocate 3 GiB"),
    "wordless memory": (MemoryError, "out of memory"),
    "disk": (lambda: OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    "value": (lambda: ValueError("a sum is negative"), "a sum is negative"),
    "data": (lambda: DataError("nothing is covered"), "nothing is covered"),
    "tensorflow": (_internal_error, "InternalError: cuDNN launch failure"),
    "graph": (_error_in_a_graph, "InvalidArgumentError: indices[0] = 9 is not in [0, 8)"),
}


@pytest.mark.spec("CM-11.3")
@pytest.mark.parametrize("kind", _LATE_ERRORS)
@pytest.mark.parametrize("stage", ["placing", "scoring"])
def test_a_late_error_of_any_expected_class_costs_its_own_arm_only(corner, monkeypatch, caplog, kind, stage):
    make, reason = _LATE_ERRORS[kind]
    _raise_in(monkeypatch, stage, second=make())
    arms = [_arm(label, _finished(corner)) for label in ("first", "second", "third")]
    with caplog.at_level("DEBUG", "ptycho"):
        result = compare(arms, corner, settings=ComparisonSettings(register="none"))
    assert [(failure.what, failure.reason) for failure in result.failures] == [("second", reason)]
    scored = [arm.label for arm in result.arms if arm.metrics is not None]
    assert scored == ["first", "third"]
    assert len(result.arms) == (2 if stage == "placing" else 3)
    assert [record.levelname for record in caplog.records if record.exc_info] == ["DEBUG"]


@pytest.mark.parametrize("error", [TypeError("a bug"), AttributeError("a bug")])
@pytest.mark.parametrize("stage", ["placing", "scoring"])
def test_a_programming_error_is_not_taken_for_a_failed_arm(corner, monkeypatch, stage, error):
    _raise_in(monkeypatch, stage, second=error)
    arms = [_arm(label, _finished(corner)) for label in ("first", "second")]
    with pytest.raises(type(error), match="a bug"):
        compare(arms, corner, settings=ComparisonSettings(register="none"))


def _raise_in(monkeypatch, stage, **errors):
    """Raise, for the arms whose labels are the names of `errors`, these while they are placed or scored."""
    owner, name = {"placing": (Placer, "result"), "scoring": (Scorer, "_scored")}[stage]
    original = getattr(owner, name)

    def raising(*positional):
        arm = positional[1]
        if arm.label in errors:
            raise errors[arm.label]
        return original(*positional)

    monkeypatch.setattr(owner, name, raising)


@pytest.mark.spec("CM-11.4")
def test_ctrl_c_while_scoring_keeps_every_image_and_the_figures_so_far(corner, monkeypatch):
    _raise_in(monkeypatch, "scoring", second=KeyboardInterrupt())
    arms = [_arm(label, _finished(corner)) for label in ("first", "second", "third")]
    result = compare(arms, corner, settings=ComparisonSettings(register="none"))
    assert [arm.metrics is not None for arm in result.arms] == [True, False, False]
    assert [(f.what, f.reason) for f in result.failures] == [
        ("second", "not scored: stopped by Ctrl-C"),
        ("third", "not scored: stopped by Ctrl-C"),
    ]


@pytest.mark.spec("CM-11.4")
def test_ctrl_c_after_a_failure_keeps_its_reason(corner, monkeypatch):
    _raise_in(monkeypatch, "placing", first=MemoryError(), second=KeyboardInterrupt())
    arms = [_arm(label, _finished(corner)) for label in ("first", "second", "third")]
    result = compare(arms, corner)
    assert [(f.what, f.reason) for f in result.failures] == [
        ("first", "out of memory"),
        ("second", "stopped by Ctrl-C"),
        ("third", "stopped by Ctrl-C"),
    ]


@pytest.mark.spec("CM-7.1")
def test_a_fixed_window_lines_subsets_up(scan, oracle):
    settings = ComparisonSettings(crop_size=16)
    whole = compare([_arm("truth", _finished(scan))], scan, settings=settings)
    part = scan.select(np.arange(0, scan.n_frames, 3))
    result = compare(
        [_arm("oracle", OracleModel(part))],
        part,
        settings=settings,
        frame_positions_yx=scan.positions_yx,
    )
    assert result.window == whole.window
    assert result.arms[0].image.shape_yx == whole.window.shape_yx
    assert compare([_arm("truth", _finished(part))], part, settings=settings).window != result.window


@pytest.mark.spec("CM-6.2")
def test_a_crop_larger_than_the_frames_is_refused_before_any_work(scan, oracle):
    before = len(oracle.batch_sizes)
    with pytest.raises(DataError, match="crop_size is 33 but must satisfy 0 < M <= N = 32"):
        compare([_arm("oracle", oracle)], scan, settings=ComparisonSettings(crop_size=33))
    assert len(oracle.batch_sizes) == before


@pytest.mark.spec("CM-1.4")
def test_equal_labels_and_no_arms_are_refused(scan, oracle):
    arm = _arm("same", oracle)
    with pytest.raises(DataError, match="needs a label of its own"):
        check_arms([arm, arm], scan, ComparisonSettings())
    with pytest.raises(DataError, match="at least one arm"):
        check_arms([], scan, ComparisonSettings())


@pytest.mark.parametrize("method", ["plane", "mean"])
@pytest.mark.parametrize("register", ["none", "all"])
def test_the_older_convention_is_its_placement_and_its_steps(scan, oracle, method, register):
    settings = ComparisonSettings(
        crop_size=17, metric_convention="ptychopinn", phase_align=method, register=register
    )
    finished = _finished(scan, image=scan.object_guess[4:-9, 3:-2])
    arms = [_arm("oracle", oracle), _arm("cut", finished)]
    result = compare(arms, scan, settings=settings)
    patches = extract_patches(scan.object_guess, scan.positions_yx, 32)
    stitched = stitch_patches(patches, scan.positions_yx[:, ::-1].copy(), crop_size=17)
    for arm, raw in zip(result.arms, (stitched, finished.values), strict=True):
        image, truth = plain_placement(raw, scan.object_guess, scan.positions_yx, 17)
        for name, (amplitude, phase) in plain_scores(image, truth, method).items():
            assert getattr(arm.metrics, name).amplitude == pytest.approx(amplitude, rel=1e-5), name
            assert getattr(arm.metrics, name).phase == pytest.approx(phase, rel=1e-5), name
        assert arm.metrics.convention == "ptychopinn"
        # A mean far from the middle of the bounding box is misplaced: that is the convention.
        assert arm.metrics.mae.phase > 0.02
        scored = arm.metrics.window.of(result.truth)
        np.testing.assert_allclose(np.abs(scored), arm.metrics.images.true_amplitude, rtol=1e-6)


def test_the_older_window_spans_the_frame_that_was_asked_for(scan):
    part = scan.select(np.arange(0, scan.n_frames, 3))
    settings = ComparisonSettings(crop_size=16, metric_convention="ptychopinn")
    model = OracleModel(part)
    result = compare([_arm("oracle", model)], part, settings=settings, frame_positions_yx=scan.positions_yx)
    patches = extract_patches(part.object_guess, part.positions_yx, 32)
    raw = stitch_patches(patches, part.positions_yx[:, ::-1].copy(), crop_size=16)
    image, truth = plain_placement(raw, scan.object_guess, scan.positions_yx, 16)
    expected = plain_scores(image, truth, "plane")["mse"]
    found = result.arms[0].metrics.mse
    assert (found.amplitude, found.phase) == pytest.approx(expected, rel=1e-5)


def _with_noise(oracle, sigma):
    good = oracle.predict_batch

    def noisy(frames, offsets_yx=None):
        patches = good(frames, offsets_yx)
        for patch, frame in zip(patches, frames[..., 0], strict=True):
            rng = np.random.default_rng(int(frame.argmax()) * 1024 + int(frame.argmin()))
            patch += (sigma * rng.standard_normal((*patch.shape, 2), np.float32)).view(np.complex64)[..., 0]
        return patches

    oracle.predict_batch = noisy
    return oracle


@pytest.mark.parametrize("blind", [True, False])
def test_patches_that_disagree_are_seen_without_a_truth(scan, blind):
    unknown = ScanData(amplitude=scan.amplitude, positions_yx=scan.positions_yx, probe=scan.probe)
    shown = unknown if blind else scan
    settings = ComparisonSettings(crop_size=24)
    arms = [_arm(str(s), _with_noise(OracleModel(scan), s)) for s in (0.0, 0.05, 0.4)]
    clean, low, high = (arm.consistency for arm in compare(arms, shown, settings=settings).arms)
    assert clean.overlap_disagreement < 0.02 < low.overlap_disagreement < high.overlap_disagreement
    # Noise of real and imaginary part, of which bilinear shifts leave (2/3)² on average, over a modulus of 0.77.
    assert high.overlap_disagreement == pytest.approx(0.4 * 2**0.5 * (2 / 3) / 0.77, rel=0.15)
    cutoffs = [c.half_set_frc.field.cutoffs.half_bit.frequency for c in (clean, low, high)]
    assert cutoffs[0] > cutoffs[1] > cutoffs[2]
    assert clean.half_set_frc.field.correlation[:10].min() > 0.99


def test_maps_of_disagreement_lie_on_the_pixels_of_the_image(scan):
    sharp = OracleModel(scan)
    good, late = sharp.predict_batch, {int(scan.amplitude[7].argmax())}

    def one_wrong(frames, offsets_yx=None):
        patches = good(frames, offsets_yx)
        patches[[i for i, frame in enumerate(frames[..., 0]) if int(frame.argmax()) in late]] += 2
        return patches

    sharp.predict_batch = one_wrong
    settings = ComparisonSettings(crop_size=24, register="none")
    result = compare([_arm("one", sharp)], scan, settings=settings)
    (arm,) = result.arms
    row, column = np.unravel_index(np.nanargmax(arm.consistency.overlap_variance), arm.image.shape_yx)
    centre = scan.positions_yx[7] - result.window.origin_yx
    assert np.abs([row, column] - centre).max() < 13
    assert np.isnan(arm.consistency.overlap_variance[arm.image.coverage <= 1]).all()


def test_self_consistency_can_be_left_out(scan, oracle):
    settings = ComparisonSettings(crop_size=16, self_consistency=False)
    (arm,) = compare([_arm("oracle", oracle)], scan, settings=settings).arms
    assert arm.consistency is None


def test_halves_that_share_frames_are_remarked_on(scan):
    model = OracleModel(scan, gridsize=2)
    settings = ComparisonSettings(crop_size=16)
    (arm,) = compare([_arm("groups", model)], scan, settings=settings).arms
    assert any("share frames" in note for note in arm.consistency.notes)


def test_more_groups_than_frames_are_refused(scan, oracle):
    settings = ComparisonSettings(n_groups=scan.n_frames + 1)
    with pytest.raises(DataError, match=f"{scan.n_frames + 1} groups are wanted"):
        check_arms([_arm("oracle", oracle)], scan, settings)


def test_a_canvas_that_cannot_fit_is_refused_before_any_work(scan, oracle):
    far = np.array(scan.positions_yx)
    far[5] = 1e7
    stray = ScanData(amplitude=scan.amplitude, positions_yx=far, probe=scan.probe)
    with pytest.raises(ValueError, match=r"most extreme position is index 5 .* `self_consistency=False`"):
        check_arms([_arm("oracle", oracle)], stray, ComparisonSettings())


def test_an_arm_may_run_on_its_first_groups_only_and_be_watched(scan):
    seen = []
    limited = ModelArm(
        label="limited",
        model=OracleModel(scan),
        max_groups=70,
        predict_batch_size=32,
        observer=lambda *batch: seen.append(batch),
    )
    (arm,) = compare([limited], scan, settings=ComparisonSettings(crop_size=16)).arms
    assert arm.inference.prediction.n_items == 70
    inputs, centres, patches = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    np.testing.assert_allclose(inputs[..., 0], scan.amplitude[:70] * scan.normalisation, rtol=1e-6)
    np.testing.assert_array_equal(centres, scan.positions_yx[:70])
    np.testing.assert_array_equal(patches, extract_patches(scan.object_guess, scan.positions_yx[:70], 32))
