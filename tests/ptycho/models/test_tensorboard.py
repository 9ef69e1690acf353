"""The files of a training that TensorBoard reads."""

import numpy as np
import tensorflow as tf

from ptycho.image.placed import PlacedImage
from ptycho.models import HeldOutImage, tensorboard_log


def _events(folder):
    """What the files below `folder` hold: kind, name, epoch and value."""
    found = []
    for file in sorted(folder.glob("*/events.*")):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found += [
                (file.parent.name, value.tag, event.step, float(tf.make_ndarray(value.tensor)))
                for value in event.summary.value
                if value.metadata.plugin_data.plugin_name == "scalars"
            ]
    return sorted(found)


def test_a_picture_of_held_out_frames_is_written_for_its_epoch(tmp_path):
    values = np.array([[1, 2, 3], [4, 5j, 0]], np.complex64)
    covered = np.array([[True, True, True], [True, True, False]])
    picture = HeldOutImage(epoch=5, scan=0, image=PlacedImage(values, covered), truth=None)
    log = tensorboard_log(tmp_path)
    log.show(picture)
    log.on_train_end()
    (file,) = tmp_path.glob("validation/events.*")
    events = [tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file))]
    ((step, value),) = [(event.step, value) for event in events for value in event.summary.value]
    assert (step, value.tag, value.metadata.plugin_data.plugin_name) == (4, "held_out_frames", "images")
    width, height, png = tf.make_ndarray(value.tensor)
    assert (width, height) == (b"6", b"2")
    pixels = tf.io.decode_png(png).numpy()[..., 0]
    assert pixels.shape == (2, 6)
    # Darkest and brightest of what is covered; what is not is black.
    assert (pixels[0, 0], pixels[1, 1], pixels[1, 2]) == (0, 255, 0)


def test_losses_of_both_kinds_are_written_with_their_epoch_and_at_once(tmp_path):
    log = tensorboard_log(tmp_path / "new")
    log.on_epoch_end(4, {"loss": 0.5, "val_loss": 0.75, "learning_rate": 0.125})
    first = [
        ("train", "epoch_learning_rate", 4, 0.125),
        ("train", "epoch_loss", 4, 0.5),
        ("validation", "epoch_loss", 4, 0.75),
    ]
    assert _events(tmp_path / "new") == first
    log.on_epoch_end(5, {"loss": 0.25})
    log.on_train_end()
    assert _events(tmp_path / "new") == sorted([*first, ("train", "epoch_loss", 5, 0.25)])
