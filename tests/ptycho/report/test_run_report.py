"""The run report: strict JSON, every field, no personal data."""

import json
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import made_results as made
import numpy as np
import psutil
import pytest

from ptycho.comparison import Failure
from ptycho.data import ImportSettings
from ptycho.evaluation import ChannelPair
from ptycho.orientation import OrientationFindings, OrientationTrial, Turn
from ptycho.report.fingerprints import InputFile
from ptycho.report.names import arm_prefixes
from ptycho.report.run_report import SCHEMA_VERSION, RunInfo, peak_resident_bytes, run_report


def _report(result, info=None):
    contents = run_report(result, info or RunInfo(), prefixes=arm_prefixes(result.arms))
    return json.loads(json.dumps(contents, allow_nan=False))


@pytest.mark.spec("CM-9.6")
def test_an_arm_tells_how_its_batches_went():
    arm = _report(made.comparison(made.model_arm()))["arms"][0]
    prediction = arm["prediction"]
    assert (prediction["planned_batch_size"], prediction["final_batch_size"]) == (64, 32)
    assert prediction["reason"] == "5000 bytes hold 64 items"
    assert [(a["batch_size"], a["n_batches"], a["outcome"]) for a in prediction["attempts"]] == [
        (64, 1, "out_of_memory"),
        (32, 3, "done"),
        (4, 1, "done"),
    ]
    assert (prediction["n_oom"], prediction["seconds_lost"]) == (1, 10.5)
    assert prediction["memory"]["usable_bytes"] == 5000
    assert arm["stitching"]["batch_sizes_used"] == [32, 4]
    assert (arm["kind"], arm["n_rejected_patches"], arm["seconds"]["stitch"]) == ("model", 2, 0.5)


@pytest.mark.spec("CM-8.8")
def test_a_collapse_is_told_in_its_arm():
    result = made.comparison(made.collapsed_arm("nearly constant"), made.model_arm("Baseline"))
    assert [arm["collapsed"] for arm in _report(result)["arms"]] == ["nearly constant", None]


@pytest.mark.spec("CM-2.7")
def test_what_a_model_file_leaves_open_is_told_in_its_arm():
    result = made.comparison(made.model_arm(assumptions=("sigmoid",)), made.finished_arm())
    assert [arm["assumptions"] for arm in _report(result)["arms"]] == [["sigmoid"], []]


def test_coverage_counts_covered_pixels_only():
    coverage = _report(made.comparison(made.model_arm()))["arms"][0]["coverage"]
    assert coverage["covered_fraction"] == pytest.approx(1 - 9 * 13 / (40 * 56))
    assert coverage["patches_per_covered_pixel"] == {
        "min": 3.0,
        "median": 3.0,
        "mean": pytest.approx((3 * (21 * 56) + 4 * (19 * 56 - 9 * 13)) / (40 * 56 - 9 * 13)),
        "max": 4.0,
    }


def test_agreement_of_the_patches_is_told_without_a_truth():
    arm = _report(made.comparison(made.model_arm(metrics=None), truth=False))["arms"][0]
    consistency = made.model_arm().consistency
    told = arm["consistency"]
    assert told["overlap_disagreement"] == pytest.approx(consistency.overlap_disagreement)
    assert told["overlap_std"]["max"] == pytest.approx(0.2)
    cutoff = told["half_set_frc"]["cutoffs"]["amplitude"]["half_bit"]
    assert cutoff["frequency"] == consistency.half_set_frc.amplitude.cutoffs.half_bit.frequency
    assert told["notes"] == []


@pytest.mark.spec("CM-8.12")
def test_the_verdict_is_told_with_the_ends_of_its_scale_and_the_worst_frames():
    verdict = made.verdict(patches=None)
    arms = made.model_arm(verdict=verdict), made.finished_arm()
    told, nothing = (arm["verdict"] for arm in _report(made.comparison(*arms))["arms"])
    assert nothing is None
    assert (told["cause"], told["diagnosis"], told["counted"]) == ("positions", verdict.diagnosis, True)
    assert told["intensity_scale"] == "fitted per frame"
    assert told["patches"] is None
    assert (told["image"]["chi2"], told["constant"]["chi2"]) == (9.8, 21.9)
    assert told["image"]["worst_frames"][0] == {"index": 17, "misfit": 8.5}
    assert told["notes"] == ["The last hundredth is a guess."]


