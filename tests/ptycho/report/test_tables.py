"""The files of a comparison: every key and column, and nothing half-written."""

import csv
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import made_results as made
import numpy as np
import pytest
from legacy_scores import plain_ms_ssim

from ptycho._io.archive_writing import write_archive
from ptycho._io.atomic import staged_files
from ptycho.evaluation import ChannelPair, FrcCurve, compare_images
from ptycho.evaluation.frc import compute_frc
from ptycho.evaluation.similarity import multi_scale_ssim
from ptycho.evaluation.verdict import Cause
from ptycho.models import Familiarity
from ptycho.report import ArtifactOptions, _artifacts, artifact_bytes, tables, write_artifacts
from ptycho.report.names import ArmPrefixes, arm_prefixes
from ptycho.report.page._record import shown
from ptycho.report.page._tables import read_figures


@pytest.fixture(scope="module")
def result():
    return made.comparison(made.model_arm(), made.model_arm("Baseline", seed=5), made.finished_arm())


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def _metric_table(folder):
    header, *rows = _rows(folder / "comparison_metrics.csv")
    assert header == ["model", "metric", "amplitude", "phase", "value"]
    return {(model, metric): tuple(cells) for model, metric, *cells in rows}


@pytest.mark.spec("CM-9.7")
def test_every_promised_file_is_written_and_the_report_comes_last(result, tmp_path):
    files = write_artifacts(result, tmp_path / "new" / "folder")
    assert [file.name for file in files] == [
        "baseline_frc_curves.csv",
        "comparison_metrics.csv",
        "epie_frc_curves.csv",
        "half_set_frc_curves.csv",
        "pinn_frc_curves.csv",
        "reconstructions.npz",
        "reconstructions_aligned.npz",
        "run_report.json",
    ]
    assert sorted(files) == sorted((tmp_path / "new" / "folder").iterdir())
    later_in_the_alphabet = write_artifacts(made.comparison(made.finished_arm("Tike")), tmp_path / "other")
    assert later_in_the_alphabet[-1].name == "run_report.json"


@pytest.mark.spec("CM-9.3")
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("aligned", [True, False])
def test_each_npz_can_be_switched_off_by_itself(result, tmp_path, raw, aligned):
    write_artifacts(result, tmp_path, options=ArtifactOptions(save_npz=raw, save_npz_aligned=aligned))
    assert (tmp_path / "reconstructions.npz").exists() is raw
    assert (tmp_path / "reconstructions_aligned.npz").exists() is aligned


@pytest.mark.spec("CM-9.1")
def test_the_metrics_table_is_tidy_with_six_decimals(result, tmp_path):
    write_artifacts(result, tmp_path)
    table = _metric_table(tmp_path)
    assert table["PtychoPINN", "mae"] == ("0.125000", "100.000000", "")
    assert table["PtychoPINN", "frc1over7"] == ("6.125000", "106.000000", "")
    assert table["ePIE", "ssim"] == ("3.500000", "203.000000", "")
    assert table["PtychoPINN", "registration_offset_dy"] == ("", "", "0.250000")
    assert table["PtychoPINN", "registration_offset_dx"] == ("", "", "-1.500000")
    assert table["PtychoPINN", "computation_time_s"] == ("", "", "13.750000")
    assert table["PtychoPINN", "ms_ssim_scales"] == ("", "", "2.000000")
    assert table["Baseline", "metric_convention_standard"] == ("", "", "1.000000")


