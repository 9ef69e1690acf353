"""Networks of one's own beside PtychoPINN's and a finished image: planned, recovered, scored and reported alike."""

import json
from dataclasses import replace

import numpy as np
import pytest
from own_networks import known_keras, known_patches
from ptychopinn_files import baseline_description, pinn_description, write_bundle, write_keras2_baseline

from autobatch.testing import inject_oom
from ptycho.comparison import Arm, ComparisonSettings, compare, load_arm, plan_arm
from ptycho.data import SimulationSettings, extract_patches, simulate
from ptycho.errors import SettingsError
from ptycho.models import NetworkDescription
from ptycho.report import write_artifacts
from ptycho.stitching import reassemble_position

SETTINGS = ComparisonSettings(crop_size=20, predict_batch_size="auto")


@pytest.fixture(scope="module")
def scan():
    return simulate(SimulationSettings(object_shape_yx=(110, 130), n_lines=20, step_px=9.0, seed=4))


class OutOfMemoryError(RuntimeError):
    """Called as PyTorch calls its own."""


class Tensor:
    """An array in the clothes of PyTorch."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    def cpu(self):
        return self.values


class Oracle:
    """A function from frames in the scan's own unit to true patches that fails once when shown more than `most`."""

    def __init__(self, scan, most=None):
        true = extract_patches(scan.object_guess, scan.positions_yx, scan.patch_size)
        self.patches = {frame.tobytes(): patch for frame, patch in zip(scan.amplitude, true, strict=True)}
        self.most, self.sizes = most, []

    def __call__(self, frames):
        self.sizes.append(len(frames))
        if self.most is not None and len(frames) > self.most:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        nothing = np.zeros(frames.shape[1:3], np.complex64)
        patches = [
            self.patches.get(np.ascontiguousarray(frame[..., 0]).tobytes(), nothing) for frame in frames
        ]
        # Real and imaginary part as two channels, before rows and columns.
        return Tensor(np.stack([np.real(patches), np.imag(patches)], axis=1))


REAL_FIRST = NetworkDescription(outputs=("real", "imaginary"), input_scaling="amplitude", patch_size=64)


def _finished(path, scan):
    np.savez(
        path,
        reconstructed_object=scan.object_guess,
        reconstructed_probe=scan.probe,
        algorithm="ePIE",
        positions_yx=scan.positions_yx,
    )
    return path


def test_a_pinn_a_baseline_a_keras_file_a_callable_and_a_finished_image_are_compared_in_one_run(
    scan, tmp_path
):
    write_bundle(tmp_path / "wts.h5.zip", pinn_description(64, 1, 0.25))
    write_keras2_baseline(tmp_path / "baseline_model.h5", *baseline_description(64, 0.25))
    known_keras(side=None).save(tmp_path / "two.keras")
    oracle = Oracle(scan)
    arms = [
        load_arm(tmp_path, role="pinn"),
        load_arm(tmp_path, role="baseline"),
        load_arm(tmp_path / "two.keras", "two"),
        Arm.from_callable("U-Net", oracle, REAL_FIRST),
        load_arm(_finished(tmp_path / "epie.npz", scan), scan=scan),
    ]
    plans = [plan_arm(arm, scan, SETTINGS) for arm in arms]
    with inject_oom(at=[0], label="two"):
        result = compare(arms, scan, settings=SETTINGS)

    assert [arm.label for arm in result.arms] == ["PtychoPINN", "Baseline", "two", "U-Net", "ePIE"]
    assert result.failures == ()
    models = result.arms[:4]
    planned = [arm.inference.prediction.plan for arm in models]
    assert [plan.batch_size for plan in planned] == [plan.batches.batch_size for plan in plans[:4]]
    assert plans[4] is None
    assert [plan.cost is not None for plan in planned] == [True, True, True, False]
    assert models[2].inference.prediction.n_oom == 1
    assert max(oracle.sizes) == planned[3].batch_size
    for arm in result.arms:
        assert arm.metrics.ssim.phase is not None
    assert all(arm.half_set_frc is not None and arm.consistency.overlap_disagreement > 0 for arm in models)
    assert min(result.arms[3].metrics.ssim.amplitude, result.arms[4].metrics.ssim.amplitude) > 0.999

    write_artifacts(result, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "run_report.json").read_text())
    assert [arm["label"] for arm in report["arms"]][2:4] == ["two", "U-Net"]
    assert "by their names" in report["arms"][2]["assumptions"][0]
    with np.load(tmp_path / "out" / "reconstructions.npz") as arrays:
        assert {"two_complex", "u_net_complex", "epie_complex"} <= set(arrays)


