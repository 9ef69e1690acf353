"""Images of models that the frames have improved, as arms of their own."""

import numpy as np
import pytest
from oracle_model import OracleModel

from ptycho.comparison import ComparisonSettings, FinishedArm, ModelArm, check_arms, compare
from ptycho.data import SimulationSettings, simulate
from ptycho.errors import DataError, SettingsError
from ptycho.image import PlacedImage
from ptycho.refinement import RefinementSettings
from ptycho.report import write_artifacts
from ptycho.report.names import arm_prefixes
from ptycho.report.run_report import RunInfo, run_report


class BlurredOracle(OracleModel):
    """Knows the true patches, but not their contrast."""

    def predict_batch(self, frames, offsets_yx=None):
        return 0.5 + 0.5 * super().predict_batch(frames, offsets_yx)


@pytest.fixture(scope="module")
def scan():
    return simulate(
        SimulationSettings(
            patch_size=32, object_shape_yx=(80, 96), n_lines=30, step_px=5.0, seed=8, defocus=5.0
        )
    )


@pytest.fixture(scope="module")
def model(scan):
    return BlurredOracle(scan)


@pytest.fixture(scope="module")
def result(scan, model):
    finished = PlacedImage(scan.object_guess, np.ones(scan.object_guess.shape, bool), (0.0, 0.0))
    settings = ComparisonSettings(crop_size=16, refinement=RefinementSettings(sweeps=2, mini_batch=8))
    arms = [
        ModelArm(label="PtychoPINN", role="pinn", model=model),
        FinishedArm(label="ePIE", image=finished),
    ]
    return compare(arms, scan, settings=settings)


@pytest.mark.spec("CM-6.8")
def test_a_refined_image_is_an_arm_beside_the_unrefined_one(result):
    assert [(arm.label, arm.kind, arm.role) for arm in result.arms] == [
        ("PtychoPINN", "model", "pinn"),
        ("PtychoPINN + 2 sweeps", "refined", None),
        ("ePIE", "reconstruction", None),
    ]
    before, after, finished = result.arms
    assert after.metrics.mae.amplitude < 0.6 * before.metrics.mae.amplitude
    assert after.metrics.mae.phase < 0.7 * before.metrics.mae.phase
    assert before.refinement is finished.refinement is None
    assert after.refinement.distrust == after.refinement.sweeps[0].change > 0.01
    assert after.image.covered.sum() >= before.image.covered.sum()
    assert after.consistency is None


@pytest.mark.spec("CM-6.8")
def test_the_model_runs_once_for_both(scan, model):
    batch_sizes = []
    for refinement in (None, RefinementSettings()):
        model.batch_sizes.clear()
        settings = ComparisonSettings(crop_size=16, predict_batch_size=scan.n_frames, refinement=refinement)
        result = compare([ModelArm(label="m", model=model)], scan, settings=settings)
        batch_sizes.append(list(model.batch_sizes))
    assert batch_sizes[0] == batch_sizes[1]
    assert [arm.label for arm in result.arms] == ["m", "m + 1 sweep"]


def test_one_model_may_be_refined_and_another_not(scan, model):
    arms = [
        ModelArm(label="polished", model=model, refinement=RefinementSettings(sweeps=2)),
        ModelArm(label="as it is", model=model),
    ]
    result = compare(arms, scan, settings=ComparisonSettings(crop_size=16))
    assert [arm.label for arm in result.arms] == ["polished", "polished + 2 sweeps", "as it is"]


def test_a_model_that_fails_leaves_nothing_to_refine(scan, model, monkeypatch):
    def failing(*_):
        raise DataError("no such luck.")

    monkeypatch.setattr(model, "predict_batch", failing, raising=False)
    settings = ComparisonSettings(crop_size=16, refinement=RefinementSettings())
    failed = compare([ModelArm(label="m", model=model)], scan, settings=settings)
    assert [(failure.what, failure.kind) for failure in failed.failures] == [
        ("m", "failed"),
        ("m + 1 sweep", "failed"),
    ]
    assert failed.failures[1].reason == "m has no image to refine; see why it failed."


def test_a_label_that_a_refined_image_will_have_is_taken(scan, model):
    arms = [ModelArm(label=label, model=model) for label in ("m", "m + 1 sweep")]
    settings = ComparisonSettings(crop_size=16, refinement=RefinementSettings())
    with pytest.raises(DataError, match="each needs a label of its own"):
        check_arms(arms, scan, settings)


def test_settings_of_another_kind_are_refused():
    with pytest.raises(SettingsError, match="must be None or a RefinementSettings"):
        ComparisonSettings(refinement=3)


def test_the_report_says_how_far_the_frames_distrusted_the_image(result, tmp_path):
    write_artifacts(result, tmp_path)
    report = run_report(result, RunInfo(), prefixes=arm_prefixes(result.arms))
    by_label = {arm["label"]: arm for arm in report["arms"]}
    assert by_label["PtychoPINN"]["refinement"] is None
    told = by_label["PtychoPINN + 2 sweeps"]["refinement"]
    run = result.arms[1].refinement
    assert told["distrust"] == run.distrust
    assert [sweep["r_factor"] for sweep in told["sweeps"]] == [sweep.r_factor for sweep in run.sweeps]
    assert told["settings"]["mini_batch"] == 8
    assert report["settings"]["refinement"]["sweeps"] == 2
    with np.load(tmp_path / "reconstructions.npz") as arrays:
        change = arrays["ptychopinn_2_sweeps_change"]
    assert change.shape == result.window.shape_yx
    assert change.max() > 5 * np.median(change[change > 0])