def test_what_needs_no_truth_is_in_the_table_and_the_arrays(tmp_path):
    arms = made.model_arm(metrics=None), made.finished_arm(metrics=None)
    write_artifacts(made.comparison(*arms, truth=False), tmp_path)
    table, consistency = _metric_table(tmp_path), arms[0].consistency
    assert table["PtychoPINN", "overlap_disagreement"] == (
        "",
        "",
        f"{consistency.overlap_disagreement:.6f}",
    )
    assert table["PtychoPINN", "patches_per_pixel_median"] == ("", "", "3.000000")
    assert table["PtychoPINN", "covered_fraction"] == ("", "", f"{1 - 9 * 13 / (40 * 56):.6f}")
    frc = consistency.half_set_frc
    for name, cutoff in (("frc1over7", "one_seventh"), ("frc_one_bit", "one_bit")):
        expected = [f"{getattr(c.cutoffs, cutoff).frequency:.6f}" for c in (frc.amplitude, frc.phase)]
        assert table["PtychoPINN", f"half_set_{name}"] == (*expected, "")
        spread = consistency.cutoff_spread(cutoff)
        expected = f"{spread.amplitude:.6f}", f"{spread.phase:.6f}"
        assert table["PtychoPINN", f"half_set_{name}_spread"] == (*expected, "")
    assert not [metric for _, metric in table if metric.startswith("half_set_frc50")]
    assert {metric for model, metric in table if model == "ePIE"} == {"covered_fraction"}
    rows = _rows(tmp_path / "half_set_frc_curves.csv")[1:]
    assert {row[0] for row in rows} == {"PtychoPINN"}
    np.testing.assert_allclose([float(row[3]) for row in rows], frc.phase.correlation, atol=5e-7)
    with np.load(tmp_path / "reconstructions.npz") as arrays:
        np.testing.assert_array_equal(arrays["ptychopinn_overlap_variance"], consistency.overlap_variance)
        for number, half in enumerate(consistency.halves, start=1):
            np.testing.assert_array_equal(arrays[f"ptychopinn_half_{number}_complex"], half)
        assert not [key for key in arrays.files if key.startswith("epie_half")]


@pytest.mark.spec("CM-8.12")
def test_the_verdict_is_in_the_table_and_its_maps_in_the_arrays(tmp_path):
    uncounted = made.misfit(None, noise_r_factor=None)
    unknown = made.verdict(image=uncounted, patches=None, constant=uncounted, cause="unknown")
    arms = made.model_arm(verdict=made.verdict()), made.finished_arm(verdict=unknown)
    write_artifacts(made.comparison(*arms), tmp_path)
    table = _metric_table(tmp_path)
    assert table["PtychoPINN", "chi2_image"] == ("", "", "9.800000")
    assert table["PtychoPINN", "chi2_patches"] == ("", "", "1.850000")
    assert table["PtychoPINN", "r_factor_constant"] == ("", "", "0.225000")
    assert table["PtychoPINN", "r_factor_image_noise"] == ("", "", "0.080000")
    assert table["PtychoPINN", "unexplained_patches"] == ("", "", "0.012500")
    assert table["PtychoPINN", "judged_fraction"] == ("", "", "0.800000")
    assert table["PtychoPINN", "verdict_positions"] == ("", "", "1.000000")
    known = {metric for model, metric in table if model == "ePIE"}
    assert {"r_factor_image", "verdict_unknown"} <= known
    assert not {"chi2_image", "chi2_constant", "r_factor_image_noise", "r_factor_patches"} & known
    with np.load(tmp_path / "reconstructions.npz") as arrays:
        expected = made.misfit(1.0)
        np.testing.assert_array_equal(arrays["ptychopinn_misfit_image_detector"], expected.detector_map)
        np.testing.assert_array_equal(arrays["ptychopinn_misfit_patches_object"], expected.object_map)
        np.testing.assert_array_equal(arrays["epie_misfit_image_origin_yx"], [9.5, 13.25])
        assert "epie_misfit_patches_object" not in arrays.files


