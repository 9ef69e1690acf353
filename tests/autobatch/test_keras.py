"""The estimate for Keras models, against tensors counted by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from autobatch import keras_model_cost

KIB = 1 << 10


def uncompiled(model):
    model.jit_compile = False
    return model


def test_counts_the_tensors_that_are_alive_together_not_all_of_them():
    # Per item: 16x8 float32 input 0.5 KiB, then features of 4, 1, 4 and 1 KiB, each read by the next alone.
    inputs = keras.Input((16, 8, 1))
    features = inputs
    for filters in (8, 2, 8, 2):
        features = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(features)
    cost = keras_model_cost(uncompiled(keras.Model(inputs, features)))
    assert cost.bytes_per_item == 5 * KIB
    assert cost.largest_tensor_bytes_per_item == 4 * KIB
    assert cost.source == "estimated"


def test_a_skip_connection_keeps_its_tensor_alive():
    inputs = keras.Input((16, 8, 1))
    wide = keras.layers.Conv2D(8, 3, padding="same")(inputs)
    narrow = keras.layers.Conv2D(2, 3, padding="same")(wide)
    again = keras.layers.Conv2D(8, 3, padding="same")(narrow)
    cost = keras_model_cost(uncompiled(keras.Model(inputs, keras.layers.Concatenate()([wide, again]))))
    # 4 and 4 are joined into 8 KiB.
    assert cost.bytes_per_item == 16 * KIB


def test_branches_are_counted_side_by_side():
    inputs = keras.Input((16, 8, 1))
    heads = []
    for _ in range(2):
        wide = keras.layers.Conv2D(8, 3, padding="same")(inputs)
        heads.append(keras.layers.Conv2D(8, 3, padding="same")(wide))
    cost = keras_model_cost(uncompiled(keras.Model(inputs, heads)))
    assert cost.bytes_per_item == 16 * KIB


def test_a_compiled_model_is_given_more():
    inputs = keras.Input((16, 8, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(8, 3)(inputs))
    model.jit_compile = True
    compiled = keras_model_cost(model).bytes_per_item
    assert compiled == pytest.approx(1.35 * keras_model_cost(uncompiled(model)).bytes_per_item, rel=1e-3)


def test_several_inputs_and_half_precision():
    left, right = keras.Input((32,), dtype="float16"), keras.Input((32,), dtype="float16")
    model = keras.Model([left, right], keras.layers.Add(dtype="float16")([left, right]))
    # Two inputs of 64 B; the sum is written over one of them.
    assert keras_model_cost(uncompiled(model)).bytes_per_item == 128


def test_open_axes_need_a_shape():
    inputs = keras.Input((None, None, 1))
    model = uncompiled(keras.Model(inputs, keras.layers.Conv2D(8, 3, padding="same")(inputs)))
    with pytest.raises(ValueError, match="pass input_shapes"):
        keras_model_cost(model)
    assert keras_model_cost(model, input_shapes=(16, 8, 1)).bytes_per_item == 4.5 * KIB
    with pytest.raises(ValueError, match="input_shapes holds 2 shapes but the model has 1"):
        keras_model_cost(model, input_shapes=[(16, 8, 1), (16, 8, 1)])


def test_a_model_that_was_never_built_needs_an_example():
    model = uncompiled(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="are not known yet; pass inputs with an example"):
        keras_model_cost(model)
    # 5 and 3 float32.
    assert keras_model_cost(model, inputs=np.zeros((9, 5), np.float32)).bytes_per_item == 32


def layers_of_convolutions():
    return [keras.layers.Conv2D(filters, 3, padding="same") for filters in (8, 2)]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.steps = layers_of_convolutions()

    def call(self, images):
        for step in self.steps:
            images = step(images)
        return images


def functional():
    inputs = outputs = keras.Input((16, 8, 1))
    for layer in layers_of_convolutions():
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def called(model):
    model(np.zeros((3, 16, 8, 1), np.float32))
    return model


@pytest.mark.parametrize(
    "make",
    [
        functional,
        lambda: keras.Sequential([keras.Input((16, 8, 1)), *layers_of_convolutions()]),
        lambda: called(keras.Sequential(layers_of_convolutions())),
        lambda: called(Subclassed()),
        lambda: keras.Sequential([functional()]),
    ],
    ids=["functional", "Sequential", "Sequential, called", "subclassed, called", "nested"],
)
def test_the_same_network_costs_the_same_however_it_was_made(make):
    model = make()
    if not model.built:
        called(model)
    cost = keras_model_cost(uncompiled(model))
    # 4 and 1 KiB are alive together.
    assert (cost.bytes_per_item, cost.largest_tensor_elements_per_item) == (5 * KIB, 1024)
    assert cost.not_counted == ()
    assert cost.uncertainty > 1


def test_a_dict_of_inputs_of_a_subclassed_model_is_known_once_it_is_built():
    class Named(keras.Model):
        def call(self, inputs):
            return inputs["left"] + inputs["right"]

    model = uncompiled(Named())
    example = {"left": np.zeros((3, 32), np.float32), "right": np.zeros((3, 32), np.float32)}
    assert keras_model_cost(model, inputs=example).bytes_per_item == 256
    model(example)
    assert keras_model_cost(model).bytes_per_item == 256


class Inside(keras.layers.Layer):
    """Its work is done inside a function: 32 KiB an item where the layer's own input and result take 1 KiB."""

    @tf.function
    def widened(self, values):
        wide = tf.tile(values, (1, 32))
        return tf.reduce_sum(tf.cumsum(wide, axis=1), axis=1, keepdims=True)

    def call(self, values):
        return self.widened(values)