def test_an_arm_that_covers_nothing_has_no_depth():
    nowhere = np.zeros(made.WINDOW.shape_yx, bool)
    coverage = _report(
        made.comparison(
            made.model_arm(image=made.placed(made.image(), nowhere, np.zeros(nowhere.shape, np.float32)))
        )
    )["arms"][0]["coverage"]
    assert coverage == {"covered_fraction": 0.0, "patches_per_covered_pixel": None}


def test_a_finished_reconstruction_has_no_batches():
    arm = _report(made.comparison(made.finished_arm(metrics=None)))["arms"][0]
    assert arm["kind"] == "reconstruction"
    assert {arm[key] for key in ("prediction", "stitching", "registration", "metrics", "consistency")} == {
        None
    }


def test_a_rejected_registration_keeps_what_was_found_and_why_it_was_not_believed():
    arm = made.model_arm(registration=made.registration((40.0, 3.0), failure="too far"))
    registration = _report(made.comparison(arm))["arms"][0]["registration"]
    assert registration["offset_yx_px"] == [40.0, 3.0]
    assert (registration["plausible"], registration["failure"]) == (False, "too far")


def test_metrics_come_with_what_is_needed_to_read_them():
    metrics = _report(made.comparison(made.model_arm()))["arms"][0]["metrics"]
    assert metrics["convention"] == "standard"
    assert metrics["values"]["mse"] == {"amplitude": 1.125, "phase": 101.0}
    assert metrics["ms_ssim_scales"] == 2
    assert metrics["phase_ramp"] == {"offset_rad": 0.5, "slope_yx_rad_per_px": [0.0, 0.125]}
    assert metrics["scored_rectangle"] == {
        "row_start": 0,
        "row_stop": 31,
        "column_start": 0,
        "column_stop": 56,
    }
    cutoff = metrics["frc"]["cutoffs"]["phase"]["half_bit"]
    assert cutoff["half_period_px"] == pytest.approx(1 / (2 * cutoff["frequency"]))


def test_numbers_that_json_does_not_know_become_null():
    scored = made.metrics(
        amplitude=0.0, phase=0.0, psnr=ChannelPair(np.inf, np.nan), mae=ChannelPair(np.float64(0.5), None)
    )
    values = _report(made.comparison(made.model_arm(metrics=scored)))["arms"][0]["metrics"]["values"]
    assert values["psnr"] == {"amplitude": None, "phase": None}
    assert values["mae"] == {"amplitude": 0.5, "phase": None}


@pytest.mark.spec("CM-9.6")
def test_failures_settings_and_the_run_are_told():
    started = datetime(2024, 5, 6, 7, 8, tzinfo=timezone.utc)
    info = RunInfo(
        command=("compare-models", "--demo"),
        started_at=started,
        wall_s=42.5,
        devices=(made.CARD,),
        inputs=(InputFile("arm ePIE", "/data/a.npz", 3, None, "ab"),),
        object_pixel_m=6e-9,
        intensity_per_frame=1e5,
    )
    result = made.comparison(
        made.model_arm(), failures=[Failure("Baseline", "it does not fit")], crop_size=17, n_groups=None
    )
    report = _report(result, info)
    assert report["failures"] == [{"label": "Baseline", "reason": "it does not fit", "kind": "failed"}]
    assert report["settings"]["crop_size"] == 17
    assert report["run"]["command"] == ["compare-models", "--demo"]
    assert report["run"]["started_at"] == "2024-05-06T07:08:00+00:00"
    assert report["run"]["wall_s"] == 42.5
    assert report["devices"][0]["free_bytes"] == 6000
    assert report["scan"] == {
        "n_frames": 100,
        "has_truth": True,
        "object_pixel_m": 6e-9,
        "intensity_per_frame": 1e5,
    }
    assert report["inputs"] == [
        {
            "role": "arm ePIE",
            "path": "/data/a.npz",
            "bytes": 3,
            "changed": None,
            "sha256": "ab",
            "hashed": "whole",
            "error": None,
        }
    ]
    assert report["versions"]["numpy"] == np.__version__