@pytest.mark.parametrize("convention", ["standard", "ptychopinn"])
def test_debug_images_give_the_very_figures(tmp_path, convention):
    truth, arm = made.image(), made.model_arm()
    scored = compare_images(arm.aligned.values, truth, convention=convention, ms_ssim_sigma=0.7)
    arms = made.model_arm(metrics=scored), made.finished_arm(metrics=None)
    result = made.comparison(*arms, metric_convention=convention, ms_ssim_sigma=0.7)
    write_artifacts(result, tmp_path, options=ArtifactOptions(save_debug_images=True))
    assert [path.name for path in tmp_path.glob("*_debug_images.npz")] == ["pinn_debug_images.npz"]
    with np.load(tmp_path / "pinn_debug_images.npz") as file:
        arrays = dict(file)
    for channel in ("amplitude", "phase"):
        images = arrays[f"ms_ssim_{channel}"], arrays[f"ms_ssim_true_{channel}"]
        found = getattr(scored.ms_ssim, channel)
        assert found == pytest.approx(_ms_ssim_of[convention](*images), rel=1e-6)
        spectra = [np.fft.fft2(arrays[f"frc_{true}{channel}"]) for true in ("", "true_")]
        curve = getattr(scored.frc, channel).correlation
        np.testing.assert_allclose(_curve_of[convention](*spectra), curve[2], rtol=1e-9)
    write_artifacts(result, tmp_path)
    assert not list(tmp_path.glob("*_debug_images.npz"))


def _third_ring(spectra, *, first_radius, last_radius, signed):
    """Correlation over the Fourier pixels whose radius, in pixels of the shorter side, lies in between."""
    shape = spectra[0].shape
    radius = min(shape) * np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    ring = (radius > first_radius - 1e-9) & (radius < last_radius - 1e-9)
    first, second = (spectrum[ring] for spectrum in spectra)
    cross = (first * second.conj()).sum()
    power = (np.abs(first) ** 2).sum() * (np.abs(second) ** 2).sum()
    return (cross.real if signed else abs(cross)) / power**0.5


_curve_of = {
    "standard": lambda *spectra: _third_ring(spectra, first_radius=3, last_radius=4, signed=True),
    "ptychopinn": lambda *spectra: _third_ring(spectra, first_radius=1.5, last_radius=2.5, signed=False),
}
_ms_ssim_of = {
    "standard": lambda image, truth: multi_scale_ssim(image, truth, data_range=np.ptp(truth)).value,
    "ptychopinn": plain_ms_ssim,
}


def test_the_bit_cut_offs_are_those_of_the_curves(result, tmp_path):
    write_artifacts(result, tmp_path)
    curves = result.arms[0].metrics.frc
    expected = tuple(f"{c.cutoffs.half_bit.frequency:.6f}" for c in (curves.amplitude, curves.phase))
    assert _metric_table(tmp_path)["PtychoPINN", "frc_half_bit"] == (*expected, "")


def test_cut_offs_are_told_as_half_periods_too(result, tmp_path):
    write_artifacts(result, tmp_path)
    arm, table = result.arms[0], _metric_table(tmp_path)
    for prefix, curves in (("", arm.metrics.frc), ("half_set_", arm.consistency.half_set_frc)):
        frequencies = [c.cutoffs.one_seventh.frequency for c in (curves.amplitude, curves.phase)]
        expected = tuple(f"{0.5 / frequency:.6f}" for frequency in frequencies)
        assert table["PtychoPINN", f"{prefix}frc1over7_half_period_px"] == (*expected, "")


@pytest.mark.spec("CM-8.8")
def test_a_collapse_and_a_failed_registration_are_rows(tmp_path):
    failed = made.registration((40.0, 3.0), failure="too far")
    arms = made.collapsed_arm("constant"), made.finished_arm(registration=failed)
    write_artifacts(made.comparison(*arms), tmp_path)
    table = _metric_table(tmp_path)
    assert table["PtychoPINN", "collapsed"] == table["ePIE", "registration_failed"] == ("", "", "1.000000")
    assert {("ePIE", "collapsed"), ("PtychoPINN", "registration_failed")}.isdisjoint(table)


