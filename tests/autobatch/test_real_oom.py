"""Genuine out-of-memory errors of TensorFlow without a GPU: its GPU allocator class, used for the CPU.

The allocator waits ten seconds before it gives up, so that this file has one such error.
"""

import json
import os
import subprocess
import sys

import pytest
from capped import KERNELS, ROOT, cap

CAP_MB = 100

PROGRAM = """
import json
import keras
import numpy as np
import tensorflow as tf
from autobatch import device_memory, keras_model_cost, run_in_batches

keras.utils.set_random_seed(3)
inputs = keras.Input((64, 48, 1))
features = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
features = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(features)
model = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same")(features))
frames = np.random.default_rng(4).random((700, 64, 48, 1), dtype=np.float32)
free_bytes = device_memory().free_bytes


def predict(start, stop):
    return model.predict_on_batch(frames[start:stop])


def told(run):
    image = np.concatenate(run.outputs)
    run.outputs.clear()
    statistics = tf.config.experimental.get_memory_info("CPU:0")
    return {
        "n": len(image),
        "difference": float(np.abs(image - expected).max()),
        "in_use": statistics["current"],
        **run.as_dict(),
    }


expected = np.concatenate([predict(start, start + 7) for start in range(0, 700, 7)])
report = {"free_bytes": free_bytes, "memory": device_memory().as_dict()}
report["in_use"] = tf.config.experimental.get_memory_info("CPU:0")["current"]
report["far_too_large"] = told(run_in_batches(predict, 700, batch_size=320))
report["auto_measured"] = told(run_in_batches(predict, 700))
report["auto_estimated"] = told(run_in_batches(predict, 700, cost=keras_model_cost(model), max_batch_size=700))
# Not computed in the memory of its input, which other operations are or are not as threads happen to run.
mirrored = tf.function(lambda part: tf.reverse(part, [1]), reduce_retracing=True)
rows = np.ones((160, 1 << 18), np.float32)
run = run_in_batches(lambda start, stop: mirrored(rows[start:stop]), len(rows))
report["outputs"] = [run.n_oom, sum(map(len, run.outputs)), sum(part.nbytes for part in run.outputs)]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def report():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **KERNELS, **cap(CAP_MB)}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_the_cap_is_seen(report):
    assert (CAP_MB - 1) << 20 < report["free_bytes"] <= CAP_MB << 20
    assert report["memory"]["source"] == "TF_CPU_BFC_MEM_LIMIT_IN_MB"


@pytest.mark.parametrize("way", ["auto_measured", "auto_estimated", "far_too_large"])
def test_every_item_is_computed_once_with_the_same_result(report, way):
    assert report[way]["n"] == 700
    assert report[way]["difference"] <= 1e-6


@pytest.mark.parametrize("way", ["auto_measured", "auto_estimated"])
def test_a_planned_size_meets_no_oom_and_is_not_timid(report, way):
    run = report[way]
    assert run["n_oom"] == 0
    # 400 KiB an item: at most 256 fit.
    assert 64 <= run["planned_batch_size"] <= 256


def test_a_size_far_too_large_is_halved_and_the_loss_told(report):
    run = report["far_too_large"]
    assert run["n_oom"] >= 1
    assert run["seconds_lost"] > 9
    assert run["attempts"][0]["error"].startswith("ResourceExhaustedError: OOM when allocating tensor")
    assert run["attempts"][0]["batch_size"] == 320
    assert run["final_batch_size"] == 320 >> run["n_oom"]


def test_the_failed_batch_leaves_nothing_behind(report):
    # Its input alone, which Keras converts to a tensor, is 4 MB.
    assert report["far_too_large"]["in_use"] <= report["in_use"] + (1 << 18)


def test_the_measured_peak_is_reported_and_near_the_predicted_one(report):
    run = report["auto_estimated"]
    assert 0.8 * run["predicted_peak_bytes"] < run["measured_peak_bytes"] <= CAP_MB << 20


def test_outputs_may_be_larger_than_the_memory_of_the_device(report):
    n_oom, n_items, n_bytes = report["outputs"]
    assert (n_oom, n_items) == (0, 160)
    assert n_bytes > CAP_MB << 20
