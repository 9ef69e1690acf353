"""The shipped networks reconstruct an object that they have never seen."""

import csv

import numpy as np
import pytest

from ptycho.cli.compare_models import main
from ptycho.data import random_lines
from ptycho.demo import demo_scan


@pytest.fixture(scope="module")
def ssim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    # Two frames in five cover the object as well; all of them are for `make demo` and `make release-check`.
    few = ("--n-test-subsample", "600", "--figure-dpi", "40", "--no-save-npz")
    assert main(["--demo", "--output_dir", str(folder), "--quiet", *few]) == 0
    assert (folder / "comparison_plot.png").stat().st_size > 10_000
    with (folder / "comparison_metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "ssim"]
    return {row["model"]: (float(row["amplitude"]), float(row["phase"])) for row in rows}


@pytest.mark.spec("CM-1.5")
@pytest.mark.parametrize("label", ["PtychoPINN", "Baseline"])
def test_both_networks_reach_the_promised_similarity(ssim, label):
    assert min(ssim[label]) >= 0.6


def test_the_scan_is_the_same_every_time():
    first, again = demo_scan(), demo_scan()
    assert first.amplitude.tobytes() == again.amplitude.tobytes()
    assert first.object_guess is not None


def test_its_object_is_none_of_those_that_the_networks_have_seen():
    truth = demo_scan().object_guess
    # 1 to 30 made the scans of the training (docs/examples/demo.md).
    same = [
        seed
        for seed in (*range(1, 31), 2026)
        if np.array_equal(random_lines(truth.shape, n_lines=40, rng=np.random.default_rng(seed)), truth)
    ]
    assert same == [2026]