@pytest.mark.spec("CM-8.7")
def test_what_is_not_defined_has_no_row_and_no_nan(tmp_path):
    scored = made.metrics(
        amplitude=0.125, phase=1.0, ssim=ChannelPair(None, 0.5), psnr=ChannelPair(None, None), frc=None
    )
    arms = (
        made.model_arm(metrics=scored, registration=None, consistency=None, seconds={}),
        made.finished_arm(metrics=None),
    )
    write_artifacts(made.comparison(*arms), tmp_path)
    table = _metric_table(tmp_path)
    assert table["PtychoPINN", "ssim"] == ("", "0.500000", "")
    metrics = {metric for _, metric in table}
    assert metrics.isdisjoint(
        {"psnr", "frc_half_bit", "frc_one_bit", "registration_offset_dy", "computation_time_s"}
    )
    assert {metric for model, metric in table if model == "ePIE"} == {"covered_fraction"}
    assert not list(tmp_path.glob("*_frc_curves.csv"))
    assert "nan" not in (tmp_path / "comparison_metrics.csv").read_text().lower()


def test_a_rejected_registration_is_not_reported_as_an_offset(tmp_path):
    arm = made.model_arm(registration=made.registration((40.0, 3.0), failure="too far"))
    write_artifacts(made.comparison(arm), tmp_path)
    assert not [key for key in _metric_table(tmp_path) if "offset" in key[1]]
    with np.load(tmp_path / "reconstructions_aligned.npz") as arrays:
        assert np.isnan(arrays["pinn_offset_dy"])


@pytest.mark.spec("CM-9.2")
def test_frc_tables_hold_the_curves_with_empty_cells_where_nothing_is_heard(tmp_path):
    scored = made.metrics(amplitude=0.0, phase=0.0)
    correlation = scored.frc.phase.correlation.copy()
    correlation[1] = np.nan
    curves = replace(scored.frc, phase=FrcCurve(correlation, scored.frc.phase.cutoffs))
    write_artifacts(made.comparison(made.model_arm(metrics=replace(scored, frc=curves))), tmp_path)
    header, *rows = _rows(tmp_path / "pinn_frc_curves.csv")
    assert header == ["model", "frequency_bin", "amplitude_frc", "phase_frc"]
    assert {row[0] for row in rows} == {"PtychoPINN"}
    assert rows[1][3] == ""
    numbers = np.array([row[1:3] for row in rows], float)
    np.testing.assert_allclose(numbers[:, 0], curves.frequency, atol=5e-7)
    np.testing.assert_allclose(numbers[:, 1], curves.amplitude.correlation, atol=5e-7)


@pytest.mark.spec("CM-9.3")
def test_raw_arrays_are_the_images_in_plain_types(result, tmp_path):
    write_artifacts(result, tmp_path)
    with np.load(tmp_path / "reconstructions.npz", allow_pickle=False) as file:
        arrays = dict(file)
    arm = result.arms[1]
    np.testing.assert_array_equal(arrays["baseline_complex"], arm.image.values)
    np.testing.assert_array_equal(arrays["baseline_amplitude"], np.abs(arm.image.values))
    np.testing.assert_array_equal(arrays["baseline_phase"], np.angle(arm.image.values))
    np.testing.assert_array_equal(arrays["ptychopinn_coverage"], result.arms[0].image.coverage)
    np.testing.assert_array_equal(arrays["epie_covered"], result.arms[2].image.covered)
    np.testing.assert_array_equal(arrays["ground_truth_complex"], result.truth)
    np.testing.assert_array_equal(arrays["window"], [7, 47, 11, 67])
    assert {array.dtype.kind for array in arrays.values()} <= set("cfbi")
    assert not [key for key in arrays if "offset" in key]


