"""What TensorBoard shows of a training, written with TensorFlow alone: its own package is needed to look only."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ptycho.models.training_result import HeldOutImage


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
                    metadata=_of_kind("scalars"),
                )
        for writer in self._writers.values():
            writer.flush()

    def show(self, picture: HeldOutImage) -> None:
        """Write amplitude and phase of a picture of held-out frames, side by side in grey, each from black to white."""
        values, covered = picture.image.values, picture.image.covered
        parts = [_grey(part(values), covered) for part in (np.abs, np.angle)]
        pixels = np.concatenate(parts, axis=1)[..., None]
        height, width, _ = pixels.shape
        shown = [str(width).encode(), str(height).encode(), tf.io.encode_png(pixels).numpy()]
        writer = self._writer("validation")
        with writer.as_default(step=picture.epoch - 1):
            tf.summary.write("held_out_frames", tf.constant(shown), metadata=_of_kind("images"))
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


def _of_kind(name: str) -> tf.compat.v1.SummaryMetadata:
    """Return what tells TensorBoard to draw a curve ("scalars") or a picture ("images")."""
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name=name)
    return tf.compat.v1.SummaryMetadata(plugin_data=plugin)


def _grey(image: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Return an image (h, w) uint8 whose brightest and darkest hundredth are white and black."""
    low, high = np.percentile(image[covered], (1, 99)) if covered.any() else (0.0, 1.0)
    scaled = np.clip((image - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    return np.where(covered, np.round(255 * scaled), 0).astype(np.uint8)
