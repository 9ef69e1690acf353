import numpy as np
import pytest
from oracle_model import OracleModel, lopsided_scan

from autobatch.testing import inject_oom
from ptycho.comparison import Arm, ComparisonSettings, check_arms, compare
from ptycho.data import ScanData
from ptycho.errors import DataError
from ptycho.image.shifting import shift_image
from ptycho.inference import ObjectImage


@pytest.fixture(scope="module")
def scan():
    return lopsided_scan()


@pytest.fixture(scope="module")
def oracle(scan):
    return OracleModel(scan)


def _finished(scan, origin_yx=(0.0, 0.0), image=None):
    image = scan.object_guess if image is None else image
    return ObjectImage(image, np.ones(image.shape, np.float32), origin_yx)


@pytest.mark.spec("CM-7.2")
@pytest.mark.parametrize("register", ["none", "all"])
def test_perfect_patches_of_a_lopsided_scan_need_no_registration(scan, oracle, register):
    settings = ComparisonSettings(crop_size=16, register=register)
    (arm,) = compare([Arm(label="oracle", source=oracle)], scan, settings=settings).arms
    assert arm.metrics.mae.amplitude < 2e-3
    assert arm.metrics.mae.phase < 4e-3
    if register == "all":
        assert np.hypot(*arm.registration.offset_yx) < 0.02


@pytest.mark.spec("CM-8.1")
def test_the_truth_as_an_arm_scores_ideally(scan):
    (arm,) = compare([Arm(label="truth", source=_finished(scan))], scan).arms
    assert arm.metrics.ssim.amplitude == pytest.approx(1, abs=1e-6)
    assert arm.metrics.mae.phase == pytest.approx(0, abs=1e-5)


@pytest.mark.spec("CM-7.3")
def test_a_reconstruction_of_known_origin_is_placed_by_it(scan):
    larger = np.pad(scan.object_guess, ((7, 0), (0, 3)), constant_values=1)
    settings = ComparisonSettings(register="none")
    arm = Arm(label="iterative", source=_finished(scan, (-7.0, 0.0), larger))
    (result,) = compare([arm], scan, settings=settings).arms
    assert result.metrics.mae.amplitude == pytest.approx(0, abs=1e-5)


@pytest.mark.spec("CM-7.3")
def test_a_reconstruction_of_unknown_origin_is_found_over_the_whole_range(scan):
    cut = scan.object_guess[10:140, 22:170]
    (result,) = compare([Arm(label="cut", source=_finished(scan, None, cut))], scan).arms
    assert result.registration.plausible
    assert result.metrics.mae.amplitude < 1e-3


@pytest.mark.spec("CM-7.7")
@pytest.mark.parametrize(
    ("register", "registered"), [("all", [True, True]), ("finished", [False, True]), ("none", [False, False])]
)
def test_only_finished_reconstructions_are_registered_if_asked(scan, oracle, register, registered):
    arms = [Arm(label="oracle", source=oracle), Arm(label="truth", source=_finished(scan))]
    result = compare(arms, scan, settings=ComparisonSettings(crop_size=16, register=register))
    assert [arm.registration is not None for arm in result.arms] == registered


@pytest.mark.spec("CM-7.5")
def test_a_shift_beyond_the_bound_is_reported_and_not_applied(scan):
    moved = shift_image(scan.object_guess, (23.0, -4.0)).image
    (result,) = compare([Arm(label="moved", source=_finished(scan, image=moved))], scan).arms
    assert "beyond the plausible" in result.registration.failure
    np.testing.assert_array_equal(result.aligned, result.image)


@pytest.mark.spec("CM-7.8")
def test_all_arms_are_scored_on_the_same_pixels(scan, oracle):
    coverage = np.ones(scan.object_guess.shape, np.float32)
    coverage[:40] = 0
    partial = ObjectImage(scan.object_guess, coverage, (0.0, 0.0))
    arms = [Arm(label="oracle", source=oracle), Arm(label="partial", source=partial)]
    result = compare(arms, scan, settings=ComparisonSettings(crop_size=16))
    windows = {arm.metrics.window for arm in result.arms}
    assert len(windows) == 1
    assert not result.scored[: 40 - result.window.row_start].any()


@pytest.mark.spec("CM-8.10")
def test_without_a_truth_there_are_images_and_no_metrics(scan, oracle):
    blind = ScanData(amplitude=scan.amplitude, positions_yx=scan.positions_yx, probe=scan.probe)
    result = compare([Arm(label="oracle", source=oracle)], blind, settings=ComparisonSettings(crop_size=16))
    assert result.truth is None
    assert result.arms[0].metrics is None
    assert result.arms[0].covered.mean() > 0.9
    with_truth = compare(
        [Arm(label="oracle", source=oracle)], scan, settings=ComparisonSettings(crop_size=16)
    )
    rows, columns = np.subtract(with_truth.window.origin_yx, result.window.origin_yx)
    height, width = with_truth.window.shape_yx
    np.testing.assert_array_equal(
        result.arms[0].image[rows : rows + height, columns : columns + width], with_truth.arms[0].image
    )


@pytest.mark.spec("CM-11.3")
def test_an_arm_that_fails_is_named_and_the_others_go_on(scan, oracle):
    arms = [Arm(label="doomed", source=oracle), Arm(label="truth", source=_finished(scan))]
    with inject_oom(at=range(100), label="doomed"):
        result = compare(arms, scan)
    assert [failure.label for failure in result.failures] == ["doomed"]
    assert [arm.label for arm in result.arms] == ["truth"]
    assert result.arms[0].metrics.ssim.phase == pytest.approx(1, abs=1e-5)


@pytest.mark.spec("CM-7.1")
def test_a_fixed_window_lines_subsets_up(scan, oracle):
    from ptycho.comparison import score_window

    window = score_window(scan, 16)
    part = scan.select(np.arange(0, scan.n_frames, 3))
    result = compare(
        [Arm(label="oracle", source=OracleModel(part))],
        part,
        settings=ComparisonSettings(crop_size=16),
        window=window,
    )
    assert result.arms[0].image.shape == window.shape_yx


@pytest.mark.spec("CM-6.2")
@pytest.mark.parametrize("crop_size", [0, 33, -4])
def test_an_impossible_crop_is_refused_before_any_work(scan, oracle, crop_size):
    before = len(oracle.batch_sizes)
    with pytest.raises(DataError, match=f"stitch_crop_size is {crop_size} but must satisfy 0 < M <= N = 32"):
        compare([Arm(label="oracle", source=oracle)], scan, settings=ComparisonSettings(crop_size=crop_size))
    assert len(oracle.batch_sizes) == before


@pytest.mark.spec("CM-1.4")
def test_equal_labels_and_no_arms_are_refused(scan, oracle):
    arm = Arm(label="same", source=oracle)
    with pytest.raises(DataError, match="needs a label of its own"):
        check_arms([arm, arm], scan, ComparisonSettings())
    with pytest.raises(DataError, match="at least one arm"):
        check_arms([], scan, ComparisonSettings())
