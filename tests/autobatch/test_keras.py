"""The estimate for Keras models, against tensors counted by hand."""

import keras
import pytest

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


def test_a_model_that_was_never_built_is_refused():
    with pytest.raises(ValueError, match="are not known yet"):
        keras_model_cost(keras.Sequential([keras.layers.Dense(3)]))
