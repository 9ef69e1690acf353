"""`compare-models` from the outside: what it writes, says and refuses."""

import json

import numpy as np
import pytest

from ptycho.cli.compare_models import main
from ptycho.data import ScanData, write_npz
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.simulation import SimulationSettings, simulate


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    scan = simulate(SimulationSettings(object_shape_yx=(120, 140), n_lines=12, step_px=8.0, seed=4))
    write_npz(folder / "scan.npz", scan)
    write_npz(
        folder / "blind.npz",
        ScanData(amplitude=scan.amplitude, positions_yx=scan.positions_yx, probe=scan.probe),
    )
    np.savez(
        folder / "epie.npz",
        reconstructed_object=scan.object_guess,
        reconstructed_probe=scan.probe,
        algorithm="ePIE",
        computation_time_seconds=12.5,
        positions_yx=scan.positions_yx,
    )
    for kind in ("pinn", "baseline"):
        architecture = Architecture(kind=kind, patch_size=64, n_filters_scale=0.25)
        save_bundle(folder / kind, PatchModel(build_network(architecture), architecture))
    return folder


def _arguments(folder, output, **changes):
    values = {
        "--pinn_dir": folder / "pinn",
        "--baseline_dir": folder / "baseline",
        "--test_data": folder / "scan.npz",
        "--output_dir": output,
    } | changes
    return [str(word) for flag, value in values.items() if value is not None for word in (flag, value)]


def _report(output):
    return json.loads((output / "run_report.json").read_text())


def test_three_arms_end_to_end(workplace, tmp_path, capsys):
    output = tmp_path / "deep" / "out"
    code = main([*_arguments(workplace, output), "--tike_recon_path", str(workplace / "epie.npz")])
    assert code == 0
    names = {path.name for path in output.iterdir()}
    assert names >= {
        "comparison_metrics.csv",
        "pinn_frc_curves.csv",
        "baseline_frc_curves.csv",
        "comparison_plot.png",
        "reconstructions.npz",
        "reconstructions_aligned.npz",
        "run_report.json",
        "logs",
    }
    report = _report(output)
    assert [arm["label"] for arm in report["arms"]] == ["PtychoPINN", "Baseline", "ePIE"]
    assert report["arms"][0]["prediction"]["reason"]
    rows = (output / "comparison_metrics.csv").read_text()
    assert "ePIE,ssim,1.000000,1.000000," in rows
    assert "ePIE,computation_time_s,,,12.500000" in rows
    assert "comparison_plot.png" in capsys.readouterr().out


