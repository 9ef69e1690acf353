"""Upsampling in a network's graph."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class UpSampling2D(keras.layers.UpSampling2D):
    """Keras's layer for images of known size, whose graph knows every length but the number of images.

    The values are the same, and so are files of weights, which name the class. Keras repeats pixels by
    `tf.repeat`, which works out the lengths anew at every call: more than half of all operations of a network, and
    a graph for every size of a batch is traced in twice the time.
    """

    def call(self, inputs: Any) -> Any:
        """Return each pixel of images (B, H, W, C) as often as `size` says: (B, rows·H, columns·W, C)."""
        _, height, width, channels = inputs.shape
        rows, columns = self.size
        tall = tf.tile(tf.reshape(inputs, (-1, height, 1, width, channels)), (1, 1, rows, 1, 1))
        wide = tf.tile(tf.reshape(tall, (-1, rows * height, width, 1, channels)), (1, 1, 1, columns, 1))
        return tf.reshape(wide, (-1, rows * height, columns * width, channels))
