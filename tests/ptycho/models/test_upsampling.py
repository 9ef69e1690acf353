"""Upsampling whose graph knows its lengths is Keras's to the last bit, forwards and backwards."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ptycho.models._keras_file import snake_case
from ptycho.models._upsampling import UpSampling2D


def _images(dtype):
    return tf.constant(np.random.default_rng(4).normal(size=(3, 5, 4, 2)), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("size", [2, (3, 2)])
def test_values_are_those_of_keras(size, dtype):
    ours, keras_own = UpSampling2D(size, dtype=dtype), keras.layers.UpSampling2D(size, dtype=dtype)
    np.testing.assert_array_equal(ours(_images(dtype)), keras_own(_images(dtype)))


def test_trainings_get_the_same_gradients():
    images = _images("float32")
    weights = tf.constant(np.random.default_rng(5).normal(size=(3, 10, 8, 2)), "float32")
    gradients = []
    for layer in (UpSampling2D(2), keras.layers.UpSampling2D(2)):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(weights * layer(images))
        gradients.append(tape.gradient(total, images).numpy())
    np.testing.assert_array_equal(*gradients)


def test_the_graph_knows_every_length_but_the_number_of_images():
    graph = tf.function(UpSampling2D(2)).get_concrete_function(tf.TensorSpec((None, 5, 4, 2))).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "Tile" in kinds
    assert "Shape" not in kinds
    assert graph.outputs[0].shape.as_list() == [None, 10, 8, 2]


def test_files_of_weights_name_it_as_keras_does():
    assert snake_case(UpSampling2D.__name__) == "up_sampling2d"
    assert UpSampling2D(2).get_config().keys() == keras.layers.UpSampling2D(2).get_config().keys()
