"""`predict` returns what ``model.predict`` returns, for every kind of Keras model and of input."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from markdown_pages import ROOT

from autobatch import BatchCost, predict
from autobatch.testing import FixedMemory, inject_oom

X = np.random.default_rng(3).random((37, 6), dtype=np.float32)


@pytest.fixture(scope="module")
def keras():
    import keras

    keras.utils.set_random_seed(5)
    return keras


def sequential(keras):
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.BatchNormalization()]), X


def unbuilt(keras):
    return keras.Sequential([keras.layers.Dense(4, activation="tanh")]), X


def subclassed(keras):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs):
            return {"score": self.dense(inputs["x"]), "pair": (inputs["x"], inputs["more"][0] * 2)}

    return Net(), {"x": X, "more": [X[:, :2]]}


def functional(keras):
    left, right = keras.Input((6,)), keras.Input((2,))
    both = keras.layers.Concatenate()([keras.layers.Dense(3)(left), right])
    return keras.Model([left, right], [keras.layers.Dense(2)(both), both]), [X, X[:, :2]]


def structure_equals(found, expected):
    import keras

    keras.tree.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), found, expected
    )
    return True


@pytest.mark.parametrize("make", [sequential, unbuilt, subclassed, functional])
def test_every_kind_of_model_gives_what_its_own_predict_gives(keras, make):
    model, x = make(keras)
    assert structure_equals(predict(model, x, batch_size=16), model.predict(x, verbose=0))


def test_by_default_a_model_is_planned_from_its_cost(keras):
    model, x = functional(keras)
    runs = []
    predict(model, x, report=runs.append)
    assert (runs[0].plan.cost.source, runs[0].plan.limited_by) == ("estimated", "items")
    assert sum(runs[0].batch_sizes) == runs[0].n_items == runs[0].plan.batch_size


def test_the_cost_of_a_model_is_counted_once_until_the_model_changes(keras, monkeypatch):
    from autobatch import keras_model_cost

    counted = []

    def counting(model):
        counted.append(model.name)
        return keras_model_cost(model)

    monkeypatch.setattr("autobatch._predict.keras_model_cost", counting)
    model, x = functional(keras)
    predict(model, x)
    predict(model, x)
    assert counted == [model.name]
    model.compile(jit_compile=not model.jit_compile)
    predict(model, [part[:2] for part in x])
    assert counted == [model.name] * 2


def test_a_model_whose_cost_cannot_be_counted_is_measured_instead(keras, caplog, monkeypatch):
    def refuse(model):
        raise ValueError("not counted")

    monkeypatch.setattr("autobatch._predict.keras_model_cost", refuse)
    model, x = sequential(keras)
    runs = []
    with caplog.at_level(logging.DEBUG, logger="autobatch"):
        predict(model, x, report=runs.append)
    assert max(runs[0].batch_sizes) == 32
    assert "is measured, not estimated: not counted" in caplog.text


def test_data_sets_of_every_kind_give_what_the_array_gives(keras):
    import tensorflow as tf

    model, x = sequential(keras)
    targets = np.zeros(len(x))

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return x[8 * index : 8 * index + 8], targets[8 * index : 8 * index + 8]

    expected = model.predict(x, verbose=0)
    sources = (
        tf.data.Dataset.from_tensor_slices(x).batch(10),
        tf.data.Dataset.from_tensor_slices((x, targets)).batch(7),
        Batches(),
        (x[start : start + 4] for start in range(0, len(x), 4)),
        tf.data.Dataset.from_tensor_slices(x),
        tf.constant(x),
    )
    for number, source in enumerate(sources):
        kind = "items" if number == 4 else "batches"
        assert structure_equals(predict(model, source, batch_size=16, elements=kind), expected)


def test_endless_data_sets_are_refused(keras):
    import tensorflow as tf

    model, x = sequential(keras)
    with pytest.raises(ValueError, match=r"x is an endless tf.data.Dataset; cut it with .take\(n\)"):
        predict(model, tf.data.Dataset.from_tensor_slices(x).batch(4).repeat())


def test_ragged_inputs_stay_ragged():
    import tensorflow as tf

    ragged = tf.RaggedTensor.from_row_lengths(tf.range(10.0), [3, 0, 2, 5])
    sums = predict(lambda rows: tf.reduce_sum(rows, axis=1), ragged, batch_size=3)
    assert sums.tolist() == [3.0, 0.0, 7.0, 35.0]
    stream = iter([ragged[:1], ragged[1:]])
    assert predict(lambda rows: tf.reduce_sum(rows, axis=1), stream, batch_size=3).tolist() == sums.tolist()


def test_a_compiled_function_is_traced_for_the_planned_sizes_only(keras):
    import tensorflow as tf

    traced = []

    @tf.function
    def function(batch):
        traced.append(batch.shape[0])
        return 2 * batch

    found = predict(function, X, batch_size=16)
    np.testing.assert_array_equal(found, 2 * X)
    assert traced == [16]
    found = predict(function, X, batch_size=8, pad=False)
    assert traced == [16, 8, 5]


def test_an_out_of_memory_error_changes_nothing_in_the_result(keras):
    model, x = functional(keras)
    with inject_oom(at=[0, 2]) as faults:
        found = predict(model, x, cost=BatchCost(bytes_per_item=1), device=FixedMemory(20))
    assert faults.n_injected == 2
    assert structure_equals(found, model.predict(x, verbose=0))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="model is a str but must be a Keras model or a function"):
        predict("model.keras", X)


STRATEGY = """
import keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from autobatch import ResultLengthError, predict, run_in_batches
x = np.random.default_rng(3).random((37, 6), dtype=np.float32)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, {"a": keras.layers.Dense(4)(inputs), "b": inputs})
sizes = []
found = predict(model, x, batch_size=15, report=lambda run: sizes.extend(run.batch_sizes))
expected = keras.ops.convert_to_numpy(model(x)["a"])
print(found["a"].shape, np.abs(found["a"] - expected).max() < 1e-5, np.array_equal(found["b"], x), sizes)
try:
    run_in_batches(lambda start, stop: model.predict_on_batch(x[start:stop]), len(x), batch_size=16)
except ResultLengthError as error:
    print(error)
"""


def test_under_a_strategy_each_item_is_computed_once():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    finished = subprocess.run(
        [sys.executable, "-c", STRATEGY], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    right, refused = finished.stdout.splitlines()
    assert right == "(37, 4) True True [14, 14, 9]"
    assert "are 16, but what came back has 32 rows" in refused