def test_neither_the_home_folder_nor_a_serial_number_is_told(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    command = ("compare-models", "--test_data=/home/ann/a.npz", "/home/anne/b.npz", "/home/ann")
    report = _report(made.comparison(made.model_arm()), RunInfo(command=command, devices=(made.CARD,)))
    assert report["run"]["command"] == ["compare-models", "--test_data=~/a.npz", "/home/anne/b.npz", "~"]
    assert made.CARD.uuid not in json.dumps(report)


def test_the_peak_rises_with_what_is_held():
    before = peak_resident_bytes()
    missing = before - psutil.Process().memory_info().rss
    ballast = np.ones(missing + 64 * 2**20, np.uint8)
    assert 48 * 2**20 < peak_resident_bytes() - before < 2 * ballast.nbytes


def test_only_what_is_loaded_already_is_asked_for_its_version(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(__version__="2.99"))
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    versions = _report(made.comparison(made.finished_arm()))["versions"]
    assert versions["tensorflow"] == "2.99"
    assert "numba" not in versions
    assert "numba" not in sys.modules


def _keys(value):
    if isinstance(value, dict):
        return set(value).union(*(_keys(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_keys(item) for item in value))
    return set()


def _described_fields(title, until):
    """First column of the tables between two lines of docs/formats.md, one name for each pair of backticks."""
    text = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
    section = text[text.index(title) : text.index(until, text.index(title))]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row[1])}
    return section, named


def _full_report():
    result = made.comparison(
        made.model_arm(), made.refined_arm(), failures=[Failure("Baseline", "it does not fit")]
    )
    return _report(result, RunInfo(devices=(made.CARD,), inputs=(InputFile("test_data", "a.npz"),)))


@pytest.mark.spec("CM-9.6")
def test_every_field_is_documented():
    described, _ = _described_fields("### `run_report.json`", "\n## ")
    report = _full_report()
    # These pass on the names of packages and of the settings' own attributes.
    del report["versions"], report["settings"]
    del report["arms"][1]["refinement"]["settings"]
    assert {key for key in _keys(report) if f"`{key}`" not in described} == set()


def test_every_documented_field_is_written():
    _, named = _described_fields("### `run_report.json`", "\n## ")
    assert len(named) > 40
    assert named - _keys(_full_report()) == set()


def test_the_documented_schema_version_is_the_one_written():
    described, _ = _described_fields("### `run_report.json`", "\n## ")
    assert f"Schema version {SCHEMA_VERSION};" in described
    assert f"| `schema_version` | {SCHEMA_VERSION};" in described


def test_the_orientation_is_told_if_it_was_checked():
    errors = np.linspace(0.9, 1.1, 20)
    trials = tuple(
        OrientationTrial(positions=Turn(number), frames=Turn(0), errors=scale * errors**number)
        for number, scale in ((5, 0.1), (0, 0.2), (3, 0.3))
    )
    found = OrientationFindings(
        trials=trials, method="model", n_frames=100, seconds=1.5, importing=ImportSettings(flip_x=True)
    )
    result = made.comparison(made.model_arm())
    told = _report(result, RunInfo(orientation=found))["orientation"]
    assert (told["verdict"], told["method"], told["n_frames"], told["seconds"]) == (
        "turned",
        "model",
        100,
        1.5,
    )
    assert [(trial["positions"], trial["fits"]) for trial in told["trials"]] == [
        (5, True),
        (0, False),
        (3, False),
    ]
    # The flip of x that was given, then turn 5: (y, x) goes to (-x, -y).
    assert "pass `swap_xy=True` `flip_y=True` `flip_x=True` (or" in told["in_words"]
    excess = np.log(2) - 5 * np.log(errors)
    assert told["sigmas"] == pytest.approx(excess.mean() / (excess.std(ddof=1) / np.sqrt(20)))
    assert _report(result)["orientation"] is None