def model_of(layer, shape, **settings):
    inputs = keras.Input(shape, **settings)
    return uncompiled(keras.Model(inputs, layer(inputs)))


def test_what_runs_inside_a_function_counts():
    cost = keras_model_cost(model_of(Inside(), (256,)))
    # 1 KiB repeated 32 times, and once more as its running sum.
    assert 64 * KIB <= cost.bytes_per_item <= 66 * KIB
    assert cost.not_counted == ()


def test_a_loop_counts_the_lists_that_it_fills():
    mapped = keras.layers.Lambda(lambda values: tf.map_fn(lambda row: tf.sqrt(row) + 1.0, values))
    cost = keras_model_cost(model_of(mapped, (256,)))
    # The input, the list of results, and the tensor that is made of it: 1 KiB each.
    assert 3 * KIB <= cost.bytes_per_item <= 4 * KIB
    assert cost.uncertainty > keras_model_cost(functional()).uncertainty
    assert (cost.in_turns, keras_model_cost(functional()).in_turns) == (True, False)


def test_both_branches_of_a_condition_are_looked_into():
    def either(values):
        wide = lambda: tf.reduce_sum(tf.tile(values, (1, 32)), axis=1)  # noqa: E731
        return tf.cond(tf.reduce_sum(values) > 0, wide, lambda: tf.reduce_sum(values, axis=1))

    cost = keras_model_cost(model_of(keras.layers.Lambda(either), (256,)))
    assert 33 * KIB <= cost.bytes_per_item <= 34 * KIB


def python_function(values):
    result = tf.numpy_function(np.tanh, [values], tf.float32)
    result.set_shape(values.shape)
    return result


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: model_of(keras.layers.Lambda(python_function), (8,)), "Python functions"),
        (
            lambda: model_of(
                keras.layers.TextVectorization(output_sequence_length=9, vocabulary=["a", "b"]),
                (),
                dtype="string",
            ),
            "texts",
        ),
        (
            lambda: model_of(
                keras.layers.Lambda(lambda values: tf.boolean_mask(values, values > 0), output_shape=(None,)),
                (8,),
            ),
            "tensors of unknown length",
        ),
    ],
)
def test_what_cannot_be_counted_is_named(make, named):
    assert named in keras_model_cost(make()).not_counted


def test_a_saved_model_is_counted_or_says_that_it_is_not(tmp_path):
    functional().export(tmp_path, verbose=False)
    layer = keras.layers.TFSMLayer(tmp_path, call_endpoint="serve")
    cost = keras_model_cost(model_of(layer, (16, 8, 1)))
    assert cost.not_counted or cost.bytes_per_item == 5 * KIB


def test_a_function_has_a_cost_too():
    cost = keras_model_cost(
        tf.function(lambda values: tf.cumsum(values) + 1), inputs=np.zeros((2, 256), np.float32)
    )
    assert cost.bytes_per_item == 2 * KIB


@pytest.mark.parametrize("layer", [keras.layers.Conv2D(8, 3), keras.layers.UpSampling2D(2)])
def test_a_graph_for_every_size_costs_what_its_model_does(layer):
    inputs = keras.Input((16, 8, 1))
    images = layer(keras.layers.Conv2D(6, 3, padding="same")(inputs))
    model = uncompiled(keras.Model(inputs, keras.layers.Conv2D(2, 3)(images)))
    graph = tf.function(lambda batch: model(batch, training=False)).get_concrete_function(
        tf.TensorSpec((None, 16, 8, 1))
    )
    cost = keras_model_cost(graph, inputs=np.empty((0, 16, 8, 1), np.float32))
    of_model = keras_model_cost(model)
    assert cost.not_counted == ()
    assert cost.largest_tensor_bytes_per_item == of_model.largest_tensor_bytes_per_item
    assert cost.host_bytes_per_item == of_model.host_bytes_per_item
    # Where lengths are worked out while it runs, what they are read from stays longer.
    assert of_model.bytes_per_item <= cost.bytes_per_item <= 1.2 * of_model.bytes_per_item


def test_a_model_that_cannot_be_traced_says_so():
    def untraceable(values):
        return values.numpy()

    with pytest.raises(
        ValueError, match=r"'untraceable' cannot be traced \(AttributeError: .*\); pass inputs"
    ):
        keras_model_cost(untraceable, inputs=np.zeros((2, 3)))


def test_inputs_and_results_are_what_the_host_has_to_hold():
    # Per item 0.5 KiB in and 1 KiB out, once for NumPy and once for TensorFlow.
    assert keras_model_cost(uncompiled(functional())).host_bytes_per_item == 3 * KIB
