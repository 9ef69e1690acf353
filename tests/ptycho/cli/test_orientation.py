"""`--check-orientation` of the commands that make an image: when it is tried, by what, what is said and kept."""

from __future__ import annotations

import json
import logging
from argparse import Namespace
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from oracle_model import OracleModel

from ptycho.cli import _import_flags, _orientation
from ptycho.cli._runs import RunStart
from ptycho.cli.refine import main as refine
from ptycho.comparison import ComparisonSettings, ModelArm
from ptycho.data import ImportSettings, SimulationSettings, simulate, write_npz


@pytest.fixture(scope="module")
def scan():
    return simulate(SimulationSettings(patch_size=32, object_shape_yx=(80, 90), step_px=5.0))


@pytest.fixture
def start(scan):
    return RunStart(datetime(2026, 1, 1, tzinfo=timezone.utc), 0.0, (), (), scan)


@pytest.fixture(scope="module")
def folder(scan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_npz(folder / "own.npz", scan)
    counts = np.rint(np.fft.ifftshift(scan.amplitude.astype(np.float64) ** 2, axes=(1, 2)))
    np.savez(folder / "tike.npz", data=counts, scan=scan.positions_yx[:, ::-1], probe=scan.probe)
    return folder


@pytest.fixture
def settings(monkeypatch):
    """Settings of the importer as the flags say; a test may fill `given`."""
    given = {}
    monkeypatch.setattr(_import_flags, "settings_of", lambda arguments: ImportSettings(**given))
    return given


def _turned(scan):
    return replace(scan, positions_yx=scan.positions_yx[:, ::-1], object_guess=None)


@pytest.mark.spec("CM-2.13")
@pytest.mark.parametrize(
    ("name", "flag", "given", "wanted"),
    [
        ("own.npz", None, {}, False),
        ("own.npz", None, {"flip_x": True}, True),
        ("own.npz", True, {}, True),
        ("tike.npz", None, {}, True),
        ("tike.npz", False, {"flip_x": True}, False),
    ],
)
def test_it_is_tried_for_what_is_imported_unless_the_flag_says_otherwise(
    folder, settings, name, flag, given, wanted
):
    settings.update(given)
    assert _orientation.is_wanted(Namespace(check_orientation=flag), folder / name) is wanted


def test_a_scan_that_is_no_file_is_not_checked():
    assert not _orientation.is_wanted(Namespace(check_orientation=None), None)


def test_the_first_model_of_single_frames_is_asked(folder, scan, start, settings, caplog):
    groups, single = OracleModel(scan, gridsize=2), OracleModel(scan)
    arms = [
        ModelArm(label="groups", model=groups),
        ModelArm(label="single", model=single, predict_batch_size=32),
    ]
    arguments = Namespace(check_orientation=None, test_data=folder / "tike.npz")
    found = _orientation.with_orientation(
        start, arguments, _turned(scan), arms, ComparisonSettings(crop_size=16)
    )
    assert found.orientation is not None
    assert (found.orientation.method, found.orientation.verdict) == ("model", "turned")
    assert (set(single.batch_sizes), groups.batch_sizes) == ({32}, [])
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "pass `swap_xy=True` (or, if it is the frames" in warning.getMessage()
    assert found.info(()).orientation is found.orientation


def test_a_check_that_fails_costs_no_run(folder, scan, start, settings, caplog):
    other = OracleModel(simulate(SimulationSettings(patch_size=64, step_px=20.0)), patch_size=64)
    arguments = Namespace(check_orientation=True, test_data=folder / "tike.npz")
    arms = [ModelArm(label="other", model=other)]
    assert _orientation.with_orientation(start, arguments, scan, arms) is start
    assert "was not checked: " in caplog.text


def test_refine_warns_and_keeps_what_was_found(folder, tmp_path, capsys):
    flags = ["--test_data", folder / "tike.npz", "--output_dir", tmp_path / "out"]
    assert refine([str(word) for word in flags]) == 0
    assert "do not fit the frames as they are, but turned: pass --swap-xy" in capsys.readouterr().err
    kept = json.loads((tmp_path / "out" / "run_report.json").read_text(encoding="utf-8"))["orientation"]
    assert (kept["verdict"], kept["method"], len(kept["trials"])) == ("turned", "diffraction", 8)
    assert kept["trials"][0]["positions"] == 4
    flags = [*flags, "--overwrite", "--no-check-orientation"]
    assert refine([str(word) for word in flags]) == 0
    kept = json.loads((tmp_path / "out" / "run_report.json").read_text(encoding="utf-8"))["orientation"]
    assert kept is None
