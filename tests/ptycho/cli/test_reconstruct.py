"""`ptycho-reconstruct` from the outside: what it writes, says and refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
from complex_objects import analytic_object
from matplotlib.figure import Figure

from autobatch.testing import inject_oom
from ptycho.cli.convert import main as convert
from ptycho.cli.reconstruct import main
from ptycho.comparison import load_arm
from ptycho.data import (
    ScanGeometry,
    SimulationSettings,
    read_npz,
    read_reconstruction,
    simulate,
    write_npz,
)
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.reconstruction import InferenceSettings, reconstruct


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reconstruct")
    scan = simulate(SimulationSettings(object_shape_yx=(120, 140), n_lines=12, step_px=8.0, seed=4))
    write_npz(folder / "scan.npz", scan)
    np.savez(
        folder / "epie.npz",
        reconstructed_object=analytic_object((70, 90)),
        reconstructed_probe=scan.probe,
        algorithm="ePIE",
    )
    architecture = Architecture(kind="pinn", patch_size=64, gridsize=2, n_filters_scale=0.25)
    save_bundle(folder / "pinn", PatchModel(build_network(architecture), architecture))
    return folder


def _arguments(folder, output, *flags, **changes):
    values = {"model_dir": folder / "pinn", "test_data": folder / "scan.npz", "output_dir": output} | changes
    return [*(str(word) for name, value in values.items() for word in (f"--{name}", value)), *flags]


def test_the_files_hold_what_the_stream_gives(workplace, tmp_path, capsys, pictures):
    output = tmp_path / "deep" / "out"
    flags = ("--stitch-crop-size", "15", "--predict-batch-size", "16", "--stitch-batch-size", "4")
    assert main(_arguments(workplace, output, *flags)) == 0
    assert {path.name for path in output.iterdir()} == {
        "reconstruction.npz",
        "reconstruction.png",
        "run_report.json",
        "logs",
    }
    scan, arm = read_npz(workplace / "scan.npz"), load_arm(workplace / "pinn")
    expected = reconstruct(
        arm.model, scan, InferenceSettings(crop_size=15, predict_batch_size=16, self_consistency=True)
    ).image
    found = read_reconstruction(output / "reconstruction.npz")
    np.testing.assert_array_equal(found.object, expected.values)
    np.testing.assert_array_equal(found.coverage, expected.coverage)
    assert found.origin_in(scan) == expected.origin_yx
    assert found.label == "PtychoPINN"
    (reported,) = json.loads((output / "run_report.json").read_text())["arms"]
    assert reported["prediction"]["planned_batch_size"] == 16
    assert max(reported["stitching"]["batch_sizes_used"]) == 4
    assert reported["consistency"]["overlap_disagreement"] > 0
    assert "reconstruction.png" in capsys.readouterr().out


def test_ptychopinn_s_words_with_fixed_phase_limits_reach_the_picture(
    workplace, tmp_path, monkeypatch, capsys
):
    asked = []

    def drawn(result, *, options):
        asked.append(options.phase_limits)
        return Figure()

    monkeypatch.setattr("ptycho.report.plot_reconstruction", drawn)
    words = ["--model_path", workplace / "pinn", "--test_data_file", workplace / "scan.npz", "--output-dir"]
    limits = ["--phase_vmin", "-1e-1", "--phase_vmax=2"]
    assert main([*map(str, words), str(tmp_path), *limits, "--backend", "tensorflow"]) == 0
    assert asked == [{"PtychoPINN": (-0.1, 2.0)}]
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: --")]
    assert len(warned) == 3


def test_phase_limits_in_the_wrong_order_are_refused(workplace, tmp_path, capsys):
    assert main(_arguments(workplace, tmp_path, "--phase_vmin", "1", "--phase_vmax", "-1")) == 2
    assert "--phase_vmin is 1 and --phase_vmax -1 but vmin must be the smaller; swap them." in (
        capsys.readouterr().err
    )


def test_its_image_is_an_arm_of_a_comparison_and_lies_where_it_belongs(workplace, tmp_path):
    from ptycho.comparison import ComparisonSettings, compare

    assert main(_arguments(workplace, tmp_path, "--quiet")) == 0
    scan = read_npz(workplace / "scan.npz")
    arms = [load_arm(workplace / "pinn"), load_arm(tmp_path / "reconstruction.npz", "again", scan=scan)]
    first, again = compare(arms, scan, settings=ComparisonSettings(register="none")).arms
    np.testing.assert_array_equal(again.image.covered, first.image.covered)
    np.testing.assert_allclose(again.image.values, first.image.values, atol=2e-6)


@pytest.mark.spec("CM-9.12")
def test_its_image_opens_elsewhere(workplace, tmp_path, capsys):
    flags = ("--quiet", "--export", "product", "tiff")
    assert main(_arguments(workplace, tmp_path / "none", *flags)) == 2
    assert "read the scan with --pixel-size, or export tiff" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    scan = read_npz(workplace / "scan.npz")
    write_npz(tmp_path / "metres.npz", replace(scan, geometry=ScanGeometry(object_pixel_m=5e-8)))
    output = tmp_path / "out"
    assert main(_arguments(workplace, output, *flags, test_data=tmp_path / "metres.npz")) == 0
    assert (output / "reconstruction_phase.tif").exists()
    ours, theirs = (read_reconstruction(output / f"reconstruction.{suffix}") for suffix in ("npz", "h5"))
    np.testing.assert_array_equal(theirs.object, ours.object)
    assert ours.positions_yx is not None
    assert theirs.positions_yx is not None
    np.testing.assert_allclose(theirs.positions_yx, ours.positions_yx, atol=1e-6)


def test_a_truth_in_the_scan_changes_nothing(workplace, tmp_path):
    import dataclasses

    blind = dataclasses.replace(read_npz(workplace / "scan.npz"), object_guess=None)
    write_npz(tmp_path / "blind.npz", blind)
    for name, scan in (("with", workplace / "scan.npz"), ("without", tmp_path / "blind.npz")):
        assert main(_arguments(workplace, tmp_path / name, "--quiet", test_data=scan)) == 0
    images = [read_reconstruction(tmp_path / name / "reconstruction.npz") for name in ("with", "without")]
    np.testing.assert_array_equal(images[0].object, images[1].object)


def test_a_scan_of_another_package_gives_the_image_of_its_conversion_bit_for_bit(workplace, tmp_path):
    scan = read_npz(workplace / "scan.npz")
    counts = np.rint(np.fft.ifftshift(scan.amplitude**2, axes=(1, 2)))
    tike = tmp_path / "tike.npz"
    np.savez(tike, data=counts, scan=scan.positions_yx, probe=scan.probe * 1e-4)
    assert convert([str(tike), str(tmp_path / "own.npz"), "--quiet"]) == 0
    images = []
    for name in ("tike.npz", "own.npz"):
        assert main(_arguments(workplace, tmp_path / name[:-4], "--quiet", test_data=tmp_path / name)) == 0
        images.append(read_reconstruction(tmp_path / name[:-4] / "reconstruction.npz").object)
    np.testing.assert_array_equal(images[0], images[1])


def test_a_dry_run_writes_nothing(workplace, tmp_path, capsys):
    assert main(_arguments(workplace, tmp_path / "out", "--dry-run")) == 0
    assert not (tmp_path / "out").exists()
    assert "nothing was written" in capsys.readouterr().out


def test_results_are_replaced_only_when_asked(workplace, tmp_path, capsys):
    (tmp_path / "reconstruction.png").write_text("precious")
    assert main(_arguments(workplace, tmp_path)) == 2
    assert "already holds results (reconstruction.png); pass --overwrite" in capsys.readouterr().err
    assert (tmp_path / "reconstruction.png").read_text() == "precious"
    wanted = ("--figure-format", "svg", "png", "--figure-dpi", "20")
    assert main(_arguments(workplace, tmp_path, "--overwrite", "--quiet", *wanted)) == 0
    assert (tmp_path / "reconstruction.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "reconstruction.svg").exists()


@pytest.mark.parametrize(
    ("flags", "changes", "words"),
    [
        ((), {"model_dir": "nowhere"}, "nowhere"),
        ((), {"model_dir": "."}, "holds no model"),
        ((), {"test_data": "nowhere.npz"}, "nowhere.npz"),
        (("--stitch-crop-size", "65"), {}, "0 < M <= N = 64"),
        (("--p_min", "95"), {}, "p_min must be the smaller"),
        (("--device", "GPU:7"), {}, "GPU:7"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(workplace, tmp_path, capsys, flags, changes, words):
    assert main(_arguments(workplace, tmp_path / "out", *flags, **changes)) == 2
    error = capsys.readouterr().err.strip()
    assert words in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_finished_image_is_no_model(workplace, tmp_path, capsys):
    assert main(_arguments(workplace, tmp_path / "out", model_dir=workplace / "epie.npz")) == 2
    assert "epie.npz is no model; name the folder of a training run" in capsys.readouterr().err


def test_what_does_not_fit_exits_with_1_and_leaves_no_result(workplace, tmp_path, capsys):
    with inject_oom(at=range(50), label="PtychoPINN"):
        assert main(_arguments(workplace, tmp_path / "out")) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("ptycho-reconstruct: error: PtychoPINN failed:")
    assert "predict-batch-size" in last
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["logs"]


def test_a_refined_image_lies_beside_the_unrefined_one(workplace, tmp_path, pictures):
    from ptycho.refinement import RefinementSettings, refine

    assert main(_arguments(workplace, tmp_path, "--quiet", "--refine", "1")) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "reconstruction.npz",
        "reconstruction.png",
        "refined.npz",
        "refined.png",
        "run_report.json",
        "logs",
    }
    scan = read_npz(workplace / "scan.npz")
    made = reconstruct(
        load_arm(workplace / "pinn").model, scan, InferenceSettings(self_consistency=True)
    ).image
    run = refine(made, scan, RefinementSettings())
    refined = read_reconstruction(tmp_path / "refined.npz")
    np.testing.assert_array_equal(refined.object, run.image.values)
    assert refined.label == "PtychoPINN + 1 sweep"
    assert [arm["label"] for arm in json.loads((tmp_path / "run_report.json").read_text())["arms"]] == [
        "PtychoPINN",
        "PtychoPINN + 1 sweep",
    ]