@pytest.mark.spec("CM-9.3")
def test_aligned_arrays_say_by_how_much_they_were_moved(result, tmp_path):
    write_artifacts(result, tmp_path)
    with np.load(tmp_path / "reconstructions_aligned.npz", allow_pickle=False) as file:
        arrays = dict(file)
    np.testing.assert_array_equal(arrays["ptychopinn_complex"], result.arms[0].aligned.values)
    np.testing.assert_array_equal(arrays["scored"], result.scored)
    assert (arrays["pinn_offset_dy"], arrays["pinn_offset_dx"]) == (0.25, -1.5)
    assert arrays["baseline_offset_dx"].dtype == np.float64
    # Not registered: NaN, neither 0 nor a pickled None.
    assert np.isnan(arrays["epie_offset_dy"])


def test_without_a_truth_there_is_none_in_the_files(tmp_path):
    arm = made.model_arm(metrics=None, registration=None, consistency=None, verdict=None)
    write_artifacts(made.comparison(arm, truth=False), tmp_path)
    with np.load(tmp_path / "reconstructions.npz") as arrays:
        assert not [key for key in arrays.files if key.startswith("ground_truth")]
        assert "ptychopinn_complex" in arrays.files
    metrics = {metric for _, metric in _metric_table(tmp_path)}
    assert metrics == {"computation_time_s", "covered_fraction", "patches_per_pixel_median"}


@pytest.mark.spec("CM-9.3")
def test_an_object_array_can_never_be_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_archive(tmp_path / "x.npz", iter([("offset", np.array(None, object))]))


