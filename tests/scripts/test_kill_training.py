"""The experiment of scripts/kill_training.py, with its own processes and kills."""

import subprocess
import sys

import pytest
from markdown_pages import ROOT


@pytest.mark.slow
def test_five_kills_cost_an_epoch_each_at_most_and_no_bit():
    words = [sys.executable, str(ROOT / "scripts" / "kill_training.py"), "--model", "baseline", "--seed", "5"]
    finished = subprocess.run(words, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr[-3000:]
    *kills, end = finished.stdout.splitlines()[1:]
    assert [line[:7] for line in kills] == [f"kill {number}:" for number in range(1, 6)]
    assert end.startswith("0 of ")
