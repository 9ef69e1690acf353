"""Twenty models for `benchmarks.predicting`: ten of keras.applications and ten that are awkward to plan for.

Each is made with `made(name)` as the model and a function that makes items for it. Weights are random, from one
seed, and take at most a third of the smallest cap.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

MakeItems = Callable[[int], Any]
SIDE = 128

APPLICATIONS = (
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "DenseNet121",
    "NASNetMobile",
    "ResNet50",
    "VGG16",
    "Xception",
)


def made(name: str) -> tuple[Any, MakeItems]:
    """Return the model of that name, and ``make_items(n)``."""
    import keras

    keras.utils.set_random_seed(3)
    return AWKWARD[name]() if name in AWKWARD else _application(name)


def _random(*shape: int) -> MakeItems:
    """Return a function that makes `n` items of a shape, the same ones each time."""
    return lambda n: np.random.default_rng(4).random((n, *shape), dtype=np.float32)


def _application(name: str) -> tuple[Any, MakeItems]:
    import keras

    make = getattr(keras.applications, name)
    model = make(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3), pooling="avg")
    model.compile(jit_compile=False)
    return model, _random(SIDE, SIDE, 3)


def _uncompiled(model: Any) -> Any:
    model.compile(jit_compile=False)
    return model


def _lstm() -> tuple[Any, MakeItems]:
    import keras

    layers = keras.layers
    inputs = keras.Input((200, 40))
    hidden = layers.LSTM(128, return_sequences=True)(inputs)
    return _uncompiled(keras.Model(inputs, layers.Dense(5)(layers.LSTM(64)(hidden)))), _random(200, 40)


def _attention() -> tuple[Any, MakeItems]:
    import keras

    layers = keras.layers
    inputs = keras.Input((None,), dtype="int32")
    hidden = layers.Embedding(500, 64, mask_zero=True)(inputs)
    hidden = layers.MultiHeadAttention(4, 16)(hidden, hidden)
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(hidden)))

    def items(n: int) -> np.ndarray:
        lengths = np.random.default_rng(4).integers(20, 257, n)
        words = np.random.default_rng(5).integers(1, 500, (n, 256))
        return np.where(np.arange(256) < lengths[:, None], words, 0).astype(np.int32)

    return _uncompiled(model), items


def _saved_model() -> tuple[Any, MakeItems]:
    import keras

    inner = _convolutions((96, 80, 3))
    with tempfile.TemporaryDirectory() as folder:
        inner.export(folder, verbose=False)
        layer = keras.layers.TFSMLayer(folder, call_endpoint="serve")
    inputs = keras.Input((96, 80, 3))
    return _uncompiled(keras.Model(inputs, layer(inputs))), _random(96, 80, 3)


def _convolutions(shape: tuple[int, int, int], **settings: Any) -> Any:
    import keras

    inputs = keras.Input(shape)
    features = inputs
    for filters in (24, 24, 8):
        features = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", **settings)(features)
    return keras.Model(inputs, keras.layers.Conv2D(2, 3, padding="same", **settings)(features))


def _text() -> tuple[Any, MakeItems]:
    import keras

    layers = keras.layers
    words = [f"word{number}" for number in range(400)]
    vectorization = layers.TextVectorization(output_sequence_length=300, vocabulary=words)
    model = keras.Sequential(
        [
            keras.Input((), dtype="string"),
            vectorization,
            layers.Embedding(402, 256),
            layers.Conv1D(64, 5),
            layers.GlobalMaxPooling1D(),
        ]
    )

    def items(n: int) -> Any:
        import tensorflow as tf

        random = np.random.default_rng(4)
        texts = [" ".join(random.choice(words, 250)) for _ in range(n)]
        return tf.constant(texts)

    return _uncompiled(model), items


def _map_fn() -> tuple[Any, MakeItems]:
    import keras
    import tensorflow as tf

    class Mapped(keras.layers.Layer):
        def call(self, images: Any) -> Any:
            return tf.map_fn(lambda image: tf.image.adjust_contrast(image, 1.2) + tf.sqrt(image), images)

    inputs = keras.Input((128, 128, 3))
    return _uncompiled(keras.Model(inputs, keras.layers.Conv2D(4, 3)(Mapped()(inputs)))), _random(128, 128, 3)


def _mixed_precision() -> tuple[Any, MakeItems]:
    model = _convolutions((96, 80, 3), dtype="mixed_bfloat16")
    return _uncompiled(model), _random(96, 80, 3)


def _jit_compile() -> tuple[Any, MakeItems]:
    model = _convolutions((96, 80, 3))
    model.compile(jit_compile=True)
    return model, _random(96, 80, 3)


def _nested_inputs() -> tuple[Any, MakeItems]:
    import keras

    left, right, scale = keras.Input((96, 80, 3)), keras.Input((96, 80, 1)), keras.Input((1,), name="scale")
    joined = keras.layers.Concatenate()([left, right])
    features = keras.layers.Conv2D(24, 3, activation="relu")(joined)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(
        {"images": [left, right], "scale": scale}, keras.layers.Concatenate()([pooled, scale])
    )
    makes = _random(96, 80, 3), _random(96, 80, 1), _random(1)
    return _uncompiled(model), lambda n: {"images": [makes[0](n), makes[1](n)], "scale": makes[2](n)}


def _several_outputs() -> tuple[Any, MakeItems]:
    import keras

    inputs = keras.Input((96, 80, 3))
    features = keras.layers.Conv2D(24, 3, padding="same", activation="relu")(inputs)
    heads = [keras.layers.Conv2D(filters, 3, padding="same")(features) for filters in (1, 2)]
    return _uncompiled(keras.Model(inputs, {"amplitude": heads[0], "phase": heads[1]})), _random(96, 80, 3)


def _custom_call() -> tuple[Any, MakeItems]:
    import keras
    import tensorflow as tf

    class Custom(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = keras.layers.Conv2D(16, 3, padding="same")

        @tf.function
        def filtered(self, images: Any) -> Any:
            spectrum = tf.signal.fft2d(tf.cast(tf.transpose(images, (0, 3, 1, 2)), tf.complex64))
            return tf.transpose(tf.abs(tf.signal.ifft2d(spectrum)), (0, 2, 3, 1))

        def call(self, images: Any) -> Any:
            return tf.reduce_mean(self.filtered(self.convolution(images)), axis=(1, 2))

    return _uncompiled(Custom()), _random(96, 80, 3)


AWKWARD: dict[str, Callable[[], tuple[Any, MakeItems]]] = {
    "LSTM": _lstm,
    "attention": _attention,
    "SavedModel": _saved_model,
    "TextVectorization": _text,
    "map_fn": _map_fn,
    "mixed precision": _mixed_precision,
    "jit_compile": _jit_compile,
    "nested inputs": _nested_inputs,
    "several outputs": _several_outputs,
    "custom call": _custom_call,
}