def test_without_a_truth_it_says_so_and_succeeds(workplace, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(_arguments(workplace, output, **{"--test_data": workplace / "blind.npz"})) == 0
    assert "No ground truth" in capsys.readouterr().out
    assert (output / "comparison_plot.png").is_file()
    assert _report(output)["scan"]["has_truth"] is False


def test_a_dry_run_writes_nothing(workplace, tmp_path, capsys):
    assert main([*_arguments(workplace, tmp_path / "out"), "--dry-run"]) == 0
    assert not (tmp_path / "out").exists()
    printed = capsys.readouterr().out
    assert "PtychoPINN" in printed
    assert "nothing was written" in printed


def test_results_are_not_overwritten_unasked(workplace, tmp_path, capsys):
    (tmp_path / "run_report.json").write_text("precious")
    assert main(_arguments(workplace, tmp_path)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "run_report.json").read_text() == "precious"


def test_explicit_batch_sizes_are_first_size_and_upper_limit(workplace, tmp_path):
    sizes = {"--pinn-predict-batch-size": 16, "--baseline-chunk-size": 8, "--stitch-batch-size": 4}
    assert main([*_arguments(workplace, tmp_path / "out", **sizes), "--no-save-npz"]) == 0
    pinn, baseline = _report(tmp_path / "out")["arms"]
    assert pinn["prediction"]["planned_batch_size"] == 16
    assert baseline["prediction"]["planned_batch_size"] == 8
    assert max(pinn["stitching"]["batch_sizes_used"]) == 4
    assert not (tmp_path / "out" / "reconstructions.npz").exists()
    assert (tmp_path / "out" / "reconstructions_aligned.npz").is_file()


def test_a_subsample_is_the_published_draw_and_a_fixed_canvas_keeps_the_window(workplace, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert main([*_arguments(workplace, whole), "--baseline-predict-batch-size", "32"]) == 0
    sampled = {"--n-test-subsample": 20, "--test-subsample-seed": 5}
    assert main([*_arguments(workplace, part, **sampled), "--fixed-canvas", "--skip-registration"]) == 0
    report = _report(part)
    assert report["scan"]["n_frames"] == 20
    assert report["window"] == _report(whole)["window"]
    assert report["arms"][0]["registration"] is None


def test_an_older_spelling_is_mapped_with_a_warning(workplace, tmp_path, capsys):
    older = {"--n-test-images": 12, "--subsample-seed": 1}
    assert main(_arguments(workplace, tmp_path / "out", **older)) == 0
    assert "--n-test-images is an older spelling; use --n-test-groups" in capsys.readouterr().err
    assert _report(tmp_path / "out")["scan"]["n_frames"] == 12


def test_a_failing_arm_exits_with_1_and_its_reason_last(workplace, tmp_path, capsys):
    from autobatch.testing import inject_oom

    with inject_oom(at=range(50), label="PtychoPINN"):
        assert main(_arguments(workplace, tmp_path / "out")) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("compare-models: error: PtychoPINN failed:")
    assert "predict-batch-size" in lines[-1]
    assert [failure["label"] for failure in _report(tmp_path / "out")["failures"]] == ["PtychoPINN"]


def test_the_older_convention_and_debug_images_reach_every_file(workplace, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = _arguments(workplace, output, **{"--metric-convention": "ptychopinn"})
    assert main([*arguments, "--save-debug-images"]) == 0
    rows = (output / "comparison_metrics.csv").read_text().splitlines()
    assert "PtychoPINN,metric_convention_ptychopinn,,,1.000000" in rows
    assert not [row for row in rows if "metric_convention_standard" in row]
    report = _report(output)
    assert report["settings"]["metric_convention"] == "ptychopinn"
    assert report["arms"][1]["metrics"]["convention"] == "ptychopinn"
    assert report["arms"][1]["metrics"]["frc"]["unit"] == "ring"
    assert report["arms"][1]["consistency"]["half_set_frc"]["unit"] == "cycles/pixel"
    printed = capsys.readouterr().out
    assert "FRC50 rings" in printed
    assert "ptychopinn convention" in printed
    for name in ("pinn_debug_images.npz", "pinn_debug_images.png", "baseline_debug_images.npz"):
        assert (output / name).is_file()


def test_the_baseline_can_be_looked_into(workplace, tmp_path, capsys):
    output, dump = tmp_path / "out", tmp_path / "dump"
    debug = {"--baseline-debug-limit": 7, "--baseline-debug-dir": dump, "--baseline-predict-batch-size": 4}
    assert main(_arguments(workplace, output, **debug)) == 0
    assert "first 7 frames only" in capsys.readouterr().err
    pinn, baseline = _report(output)["arms"]
    assert baseline["prediction"]["n_items"] == 7 < pinn["prediction"]["n_items"]
    with np.load(dump / "patches.npz") as arrays, np.load(workplace / "scan.npz") as scan:
        assert arrays["outputs"].shape == (7, 64, 64)
        frames = scan["diffraction"]
        factor = 32 / np.sqrt((frames.astype(float) ** 2).sum(axis=(1, 2)).mean())
        np.testing.assert_allclose(arrays["inputs"][..., 0], frames[:7] * factor, rtol=1e-5)
        expected = np.column_stack([scan["ycoords"], scan["xcoords"]])[:7]
        np.testing.assert_array_equal(arrays["offsets_yx"], expected)
    assert json.loads((dump / "patches_statistics.json").read_text())["arrays"]["outputs"]["shape"][0] == 7
    again = _arguments(workplace, tmp_path / "other", **debug)
    assert main(again) == 2
    assert "already holds a dump" in capsys.readouterr().err


def test_self_consistency_needs_no_truth_and_can_be_left_out(workplace, tmp_path, capsys):
    blind = {"--test_data": workplace / "blind.npz", "--stitch-crop-size": 40}
    with_it, without = tmp_path / "with", tmp_path / "without"
    assert main(_arguments(workplace, with_it, **blind)) == 0
    assert "self-consistency" in capsys.readouterr().out
    assert "PtychoPINN,overlap_disagreement,,," in (with_it / "comparison_metrics.csv").read_text()
    assert (with_it / "half_set_frc_curves.csv").is_file()
    assert main([*_arguments(workplace, without, **blind), "--no-self-consistency"]) == 0
    assert "self-consistency" not in capsys.readouterr().out
    assert not (without / "half_set_frc_curves.csv").exists()
    assert _report(without)["arms"][0]["consistency"] is None


def test_batch_sizes_are_remembered_only_when_asked(workplace, tmp_path, monkeypatch):
    from autobatch.testing import FixedMemory, inject_oom

    monkeypatch.setattr("autobatch._probe.device_memory", lambda device=None: FixedMemory(8 << 30)())
    memo = tmp_path / "sizes.json"
    asked = [
        *_arguments(workplace, tmp_path / "out", **{"--batch-memo": memo}),
        "--overwrite",
        "--no-save-npz",
    ]
    with inject_oom(at=[0], label="PtychoPINN"):
        assert main(asked) == 0
    pinn, _ = _report(tmp_path / "out")["arms"]
    survived = pinn["prediction"]["final_batch_size"]
    assert main(asked) == 0
    pinn, baseline = _report(tmp_path / "out")["arms"]
    assert (pinn["prediction"]["limited_by"], pinn["prediction"]["planned_batch_size"]) == ("memo", survived)
    assert baseline["prediction"]["limited_by"] == "items"
    assert _report(tmp_path / "out")["settings"]["batch_memo"] == str(memo)
    before = memo.read_text()
    with inject_oom(at=[0], label="PtychoPINN"):
        assert main(_arguments(workplace, tmp_path / "unasked")) == 0
    assert memo.read_text() == before


def _broken(kind, folder):
    """Write the broken input called `kind` into `folder` and return the flags that point at it."""
    path = folder / "bad.npz"
    with np.load(folder.parent / "scan.npz") as archive:
        arrays = dict(archive)
    if kind == "truncated":
        path.write_bytes((folder.parent / "scan.npz").read_bytes()[:200_000])
        return {"--test_data": path}
    if kind == "no xcoords":
        del arrays["xcoords"]
    if kind == "intensity":
        frames = "diffraction" if "diffraction" in arrays else "diff3d"
        arrays[frames] = np.round(arrays[frames] ** 2).astype(np.float32)
    if kind == "zero":
        frames = "diffraction" if "diffraction" in arrays else "diff3d"
        arrays[frames] = np.zeros_like(arrays[frames])
    if kind == "far position":
        arrays["xcoords"][3] = 1e9
    np.savez(path, **arrays)
    return {"--test_data": path}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "truncated"),
        ("no xcoords", "xcoords"),
        ("intensity", "intensity"),
        ("zero", "zero"),
        ("far position", "1e+09"),
    ],
)
def test_broken_scans_are_named_in_one_line(workplace, tmp_path, capsys, kind, words):
    folder = workplace / kind.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    assert main(_arguments(workplace, tmp_path / "out", **_broken(kind, folder))) == 2
    error = capsys.readouterr().err.strip()
    assert words in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--test_data": "nowhere.npz"}, "nowhere.npz"),
        ({"--n-test-subsample": 5000}, "ask for 1 to"),
        ({"--stitch-crop-size": 0}, "0 < M <= N = 64"),
        ({"--stitch-crop-size": 65}, "0 < M <= N = 64"),
        ({"--pinn_dir": "."}, "holds no model"),
        ({"--pinn_dir": "nowhere"}, "nowhere"),
        ({"--p_min": 95}, "p_min"),
        ({"--baseline_dir": None}, "--baseline_dir must be given"),
        ({"--n-test-groups": 500, "--n-test-subsample": 20}, "--n-test-groups 1 to 20"),
        ({"--baseline_dir": None, "--arm": "a=.", "--baseline-debug-limit": 3}, "look into the baseline"),
        ({"--device": "GPU:7"}, "GPU:7"),
        ({"--batch-memo": "."}, "is a folder"),
        ({"--batch-memo": __file__}, "is no memo of batch sizes"),
        ({"--batch-memo": "nowhere/sizes.json"}, "nowhere does not exist"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(workplace, tmp_path, capsys, changes, words):
    assert main(_arguments(workplace, tmp_path / "out", **changes)) == 2
    error = capsys.readouterr().err.strip()
    assert words in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_an_output_folder_beneath_a_file_is_refused(workplace, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(_arguments(workplace, tmp_path / "file" / "out")) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [["--stitch-crop-size", "abc"], ["--stitch-batch-size", "many"], ["--pinn-chunk-size", "0"]]
)
def test_words_for_numbers_are_refused_by_the_parser(workplace, tmp_path, capsys, flags):
    with pytest.raises(SystemExit) as caught:
        main([*_arguments(workplace, tmp_path / "out"), *flags])
    assert caught.value.code == 2
    assert flags[1] in capsys.readouterr().err
