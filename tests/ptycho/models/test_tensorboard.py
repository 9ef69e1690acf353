"""The files of a training that TensorBoard reads."""

import tensorflow as tf

from ptycho.models import tensorboard_log


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
