"""Upsampling in a network's graph."""

from __future__ import annotations

from functools import partial
from typing import Any


def upsampling(*, dtype: Any) -> Any:
    """Return Keras's layer that repeats each pixel of an image in a square of two, in a graph that knows its lengths.

    Keras repeats pixels by `tf.repeat`, which works out the lengths anew at every call: more than half of all
    operations of a network, and a graph for every size of a batch is traced in twice the time. The values are the
    same, and the layer is Keras's own wherever a network is saved or copied; what is opened or copied so repeats pixels
    as Keras does.

    Parameters
    ----------
    dtype : str
        Of the layer.

    Returns
    -------
    keras.layers.UpSampling2D
        For images of known size.
    """
    import keras

    layer = keras.layers.UpSampling2D(2, dtype=dtype)
    layer.call = partial(_repeated, times=2)
    return layer


def _repeated(inputs: Any, *, times: int) -> Any:
    """Return each pixel of images (B, H, W, C) in a square: (B, times·H, times·W, C)."""
    import tensorflow as tf

    _, height, width, channels = inputs.shape
    tall = tf.tile(tf.reshape(inputs, (-1, height, 1, width, channels)), (1, 1, times, 1, 1))
    wide = tf.tile(tf.reshape(tall, (-1, times * height, width, 1, channels)), (1, 1, 1, times, 1))
    return tf.reshape(wide, (-1, times * height, times * width, channels))
