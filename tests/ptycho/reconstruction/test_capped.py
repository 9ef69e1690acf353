"""Genuine out-of-memory errors in the stitcher and the network, and the old method that cannot survive them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from capped import ROOT, Copy

CAP_MB = 400
# At most, of a batch taken whole, for which is planned: 2.0 to 3.6 have been seen, by the order in which TensorFlow
# happens to run the network's branches. In halves, of which one waits for memory of the other, it takes 1.5 to 2.0.
PINN_MIB_PER_FRAME = 3.6
# What is planned, at least: half of what fits whatever happens.
LEAST_PLANNED = {"stitcher": 2_000, "pinn": 0.5 * CAP_MB / PINN_MIB_PER_FRAME}
# Work, its items, a first size far above what the cap allows, a size for the run without a cap, and the
# errors to expect. The stitcher takes no more than 8,600 patches at once, whatever is asked for.
SMALL = [("stitcher", 5_000, 5_000, 900, {1}), ("pinn", 448, 448, 40, {1})]
LARGE = [("stitcher", 24_000, 8_600, 900, {2}), ("pinn", 1_024, 1_024, 64, {2, 3})]
LARGE += [("baseline", 1_024, 1_024, 64, {2, 3})]


def run_side_by_side(specs):
    finished = subprocess.run(
        [sys.executable, "-m", "capped_work", json.dumps(specs)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


def check_recovery(cases, folder, *, with_auto=False):
    """Run each case under the cap, without it and, if asked for, with a planned size; compare what they say."""
    specs = []
    for work, n_items, too_large, fitting, _ in cases:
        for cap_mb, size in (
            (CAP_MB, too_large),
            (None, fitting),
            *([(CAP_MB, "auto")] if with_auto else []),
        ):
            file = str(folder / f"{work}-{cap_mb}-{size}.npy")
            specs.append(
                {"work": work, "n_items": n_items, "batch_size": size, "cap_mb": cap_mb, "file": file}
            )
    told = iter(zip(run_side_by_side(specs), (np.load(spec["file"]) for spec in specs), strict=True))
    for work, n_items, too_large, _, expected_ooms in cases:
        (capped, image), (free, expected) = next(told), next(told)
        assert (capped["n_items"], free["n_oom"]) == (n_items, 0)
        check_errors(capped, too_large, expected_ooms)
        check_images(work, image, expected)
        if with_auto:
            auto, image = next(told)
            check_images(work, image, expected)
            assert auto["n_oom"] == 0
            assert LEAST_PLANNED[work] <= auto["planned_batch_size"] < too_large


def check_errors(told, too_large, expected_ooms):
    assert told["n_oom"] in expected_ooms
    # TensorFlow's allocator waits ten seconds each time before it gives up.
    assert told["seconds_lost"] > 9.5 * told["n_oom"]
    first = told["attempts"][0]
    assert (first["batch_size"], first["outcome"]) == (too_large, "out_of_memory")
    assert first["error"].startswith("ResourceExhaustedError: OOM when allocating tensor with shape[")
    assert told["measured_peak_bytes"] <= CAP_MB << 20


def check_images(work, image, expected):
    assert np.abs(image).max() > 0.1
    if work == "stitcher":
        np.testing.assert_array_equal(image.view(np.float32), expected.view(np.float32))
    else:
        np.testing.assert_allclose(image, expected, rtol=0, atol=1e-6)


def test_real_errors_are_survived_change_no_image_and_are_not_met_by_a_plan(tmp_path):
    # The naive method waits its ten seconds meanwhile.
    naive = start_naive(tmp_path / "naive.txt")
    check_recovery(SMALL, tmp_path, with_auto=True)
    assert naive.wait() == 0
    told = (tmp_path / "naive.txt").read_text()
    assert "errors_impl.ResourceExhaustedError" in told
    assert "OOM when allocating tensor with shape[10304,192,192,3]" in told
    assert 'File "tests/naive_tf.py"' in told
    assert str(ROOT) not in told


@pytest.mark.slow
def test_sizes_many_times_too_large_are_survived_too(tmp_path):
    check_recovery(LARGE, tmp_path)


def start_naive(file):
    return subprocess.Popen(
        [sys.executable, ROOT / "tests" / "naive_oom.py", file],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_copy_of_a_used_tensorflow_is_refused():
    import tensorflow as tf

    tf.constant(1.0)
    with pytest.raises(AssertionError, match="has been used here"):
        Copy(print, cap_mb=None)
