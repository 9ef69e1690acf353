"""What TensorBoard shows of a training, written with TensorFlow alone: its own package is needed to look only."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import tensorflow as tf


class TensorboardLog(keras.callbacks.Callback):
    """Writes losses and learning rate after every epoch, named as Keras's callback names them.

    Keras's own writes its numbers through the package ``tensorboard``, which TensorFlow no longer brings along.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__()
        self._folder = Path(folder)
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the values of the epoch, those of held-out frames in a folder of their own."""
        for name, value in (logs or {}).items():
            held_out = name.startswith("val_")
            writer = self._writer("validation" if held_out else "train")
            with writer.as_default(step=epoch):
                tf.summary.write(
                    f"epoch_{name.removeprefix('val_')}",
                    tf.constant(value, tf.float32),
                    metadata=_as_scalar(),
                )
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, name: str) -> tf.summary.SummaryWriter:
        if name not in self._writers:
            self._writers[name] = tf.summary.create_file_writer(str(self._folder / name))
        return self._writers[name]


def _as_scalar() -> tf.compat.v1.SummaryMetadata:
    """Return what tells TensorBoard to draw a curve."""
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    return tf.compat.v1.SummaryMetadata(plugin_data=plugin)
