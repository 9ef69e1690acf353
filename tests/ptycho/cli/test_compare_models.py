"""`compare-models` from the outside: what it writes, says and refuses."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from ptycho.cli import compare_models
from ptycho.cli.compare_models import main
from ptycho.cli.report import main as report_main
from ptycho.comparison import arms
from ptycho.comparison._scoring import Scorer
from ptycho.data import ScanData, SimulationSettings, simulate, write_npz
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel


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
    (folder / "empty").mkdir()
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


@pytest.mark.spec("CM-1.1")
@pytest.mark.spec("CM-1.3")
@pytest.mark.spec("CM-2.10")
@pytest.mark.spec("CM-9.1")
@pytest.mark.spec("CM-10.3")
@pytest.mark.spec("CM-11.1")
def test_three_arms_end_to_end(workplace, tmp_path, capsys, pictures):
    output = tmp_path / "deep" / "out"
    code = main([*_arguments(workplace, output), "--tike_recon_path", str(workplace / "epie.npz")])
    assert code == 0
    names = {path.name for path in output.iterdir()}
    assert names >= {
        "comparison_metrics.csv",
        "pinn_frc_curves.csv",
        "baseline_frc_curves.csv",
        "comparison_plot.png",
        "comparison_report.html",
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
    page = (output / "comparison_report.html").read_bytes()
    assert report["inputs"][0]["role"] == "pinn_dir"
    assert report["scan"]["intensity_per_frame"] > 0
    assert report_main(["--quiet", str(output)]) == 0
    assert (output / "comparison_report.html").read_bytes() == page


@pytest.mark.spec("CM-8.10")
@pytest.mark.spec("CM-11.1")
def test_without_a_truth_it_says_so_and_succeeds(workplace, tmp_path, capsys, pictures):
    output = tmp_path / "out"
    assert main(_arguments(workplace, output, **{"--test_data": workplace / "blind.npz"})) == 0
    assert "No ground truth" in capsys.readouterr().out
    assert (output / "comparison_plot.png").is_file()
    assert _report(output)["scan"]["has_truth"] is False


@pytest.mark.spec("CM-1.6")
def test_a_dry_run_writes_nothing(workplace, tmp_path, capsys):
    assert main([*_arguments(workplace, tmp_path / "out"), "--dry-run"]) == 0
    assert not (tmp_path / "out").exists()
    printed = capsys.readouterr().out
    assert "PtychoPINN" in printed
    assert "nothing was written" in printed


@pytest.mark.spec("CM-2.11")
def test_results_are_not_overwritten_unasked(workplace, tmp_path, capsys):
    (tmp_path / "run_report.json").write_text("precious")
    assert main(_arguments(workplace, tmp_path)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "run_report.json").read_text() == "precious"


@pytest.mark.spec("CM-5.3")
def test_explicit_batch_sizes_are_first_size_and_upper_limit(workplace, tmp_path):
    sizes = {"--pinn-predict-batch-size": 16, "--baseline-chunk-size": 8, "--stitch-batch-size": 4}
    assert main([*_arguments(workplace, tmp_path / "out", **sizes), "--no-save-npz"]) == 0
    pinn, baseline = _report(tmp_path / "out")["arms"]
    assert pinn["prediction"]["planned_batch_size"] == 16
    assert baseline["prediction"]["planned_batch_size"] == 8
    assert max(pinn["stitching"]["batch_sizes_used"]) == 4
    assert not (tmp_path / "out" / "reconstructions.npz").exists()
    assert (tmp_path / "out" / "reconstructions_aligned.npz").is_file()


@pytest.mark.spec("CM-3.1")
@pytest.mark.spec("CM-7.1")
@pytest.mark.spec("CM-7.7")
def test_a_subsample_is_the_published_draw_and_a_fixed_canvas_keeps_the_window(workplace, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert main([*_arguments(workplace, whole), "--baseline-predict-batch-size", "32"]) == 0
    sampled = {"--n-test-subsample": 20, "--test-subsample-seed": 5}
    assert main([*_arguments(workplace, part, **sampled), "--fixed-canvas", "--skip-registration"]) == 0
    report = _report(part)
    assert report["scan"]["n_frames"] == 20
    assert report["window"] == _report(whole)["window"]
    assert report["arms"][0]["registration"] is None


@pytest.mark.spec("CM-1.8")
def test_an_older_spelling_is_mapped_with_a_warning(workplace, tmp_path, capsys):
    older = {"--n-test-images": 12, "--subsample-seed": 1}
    assert main(_arguments(workplace, tmp_path / "out", **older)) == 0
    assert "warning: --n-test-images is PtychoPINN's spelling; use --n-test-groups" in capsys.readouterr().err
    assert _report(tmp_path / "out")["scan"]["n_frames"] == 12


@pytest.mark.spec("CM-5.6")
@pytest.mark.spec("CM-10.4")
@pytest.mark.spec("CM-11.3")
def test_a_failing_arm_exits_with_1_and_its_reason_last(workplace, tmp_path, capsys):
    from autobatch.testing import inject_oom

    with inject_oom(at=range(50), label="PtychoPINN"):
        assert main(_arguments(workplace, tmp_path / "out")) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("compare-models: error: PtychoPINN failed:")
    assert "predict-batch-size" in lines[-1]
    assert [failure["label"] for failure in _report(tmp_path / "out")["failures"]] == ["PtychoPINN"]


@pytest.mark.spec("CM-1.8")
def test_both_spellings_of_a_flag_are_refused(workplace, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(_arguments(workplace, tmp_path / "out", **{"--n-subsample": 5, "--n-test-subsample": 5}))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "are both given; drop --n-subsample." in error


@pytest.mark.spec("CM-1.4")
def test_any_further_arm_has_a_label_of_its_own(workplace, tmp_path, capsys):
    arms = ["--arm", f"Again={workplace / 'pinn'}", "--arm", f"done ={workplace / 'epie.npz'}", "--dry-run"]
    assert main([*_arguments(workplace, tmp_path / "out", **{"--baseline_dir": None}), *arms]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [row for row in rows if row in ("PtychoPINN", "Baseline", "Again", "done")] == [
        "PtychoPINN",
        "Again",
        "done",
    ]
    with pytest.raises(SystemExit, match="2"):
        main([*_arguments(workplace, tmp_path / "out"), "--arm", "no separator"])
    assert "'no separator' is not LABEL=PATH" in capsys.readouterr().err


@pytest.mark.spec("CM-1.5")
def test_the_demo_needs_no_file_and_takes_none(workplace, tmp_path, capsys):
    assert main(["--demo", "--output_dir", str(tmp_path / "out"), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "Baseline" in printed
    assert "frames of 64x64 pixels" in printed
    assert main([*_arguments(workplace, tmp_path / "out"), "--demo"]) == 2
    assert "--demo brings its own scan and models" in capsys.readouterr().err


@pytest.mark.spec("CM-3.4")
def test_groups_of_a_subsample_are_counted_apart_from_its_frames(workplace, tmp_path, capsys):
    sizes = {"--n-test-subsample": 20, "--n-test-groups": 7, "--test-subsample-seed": 3}
    assert main([*_arguments(workplace, tmp_path / "out", **sizes), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "20 frames of 64x64" in printed
    (row,) = [line.split() for line in printed.splitlines() if "PtychoPINN" in line]
    assert row[1] == "7"


@pytest.mark.spec("CM-4.4")
@pytest.mark.spec("CM-7.7")
@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        ([], {"register": "all", "seed": 0, "phase_align": "plane", "ms_ssim_sigma": 1.0, "frc_sigma": 0.0}),
        (["--register-ptychi-only", "--test-subsample-seed", "5"], {"register": "finished", "seed": 5}),
        (
            ["--skip-registration", "--phase-align-method", "mean"],
            {"register": "none", "phase_align": "mean"},
        ),
        (["--ms-ssim-sigma", "0", "--frc-sigma", "2.5"], {"ms_ssim_sigma": 0.0, "frc_sigma": 2.5}),
        (["--stitch-crop-size", "15", "--stitch-batch-size", "3"], {"crop_size": 15, "stitch_batch_size": 3}),
    ],
)
def test_flags_reach_the_settings_of_the_comparison(workplace, tmp_path, flags, settings):
    arguments = compare_models.build_parser().parse_args([*_arguments(workplace, tmp_path / "out"), *flags])
    found = compare_models._open(arguments).settings
    assert {name: getattr(found, name) for name in settings} == settings


@pytest.mark.spec("CM-7.7")
def test_two_wishes_for_registration_are_refused(workplace, tmp_path, capsys):
    flags = ["--skip-registration", "--register-ptychi-only"]
    with pytest.raises(SystemExit, match="2"):
        main([*_arguments(workplace, tmp_path / "out"), *flags])
    assert "not allowed with argument --skip-registration" in capsys.readouterr().err


@pytest.mark.spec("CM-11.2")
def test_an_unreadable_model_is_known_before_the_first_batch(workplace, tmp_path, capsys):
    for name, content in (("bundle.json", b"{"), ("wts.h5.zip", b"PK\x03\x04 and no more")):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_bytes(content)
        assert main(_arguments(workplace, tmp_path / "out", **{"--pinn_dir": folder})) == 2
        assert name in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.spec("CM-5.9")
def test_batch_sizes_are_remembered_only_when_asked(workplace, tmp_path, monkeypatch):
    from autobatch.testing import FixedMemory, inject_oom

    monkeypatch.setattr("autobatch._first_size.as_probe", lambda device: FixedMemory(8 << 30))
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


@pytest.mark.spec("CM-6.6")
@pytest.mark.spec("CM-11.2")
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_an_impossible_canvas_is_known_before_the_first_batch(
    workplace, tmp_path, monkeypatch, capsys, flags
):
    from ptycho.stitching import _memory

    monkeypatch.setattr(_memory, "_SURELY_FREE_BYTES", 1000)
    monkeypatch.setattr(_memory, "device_memory", lambda device: SimpleNamespace(free_bytes=2000))
    assert main([*_arguments(workplace, tmp_path / "out"), *flags]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "pixels needs 0.0 GiB but 0.0 GiB are free; the most extreme position is index" in last
    assert not (tmp_path / "out").exists()


@pytest.mark.spec("CM-11.4")
def test_ctrl_c_in_the_second_arm_keeps_the_first(workplace, tmp_path, monkeypatch, capsys):
    original = arms.reconstruct

    def interrupted(model, scan, settings, **options):
        if options["label"] == "Baseline":
            raise KeyboardInterrupt
        return original(model, scan, settings, **options)

    monkeypatch.setattr(arms, "reconstruct", interrupted)
    output = tmp_path / "out"
    assert main([*_arguments(workplace, output), "--tike_recon_path", str(workplace / "epie.npz")]) == 130
    last = capsys.readouterr().err.strip().splitlines()[-1]
    kept = f"stopped by Ctrl-C; PtychoPINN kept in {output}, Baseline, ePIE not finished."
    assert last == f"compare-models: error: {kept}"
    report = _report(output)
    assert [arm["label"] for arm in report["arms"]] == ["PtychoPINN"]
    assert [failure["label"] for failure in report["failures"]] == ["Baseline", "ePIE"]
    assert (output / "reconstructions.npz").is_file()


@pytest.mark.spec("CM-11.4")
def test_ctrl_c_in_the_first_arm_says_that_nothing_is_finished(workplace, tmp_path, monkeypatch, capsys):
    def interrupted(model, scan, settings, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(arms, "reconstruct", interrupted)
    assert main(_arguments(workplace, tmp_path / "out")) == 130
    assert capsys.readouterr().err.endswith("stopped by Ctrl-C before anything was finished\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["logs"]


def _interrupt(*positional, **named):
    raise KeyboardInterrupt


def _models_only(folder, output):
    return [*_arguments(folder, output), "--no-self-consistency"]


@pytest.mark.spec("CM-11.4")
def test_ctrl_c_while_scoring_keeps_the_images(workplace, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Scorer, "_scored", _interrupt)
    output = tmp_path / "out"
    assert main(_models_only(workplace, output)) == 130
    last = capsys.readouterr().err.strip().splitlines()[-1]
    kept = f"stopped by Ctrl-C; PtychoPINN, Baseline kept in {output}, PtychoPINN, Baseline not scored."
    assert last == f"compare-models: error: {kept}"
    assert [arm["metrics"] for arm in _report(output)["arms"]] == [None, None]
    with np.load(output / "reconstructions.npz") as arrays:
        assert np.abs(arrays["baseline_complex"]).max() > 0


@pytest.mark.spec("CM-11.4")
@pytest.mark.parametrize("where", ["ptycho.report.figures.draw_errors", "ptycho.report.tables.write_table"])
def test_ctrl_c_while_writing_leaves_out_the_plots_only(workplace, tmp_path, monkeypatch, capsys, where):
    import importlib

    module, name = where.rsplit(".", 1)
    original = getattr(importlib.import_module(module), name)
    calls = []

    def once(*positional, **named):
        calls.append(1)
        return _interrupt() if len(calls) == 1 else original(*positional, **named)

    monkeypatch.setattr(where, once)
    output = tmp_path / "out"
    assert main(_models_only(workplace, output)) == 130
    last = capsys.readouterr().err.strip().splitlines()[-1]
    kept = f"stopped by Ctrl-C; PtychoPINN, Baseline kept in {output}, the plots not finished."
    assert last == f"compare-models: error: {kept}"
    assert "PtychoPINN,ssim," in (output / "comparison_metrics.csv").read_text()
    assert (output / "reconstructions.npz").is_file()
    assert not list(output.glob("*.png"))
    assert not list(output.glob(".unfinished*"))


@pytest.mark.spec("CM-11.4")
def test_ctrl_c_after_a_failed_arm_keeps_its_reason(workplace, tmp_path, monkeypatch, capsys):
    def stopped(model, scan, settings, **options):
        raise KeyboardInterrupt if options["label"] == "Baseline" else MemoryError("too large")

    monkeypatch.setattr(arms, "reconstruct", stopped)
    output = tmp_path / "out"
    assert main(_arguments(workplace, output)) == 130
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == (
        f"compare-models: error: stopped by Ctrl-C; the report kept in {output}, Baseline not finished. "
        "PtychoPINN failed: out of memory: too large"
    )
    assert [failure["label"] for failure in _report(output)["failures"]] == ["PtychoPINN", "Baseline"]


@pytest.mark.parametrize("error", [MemoryError("too large"), KeyboardInterrupt()], ids=["fails", "stopped"])
def test_a_run_without_any_image_leaves_an_earlier_one_as_it_was(
    workplace, tmp_path, monkeypatch, capsys, error
):
    def ends(model, scan, settings, **options):
        raise error

    output = tmp_path / "out"
    assert main(_models_only(workplace, output)) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    monkeypatch.setattr(arms, "reconstruct", ends)
    code = main([*_models_only(workplace, output), "--overwrite"])
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()} == before
    said = capsys.readouterr().err.strip().splitlines()[-1]
    if isinstance(error, KeyboardInterrupt):
        assert code == 130
        assert "stopped by Ctrl-C before any" in said
    else:
        assert code == 1
        assert "PtychoPINN failed: out of memory: too large" in said


@pytest.mark.spec("CM-9.7")
def test_a_full_disk_leaves_every_file_of_an_earlier_run(workplace, tmp_path, monkeypatch, capsys):
    def full(path, members):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", "somewhere")

    output = tmp_path / "out"
    assert main(_models_only(workplace, output)) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    assert {"comparison_plot.png", "comparison_metrics.csv", "run_report.json"} <= before.keys()
    monkeypatch.setattr("ptycho.report._artifacts.write_archive", full)
    again = [*_models_only(workplace, output), "--overwrite", "--stitch-crop-size", "24"]
    assert main(again) == 1
    assert "free some space" in capsys.readouterr().err.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()} == before
    assert not list(output.glob(".unfinished*"))


@pytest.mark.spec("CM-9.11")
def test_a_page_that_cannot_be_made_costs_itself_alone_and_none_is_made_unasked(
    workplace, tmp_path, monkeypatch, capsys
):
    def failing(folder):
        raise RuntimeError("no template")

    monkeypatch.setattr("ptycho.report.write_page", failing)
    output = tmp_path / "out"
    assert main(_models_only(workplace, output)) == 1
    assert "the page failed: RuntimeError: no template" in capsys.readouterr().err
    (failure,) = _report(output)["failures"]
    assert (failure["label"], failure["kind"]) == ("the page", "failed")
    assert (output / "comparison_plot.png").is_file()
    assert main([*_models_only(workplace, output), "--overwrite", "--no-html"]) == 0


@pytest.mark.spec("CM-11.3")
def test_plots_that_cannot_be_drawn_cost_no_data(workplace, tmp_path, monkeypatch, capsys):
    def too_large(*positional, **named):
        raise MemoryError

    monkeypatch.setattr("ptycho.report.figures.draw_errors", too_large)
    assert main(_models_only(workplace, tmp_path / "out")) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "compare-models: error: the plots failed: out of memory"
    assert "PtychoPINN,ssim," in (tmp_path / "out" / "comparison_metrics.csv").read_text()


@pytest.mark.spec("CM-11.3")
def test_a_dump_that_cannot_be_finished_costs_no_arm(workplace, tmp_path, monkeypatch, capsys):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ptycho.report.patch_dump.PatchDump.finish", full)
    output = tmp_path / "out"
    assert main([*_models_only(workplace, output), "--baseline-debug-limit", "70"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "the dump of the baseline failed: [Errno 28] No space left on device" in last
    assert [arm["label"] for arm in _report(output)["arms"]] == ["PtychoPINN", "Baseline"]
    assert not list((output / "baseline_debug").iterdir())


@pytest.mark.spec("CM-8.9")
@pytest.mark.spec("CM-9.9")
def test_the_older_convention_and_debug_images_reach_every_file(workplace, tmp_path, capsys, pictures):
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


@pytest.mark.spec("CM-4.6")
@pytest.mark.spec("CM-9.10")
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
    assert "already holds results (patches.npz, patches_statistics.json)" in capsys.readouterr().err


@pytest.mark.spec("CM-9.10")
def test_a_dump_in_the_output_folder_is_not_overwritten_unasked(workplace, tmp_path, capsys):
    dump = tmp_path / "out" / "baseline_debug" / "patches.npz"
    dump.parent.mkdir(parents=True)
    dump.write_text("precious")
    assert main(_arguments(workplace, tmp_path / "out", **{"--baseline-debug-limit": 7})) == 2
    assert "baseline_debug already holds results (patches.npz)" in capsys.readouterr().err
    assert dump.read_text() == "precious"


@pytest.mark.spec("CM-8.11")
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


@pytest.mark.spec("CM-8.12")
def test_the_verdict_needs_no_truth_and_can_be_left_out(workplace, tmp_path, capsys):
    blind = {"--test_data": workplace / "blind.npz", "--stitch-crop-size": 40}
    with_it, without = tmp_path / "with", tmp_path / "without"
    assert main([*_arguments(workplace, with_it, **blind), "--no-self-consistency"]) == 0
    assert "verdict of the frames" in capsys.readouterr().out
    assert "PtychoPINN,r_factor_patches,,," in (with_it / "comparison_metrics.csv").read_text()
    arm = _report(with_it)["arms"][0]
    assert arm["verdict"]["patches"]["n_frames"] == arm["prediction"]["n_items"]
    assert arm["seconds"]["verdict"] > 0
    assert main([*_arguments(workplace, without, **blind), "--no-self-consistency", "--no-verdict"]) == 0
    assert "verdict of the frames" not in capsys.readouterr().out
    assert _report(without)["arms"][0]["verdict"] is None
    assert "r_factor" not in (without / "comparison_metrics.csv").read_text()


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


@pytest.mark.spec("CM-2.2")
@pytest.mark.spec("CM-2.4")
@pytest.mark.spec("CM-11.2")
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


@pytest.mark.spec("CM-1.2")
@pytest.mark.spec("CM-1.3")
@pytest.mark.spec("CM-2.6")
@pytest.mark.spec("CM-3.3")
@pytest.mark.spec("CM-5.8")
@pytest.mark.spec("CM-6.2")
@pytest.mark.spec("CM-9.5")
@pytest.mark.spec("CM-11.2")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--test_data": "nowhere.npz"}, "nowhere.npz"),
        ({"--n-test-subsample": 5000}, "ask for 1 to"),
        ({"--stitch-crop-size": 65}, "0 < M <= N = 64"),
        ({"--pinn_dir": "empty"}, "empty holds no model"),
        ({"--pinn_dir": "nowhere"}, "nowhere does not exist; name a model's folder"),
        ({"--pinn_dir": "scan.npz"}, "scan.npz is no model but a pinn is wanted"),
        ({"--pinn_dir": "baseline"}, "holds a baseline but a pinn is wanted"),
        ({"--tike_recon_path": "pinn"}, "--tike_recon_path is the folder"),
        ({"--p_min": 95}, "p_min"),
        ({"--baseline_dir": None}, "--baseline_dir must be given"),
        ({"--n-test-groups": 500, "--n-test-subsample": 20}, "--n-test-groups 1 to 20"),
        ({"--baseline_dir": None, "--arm": "a=.", "--baseline-debug-limit": 3}, "look into the baseline"),
        ({"--device": "GPU:7"}, "GPU:7"),
        ({"--batch-memo": "."}, "is a folder"),
        ({"--batch-memo": "nowhere/sizes.json"}, "nowhere does not exist"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(workplace, tmp_path, monkeypatch, capsys, changes, words):
    monkeypatch.chdir(workplace)
    assert main(_arguments(workplace, tmp_path / "out", **changes)) == 2
    error = capsys.readouterr().err.strip()
    assert words in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.spec("CM-5.9")
@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"schema": "autobatch-memo-1", "entries": {"a": null}}', "mine"]
)
def test_a_memo_that_is_none_is_ignored_with_a_warning_and_left_alone(workplace, tmp_path, capsys, content):
    memo = tmp_path / "memo.json"
    memo.write_text(content)
    words = [*_arguments(workplace, tmp_path / "out", **{"--batch-memo": memo}), "--dry-run"]
    assert main(words) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "no memo" in line]
    assert warning.startswith("warning: batch sizes are neither recalled nor remembered: ")
    assert f"{memo} is no memo of batch sizes" in warning
    assert memo.read_text() == content


@pytest.mark.spec("CM-2.11")
def test_an_output_folder_beneath_a_file_is_refused(workplace, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(_arguments(workplace, tmp_path / "file" / "out")) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.spec("CM-5.1")
@pytest.mark.spec("CM-6.2")
@pytest.mark.parametrize(
    "flags",
    [
        ["--stitch-crop-size", "abc"],
        ["--stitch-crop-size", "0"],
        ["--stitch-batch-size", "many"],
        ["--pinn-chunk-size", "0"],
        ["--pinn_phase_vmin", "nan"],
        ["--baseline_phase_vmax", "inf"],
        ["--figure-dpi", "1201"],
        ["--figure-format", "jpg"],
    ],
)
def test_words_for_numbers_are_refused_by_the_parser(workplace, tmp_path, capsys, flags):
    with pytest.raises(SystemExit) as caught:
        main([*_arguments(workplace, tmp_path / "out"), *flags])
    assert caught.value.code == 2
    assert flags[1] in capsys.readouterr().err


@pytest.mark.spec("CM-9.8")
def test_the_log_begins_with_what_was_run_and_says_stitching_once(workplace, tmp_path, capsys):
    """And text of any script is carried from the arguments to every output."""
    label, output = "Ä 結晶 [lr 1e-3]", tmp_path / "ö 結"
    words = _arguments(workplace, output, **{"--pinn_dir": None, "--baseline_dir": None})
    arm = ["--arm", f"{label}={workplace / 'baseline'}", "--n-test-subsample", "40"]
    assert main([*words, *arm]) == 0
    assert label in capsys.readouterr().out
    assert f"{label},ssim," in (output / "comparison_metrics.csv").read_text(encoding="utf-8")
    assert [arm["label"] for arm in _report(output)["arms"]] == [label]
    assert f"{label}={workplace / 'baseline'}" in _report(output)["run"]["command"]

    lines = (output / "logs" / "debug.log").read_text(encoding="utf-8").splitlines()
    assert f"command: compare-models --test_data {workplace / 'scan.npz'}" in lines[0]
    assert label in lines[0]
    assert sum(f"input: {workplace}" in line for line in lines[:10]) == 3
    assert f"input: {workplace / 'scan.npz'}: " in "".join(lines[:10])
    assert sum("stitching: batch size" in line for line in lines) == 1
    assert sum("INFO" in line and f"{label}: batch size " in line for line in lines) == 1
