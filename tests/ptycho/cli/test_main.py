"""`ptycho VERB`: the same commands under one name."""

import subprocess
import sys

import numpy as np
import pytest

from ptycho.cli.main import VERBS, main


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_is_the_way_from_data_to_report_on_one_screen(capsys, words):
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    places = [next(n for n, line in enumerate(lines) if line.startswith(f"  {verb.name} ")) for verb in VERBS]
    assert places == sorted(places)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_verb_is_the_older_command_under_its_own_name(capsys, verb):
    with pytest.raises(SystemExit) as caught:
        main([verb.name, "--no-such-flag"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"ptycho {verb.name}: error: ")


def test_a_verb_does_its_work(tmp_path, capsys):
    assert main(["simulate", str(tmp_path / "scan.npz"), "--n-positions", "3", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    with np.load(tmp_path / "scan.npz") as file:
        assert file["diffraction"].shape == (3, 64, 64)


def test_a_near_miss_is_told_its_verb(capsys):
    assert main(["comapre"]) == 2
    assert "did you mean compare?" in capsys.readouterr().err
    assert main(["frobnicate"]) == 2
    assert "see ptycho --help" in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ptycho ")


@pytest.mark.parametrize("module", ["ptycho.cli.main", "ptycho.cli.convert"])
def test_a_module_of_a_command_runs_as_one(module):
    run = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert "usage: " in run.stdout