@pytest.mark.spec("CM-9.3")
def test_by_ptychopinns_convention_the_raw_images_are_its_square_canvas_with_or_without_a_truth(
    scan, tmp_path
):
    arm, finished = (
        Arm.from_keras("mine", known_keras(side=64)),
        load_arm(_finished(tmp_path / "e.npz", scan)),
    )
    settings = ComparisonSettings(crop_size=21, metric_convention="ptychopinn", register="none")
    patches = known_patches(scan.normalised().amplitude).astype(np.complex64)
    offsets_xy = scan.positions_yx[:, None, None, ::-1]
    expected = np.asarray(reassemble_position(patches[..., None], offsets_xy, M=21))
    side = expected.shape[0]
    for name, shown in (("truth", scan), ("none", replace(scan, object_guess=None))):
        result = compare([arm, finished][: 2 if name == "truth" else 1], shown, settings=settings)
        write_artifacts(result, tmp_path / name)
        with np.load(tmp_path / name / "reconstructions.npz") as arrays:
            found = {key: arrays[key] for key in arrays.files if key.startswith("mine_")}
            raw = dict(arrays)
        assert {key: array.shape for key, array in found.items()} == dict.fromkeys(
            ("mine_amplitude", "mine_phase", "mine_complex"), (side, side)
        )
        np.testing.assert_allclose(
            found["mine_complex"], expected[..., 0], atol=1e-5 * np.abs(expected).max()
        )
        np.testing.assert_array_equal(found["mine_amplitude"], np.abs(found["mine_complex"]))
        assert found["mine_complex"].shape != result.window.shape_yx
        if name == "truth":
            np.testing.assert_array_equal(raw["epie_complex"], scan.object_guess)
            assert raw["ground_truth_complex"].shape == result.window.shape_yx


def test_a_function_that_runs_out_of_memory_gets_fewer_frames(scan):
    oracle = Oracle(scan, most=8)
    result = compare([Arm.from_callable("U-Net", oracle, REAL_FIRST)], scan, settings=SETTINGS)
    (arm,) = result.arms
    assert arm.inference.prediction.n_oom >= 1
    assert max(size for size in oracle.sizes[oracle.sizes.index(8) :]) == 8
    assert arm.metrics.ssim.amplitude > 0.999


def test_a_shortage_that_only_the_user_can_name_is_named_by_is_oom(scan):
    oracle = Oracle(scan)

    def predict(frames):
        if len(frames) > 8:
            raise RuntimeError("device is full")
        return oracle(frames)

    arms = [
        Arm.from_callable("told", predict, REAL_FIRST, is_oom=lambda error: "is full" in str(error)),
        Arm.from_callable("not told", predict, REAL_FIRST),
    ]
    result = compare(arms, scan, settings=SETTINGS)
    assert [arm.label for arm in result.arms] == ["told"]
    (failure,) = result.failures
    assert failure.what == "not told"
    assert "failed on frames of shape" in failure.reason
    assert "RuntimeError: device is full" in failure.reason


def test_frames_of_another_size_are_refused_before_any_work(scan):
    arm = Arm.from_callable("small", Oracle(scan), NetworkDescription(patch_size=32))
    with pytest.raises(Exception, match=r"frames of 64x64 pixels but the small was trained on 32x32"):
        compare([arm], scan, settings=SETTINGS)


def test_a_trusted_crop_larger_than_the_frames_is_refused_before_any_work(scan):
    arm = Arm.from_callable("own", np.asarray, NetworkDescription(trusted_crop_size=scan.patch_size + 1))
    with pytest.raises(SettingsError, match=f"trusted_crop_size is .* at most {scan.patch_size}"):
        arm.check(scan)


def test_a_crop_beyond_what_a_network_is_trusted_for_is_warned_of(scan, caplog):
    description = NetworkDescription(
        outputs=("real", "imaginary"), input_scaling="amplitude", trusted_crop_size=16
    )
    compare([Arm.from_callable("U-Net", Oracle(scan), description)], scan, settings=SETTINGS)
    assert "U-Net: M = 20 stitches pixels outside the central 16 of each patch" in caplog.text
    assert "without meaning" in caplog.text
