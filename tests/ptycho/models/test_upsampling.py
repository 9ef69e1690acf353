"""Upsampling whose graph knows its lengths is Keras's to the last bit, forwards and backwards, and in files."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ptycho.models._upsampling import upsampling


def _images(dtype):
    return tf.constant(np.random.default_rng(4).normal(size=(3, 5, 4, 2)), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_values_are_those_of_keras(dtype):
    ours, keras_own = upsampling(dtype=dtype), keras.layers.UpSampling2D(2, dtype=dtype)
    np.testing.assert_array_equal(ours(_images(dtype)), keras_own(_images(dtype)))


def test_trainings_get_the_same_gradients():
    images = _images("float32")
    weights = tf.constant(np.random.default_rng(5).normal(size=(3, 10, 8, 2)), "float32")
    gradients = []
    for layer in (upsampling(dtype="float32"), keras.layers.UpSampling2D(2)):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(weights * layer(images))
        gradients.append(tape.gradient(total, images).numpy())
    np.testing.assert_array_equal(*gradients)


def test_the_graph_knows_every_length_but_the_number_of_images():
    inputs = keras.Input((5, 4, 2))
    model = keras.Model(inputs, upsampling(dtype="float32")(inputs))
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, 5, 4, 2))).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "Tile" in kinds
    assert "Shape" not in kinds
    assert graph.outputs[0].shape.as_list() == [None, 10, 8, 2]


def test_a_network_that_has_it_is_saved_and_opened_as_one_of_keras_alone(tmp_path):
    inputs = keras.Input((5, 4, 2))
    model = keras.Model(inputs, upsampling(dtype="float32")(inputs))
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(opened, keras.Model)
    assert type(opened.layers[-1]) is keras.layers.UpSampling2D
    np.testing.assert_array_equal(opened(_images("float32")), model(_images("float32")))