def test_only_one_array_of_an_npz_is_alive_at_a_time(tmp_path):
    alive, peak = set(), 0

    class Counted(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def arrays():
        nonlocal peak
        for key in "abc":
            array = np.ones((3, 5)).view(Counted)
            alive.add(id(array))
            peak = max(peak, len(alive))
            yield key, array
            del array

    write_archive(tmp_path / "x.npz", arrays())
    assert peak <= 2
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert archive.namelist() == ["a.npy", "b.npy", "c.npy"]


@pytest.mark.spec("CM-9.7")
def test_a_failure_halfway_leaves_the_earlier_results_untouched(result, tmp_path, monkeypatch):
    write_artifacts(result, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    # Tables and the first NPZ of the new run are finished when the report fails.
    monkeypatch.setattr(_artifacts, "run_report", lambda *_, **__: {"not finite": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_artifacts(made.comparison(made.model_arm("other")), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.spec("CM-9.7")
def test_results_of_an_earlier_run_do_not_survive_beside_new_ones(result, tmp_path):
    write_artifacts(result, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    arm = made.model_arm("Baseline", consistency=None)
    write_artifacts(made.comparison(arm), tmp_path, options=ArtifactOptions(save_npz=False))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "baseline_frc_curves.csv",
        "comparison_metrics.csv",
        "notes.txt",
        "reconstructions_aligned.npz",
        "run_report.json",
    ]


def test_nothing_appears_before_a_stage_is_complete(tmp_path):
    with staged_files(tmp_path) as stage:
        (stage / "a.txt").write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_interrupted_stage_vanishes(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def stop_halfway():
        with staged_files(tmp_path, replaces=["*.txt"]) as stage:
            (stage / "a.txt").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.spec("CM-9.2")
def test_the_two_classic_arms_have_fixed_prefixes_and_others_a_slug():
    arms = made.model_arm(), made.model_arm("Baseline"), made.finished_arm("pty-chi (ePIE)")
    assert arm_prefixes(arms) == {
        "PtychoPINN": ArmPrefixes("pinn", "ptychopinn"),
        "Baseline": ArmPrefixes("baseline", "baseline"),
        "pty-chi (ePIE)": ArmPrefixes("pty_chi_epie", "pty_chi_epie"),
    }


def test_no_two_arms_share_a_prefix_nor_take_that_of_the_truth():
    labels = ["Ground truth", "PINN", "my arm", "my-arm", "My Arm", "..", "重建", "x" * 300]
    slugs = [
        prefixes.file for prefixes in arm_prefixes([made.finished_arm(each) for each in labels]).values()
    ]
    assert slugs == ["ground_truth_2", "pinn_2", "my_arm", "my_arm_2", "my_arm_3", "arm", "arm_2", "x" * 60]


def test_of_two_arms_in_one_role_the_first_has_its_prefixes():
    arms = made.model_arm("new", role="pinn"), made.model_arm("old", role="pinn")
    assert [prefixes.array for prefixes in arm_prefixes(arms).values()] == ["ptychopinn", "old"]


def test_the_report_names_the_prefixes_of_every_arm(result, tmp_path):
    write_artifacts(result, tmp_path)
    report = json.loads((tmp_path / "run_report.json").read_text())
    prefixes = [(arm["label"], arm["file_prefix"], arm["array_prefix"]) for arm in report["arms"]]
    assert prefixes == [
        ("PtychoPINN", "pinn", "ptychopinn"),
        ("Baseline", "baseline", "baseline"),
        ("ePIE", "epie", "epie"),
    ]


def test_identical_images_have_an_infinite_psnr_and_a_full_cut_off(tmp_path):
    picture = np.abs(made.image()), np.angle(made.image())
    frc = compute_frc((picture[0],) * 2, (picture[1],) * 2, frc_sigma=0.0)
    scored = made.metrics(amplitude=0.0, phase=0.0, psnr=ChannelPair(np.inf, 30.0), frc=frc)
    write_artifacts(made.comparison(made.model_arm(metrics=scored)), tmp_path)
    table = _metric_table(tmp_path)
    assert table["PtychoPINN", "psnr"] == ("inf", "30.000000", "")
    assert table["PtychoPINN", "frc_one_bit"] == ("0.500000", "0.500000", "")


KNOWN = Familiarity(dose_ratio=1.5, light_distance=0.1, probe_overlap=0.75, differences=("probe",))


def _documented(title):
    """First column of the tables of one section of docs/formats.md: the names in backticks."""
    text = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
    section = text[text.index(f"### {title}") :].split("\n### ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row[1])}


def test_the_documented_metrics_are_the_ones_written(tmp_path):
    found = set()
    for convention in ("standard", "ptychopinn"):
        scored = compare_images(made.model_arm().aligned.values, made.image(), convention=convention)
        arms = (
            made.collapsed_arm("constant", metrics=scored),
            made.finished_arm(registration=made.registration((40.0, 3.0), failure="too far")),
            *(
                made.finished_arm(cause, verdict=made.verdict(cause=cause, n_bad_frames=2), familiarity=KNOWN)
                for cause in get_args(Cause)
            ),
        )
        write_artifacts(made.comparison(*arms), tmp_path)
        found |= {metric for _, metric in _metric_table(tmp_path)}
    assert _documented("`comparison_metrics.csv`") == found


def test_the_documented_arrays_are_the_ones_written(result, tmp_path):
    write_artifacts(result, tmp_path, options=ArtifactOptions(save_debug_images=True))
    found = set()
    for file in ("reconstructions.npz", "reconstructions_aligned.npz"):
        with np.load(tmp_path / file) as arrays:
            mine = [key for key in arrays.files if not key.startswith(("ptychopinn", "pinn", "epie"))]
        found |= {key.replace("baseline", "<a>").replace("<a>_offset", "<f>_offset") for key in mine}
    write_artifacts(made.comparison(made.refined_arm("Polished")), tmp_path / "refined")
    with np.load(tmp_path / "refined" / "reconstructions.npz") as arrays:
        found |= {key.replace("polished", "<a>") for key in arrays.files if key.startswith("polished")}
    assert _documented("`reconstructions.npz` and `reconstructions_aligned.npz`") == found
    with np.load(tmp_path / "pinn_debug_images.npz") as arrays:
        assert _documented("`<arm>_debug_images.npz`") == set(arrays.files)


def _without_space_for(monkeypatch, *names):
    """Let the disk be full where the files `names` would be written."""
    write = _artifacts.write_archive

    def full(path, members):
        if path.name in names:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        write(path, members)

    monkeypatch.setattr(_artifacts, "write_archive", full)


@pytest.mark.spec("CM-9.7")
def test_a_full_disk_keeps_what_fits_and_says_what_does_not(result, tmp_path, monkeypatch):
    _without_space_for(monkeypatch, "reconstructions_aligned.npz")
    with pytest.raises(
        OSError, match=r"No space left .* for reconstructions_aligned\.npz; kept in"
    ) as caught:
        write_artifacts(result, tmp_path)
    assert caught.value.errno == 28
    there = {path.name for path in tmp_path.iterdir()}
    assert {"reconstructions.npz", "comparison_metrics.csv", "run_report.json"} <= there
    assert "reconstructions_aligned.npz" not in there
    report = json.loads((tmp_path / "run_report.json").read_text())
    assert report["failures"][-1]["label"] == "reconstructions_aligned.npz"
    assert not [name for name in there if name.startswith(".")]


def test_what_fits_lies_beside_earlier_results_which_are_complete(result, tmp_path, monkeypatch):
    write_artifacts(result, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    _without_space_for(monkeypatch, "reconstructions_aligned.npz")
    with pytest.raises(OSError, match=r"kept in .*unfinished-results-"):
        write_artifacts(result, tmp_path)
    (kept,) = tmp_path.glob("unfinished-results-*")
    assert (kept / "reconstructions.npz").read_bytes() == before["reconstructions.npz"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_the_images_come_first(result, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(_artifacts, "write_archive", lambda path, members: order.append(path.name))
    monkeypatch.setattr(_artifacts.tables, "write_table", lambda path, columns, rows: order.append(path.name))
    write_artifacts(result, tmp_path)
    assert order[:3] == ["reconstructions.npz", "reconstructions_aligned.npz", "comparison_metrics.csv"]


@pytest.mark.parametrize("save_npz", [True, False])
def test_how_much_will_be_written_is_known_before(result, tmp_path, save_npz):
    options = ArtifactOptions(save_npz=save_npz)
    write_artifacts(result, tmp_path, options=options)
    height, width = result.window.shape_yx
    expected = artifact_bytes(
        height * width,
        n_models=2,
        n_finished=1,
        has_truth=True,
        self_consistency=True,
        save_npz=save_npz,
    )
    archives = [path.stat().st_size for path in tmp_path.glob("reconstructions*.npz")]
    # An archive has a header of some hundred bytes for each array.
    assert expected <= sum(archives) <= expected + 20_000 * len(archives)


FORMULAS = ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "'=1", "''+1", "\r1", "\uff1d1"]


@pytest.mark.spec("CM-9.1")
def test_labels_that_a_spreadsheet_would_obey_are_shown_and_read_back(tmp_path):
    arms = [made.model_arm(label) for label in FORMULAS]
    options = ArtifactOptions(save_npz=False, save_npz_aligned=False)
    write_artifacts(made.comparison(*arms), tmp_path, options=options)
    cells = [f"'{label}" for label in FORMULAS]
    for name in ("comparison_metrics.csv", "half_set_frc_curves.csv"):
        assert list(dict.fromkeys(row[0] for row in _rows(tmp_path / name)[1:])) == cells
    for label, prefixes in arm_prefixes(arms).items():
        assert _rows(tmp_path / f"{prefixes.file}_frc_curves.csv")[1][0] == f"'{label}"
    assert [tables.text_of(cell) for cell in cells] == FORMULAS
    report = json.loads((tmp_path / "run_report.json").read_text())
    assert [arm["label"] for arm in report["arms"]] == FORMULAS
    figures = read_figures(tmp_path / "comparison_metrics.csv")
    assert list(dict.fromkeys(figure.label for figure in figures)) == [shown(label) for label in FORMULAS]


@pytest.mark.parametrize("label", ["PINN", "'tis", "lr=1e-3", "a-b", "", "'", "重建 +1"])
def test_any_other_label_is_its_own_cell(label):
    assert tables.text_cell(label) == tables.text_of(label) == label
