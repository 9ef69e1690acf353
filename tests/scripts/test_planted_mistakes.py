"""Every mistake that the script plants in a small scan is named, and its words tell it from the others."""

import numpy as np
import pytest

from ptycho.data import SimulationSettings, inspect_file, simulate, write_npz
from scripts.planted_mistakes import MISTAKES, Mistake, judged


@pytest.fixture(scope="module")
def scan():
    return simulate(SimulationSettings(object_shape_yx=(130, 141), step_px=9.0, seed=4))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_planted_mistake_is_named_and_nothing_else(scan, tmp_path, mistake):
    assert judged(mistake, scan, tmp_path) == "named"


def test_a_mistake_that_is_not_there_is_missed(scan, tmp_path):
    hot, dead = MISTAKES[:2]
    hot.plant(tmp_path / "planted.npz", scan, np.random.default_rng(7))
    assert inspect_file(tmp_path / "planted.npz").doubts
    assert judged(type(hot)(hot.name, dead.words, hot.plant), scan, tmp_path) == "MISSED, 1 others"


def test_a_mistake_of_which_nothing_is_said_is_missed(scan, tmp_path):
    silent = Mistake("nothing", "hot", lambda path, scan, rng: write_npz(path, scan))
    assert judged(silent, scan, tmp_path) == "MISSED"
