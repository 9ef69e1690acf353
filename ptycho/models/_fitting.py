"""Training with Keras: batches, what is fitted, the loop, and the model that comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from autobatch import NoProgress, Progress
from ptycho.data.scan import ScanData
from ptycho.models import _course
from ptycho.models._callbacks import AfterEpoch, BeforeEpoch, Course, Report
from ptycho.models._examples import Examples
from ptycho.models._held_out import HeldOut, HeldOutImage, Pictures
from ptycho.models._holding_out import split
from ptycho.models._journal import Journal
from ptycho.models._record import conditions_of, data_fingerprint, training_record
from ptycho.models.familiarity import distinct_probes
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel, collapse_reason
from ptycho.models.physics import Background, FarField, poisson_deviance
from ptycho.models.training import TrainingOrigin, TrainingResult, TrainingSettings

logger = logging.getLogger(__name__)


def fit(
    scans: Sequence[ScanData],
    architecture: Architecture,
    settings: TrainingSettings,
    *,
    start: PatchModel | None,
    folder: Path | None,
    resume: bool,
    callbacks: Sequence[keras.callbacks.Callback],
    origin: TrainingOrigin,
    progress: Progress | None,
    on_image: Callable[[HeldOutImage], None] | None,
) -> TrainingResult:
    """Do what `ptycho.models.training.train` documents, for scans that are trainable."""
    with _repeatable(settings.seed):
        rng = np.random.default_rng(settings.seed)
        examples = Examples.gather(scans, architecture, rng)
        seen, held_out, way = split(examples, settings, rng)
        training = _Batches(examples, seen, settings.batch_size, rng)
        validation = _Batches(examples, held_out, settings.batch_size, None)
        network = build_network(architecture, precision=settings.precision)
        if start is not None:
            network.set_weights(start.network.get_weights())
        trainer = _trainer(network, architecture, examples)
        _compile(trainer, architecture, settings, training)
        fingerprints = [data_fingerprint(scan, supervised=architecture.is_supervised) for scan in scans]
        course = Course(trainer, settings)
        watcher = HeldOut(network, architecture, examples, held_out, settings.batch_size)
        # Its figures are part of the history that the course keeps; what a caller's code raises costs no epoch.
        beside: list[keras.callbacks.Callback] = [watcher, course]
        if folder is not None:
            conditions = {**conditions_of(architecture, settings, start), "scans": fingerprints}
            kept = settings.checkpoint
            journal = Journal(folder, trainer, course, conditions, files=origin.files, with_checkpoint=kept)
            if resume:
                journal.take_up()
            beside.append(AfterEpoch(journal.write))
        if on_image is not None:
            beside.append(Pictures(watcher, on_image))
        beside += callbacks
        interrupted = _fit(
            trainer, training, validation, settings, beside, course, progress, architecture.kind
        )
        if on_image is not None:
            on_image(watcher.image(_course.best_epoch(course.history["val_loss"]) + 1))
        collapsed = _collapse(architecture, watcher.patches(held_out[: settings.batch_size]))

    ended = _why_ended(course, settings, interrupted=interrupted)
    record = training_record(settings, course.history, scans, fingerprints, origin)
    told = {"held_out": way, "n_held_out": len(held_out), "ended": ended, "collapsed": collapsed}
    plain = build_network(architecture)
    plain.set_weights(network.get_weights())
    model = PatchModel(plain, architecture, distinct_probes(examples.probes), {**record, **told})
    return TrainingResult(model, course.history, collapsed, interrupted, ended)


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Seed Keras, and on a CPU let every operation in the block give the same bits for the same numbers."""
    import tensorflow as tf
    from tensorflow.python.framework import config

    keras.utils.set_random_seed(seed)
    # Operations that cannot on a GPU would raise there.
    if config.is_op_determinism_enabled() or "CPU" not in tf.zeros(()).device:
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        # TensorFlow has no public way back, and what comes after the training did not ask for it.
        config.disable_op_determinism()


class _Batches(keras.utils.PyDataset):
    """Batches of examples, in a new random order every epoch if `rng` is given."""

    def __init__(
        self, examples: Examples, order: np.ndarray, batch_size: int, rng: np.random.Generator | None
    ) -> None:
        super().__init__()
        self._examples, self._order, self._batch_size, self._rng = examples, order, batch_size, rng
        self._n_shuffles = 0

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    @property
    def n_items(self) -> int:
        return len(self._order)

    def begin(self, epoch: int) -> None:
        """Take the order of an epoch, counted from 0, whether those before it were seen or not."""
        while self._rng is not None and self._n_shuffles <= epoch:
            self._rng.shuffle(self._order)
            self._n_shuffles += 1

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        chosen = self._order[number * self._batch_size : (number + 1) * self._batch_size]
        examples = self._examples
        frames, scan_of = examples.frames(chosen), examples.scan_of[chosen]
        if examples.is_labelled:
            patches = examples.labels(chosen)
            return frames, (np.abs(patches), np.angle(patches))
        measured = frames**2 + examples.backgrounds[scan_of][:, None, None, None]
        return (frames, examples.offsets_yx[chosen], scan_of), measured


def _trainer(network: keras.Model, architecture: Architecture, examples: Examples) -> keras.Model:
    """Return what is fitted: the baseline itself, or the PINN's network followed by the physics."""
    if architecture.is_supervised:
        return network
    channels = architecture.n_channels
    offsets = keras.Input((channels, 2), name="offsets_yx")
    probe_index = keras.Input((), dtype="int32", name="probe_index")
    reach = float(np.abs(examples.offsets_yx).max(initial=0.0))
    amplitude, phase = network.outputs
    intensity = FarField(examples.probes, reach_px=reach, masks=examples.masks)(
        amplitude, phase, offsets, probe_index
    )
    seen = Background(examples.backgrounds)(intensity, probe_index)
    return keras.Model([network.inputs[0], offsets, probe_index], seen)


def _compile(
    trainer: keras.Model, architecture: Architecture, settings: TrainingSettings, batches: _Batches
) -> None:
    """Give the trainer its optimiser and loss, with all their variables.

    Keras else makes those in the first step, and TensorFlow traces a function that makes variables twice; the step
    is the longest there is.
    """
    trainer.compile(
        optimizer=keras.optimizers.Adam(_learning_rate(settings, len(batches)), clipnorm=1.0),
        loss="mae" if architecture.is_supervised else poisson_deviance,
        jit_compile=False,  # pyright: ignore[reportArgumentType]
    )
    frames, truth = batches[0]
    trainer.optimizer.build(trainer.trainable_variables)
    trainer.compute_loss(frames, truth, trainer(frames, training=True))


def _learning_rate(settings: TrainingSettings, steps_per_epoch: int) -> Any:
    if settings.schedule == "plateau":
        return settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.epochs * steps_per_epoch)


def _fit(
    trainer: keras.Model,
    training: _Batches,
    validation: _Batches,
    settings: TrainingSettings,
    callbacks: Sequence[keras.callbacks.Callback],
    course: Course,
    progress: Progress | None,
    label: str,
) -> bool:
    """Train to the end, give the trainer its best weights, and return whether Ctrl-C was the end."""
    interrupted = False
    done = course.n_epochs
    if (reason := _why_done(course, settings)) is not None:
        logger.info("there was nothing to do: %s", reason)
        trainer.set_weights(course.best_weights)
        return interrupted
    # Epochs of an earlier run took none of this one's time, so that they would be no part of its rate.
    n_left = (settings.epochs - done) * training.n_items
    with (progress or NoProgress()).stage(label, n_left, "frames") as stage:
        try:
            trainer.fit(
                training,
                validation_data=validation,
                initial_epoch=done,
                epochs=settings.epochs,
                shuffle=False,
                callbacks=[
                    keras.callbacks.TerminateOnNaN(),
                    BeforeEpoch(training.begin),
                    *callbacks,
                    Report(trainer, stage, training.n_items, settings, course.history),
                ],
                verbose=0,  # pyright: ignore[reportArgumentType]
            )
        except KeyboardInterrupt:
            if course.best_weights is None:
                raise
            interrupted = True
    trainer.set_weights(course.best_weights)
    return interrupted


def _why_done(course: Course, settings: TrainingSettings) -> str | None:
    """Return why a training that goes on is at its end already, None if it is not."""
    done = course.n_epochs
    if done >= settings.epochs:
        return f"the training has {done} epochs and no more than {settings.epochs} are wanted; ask for more"
    if course.is_over:
        return (
            f"the validation loss has not improved for {settings.stop_patience} epochs, at the end of {done}; give the "
            "training more patience"
        )
    return None


def _why_ended(course: Course, settings: TrainingSettings, *, interrupted: bool) -> str:
    """Return in words what ended a training."""
    if interrupted:
        return "it was stopped by Ctrl-C"
    if not np.isfinite(course.history["loss"][-1]):
        return "its loss is no number any more"
    if course.n_epochs >= settings.epochs:
        return f"all {settings.epochs} epochs are done"
    if course.is_over:
        return f"the loss of held-out frames has not improved for {settings.stop_patience} epochs"
    if settings.max_minutes is not None:
        return f"{settings.max_minutes:g} minutes are over"
    return "a callback ended it"


def _collapse(architecture: Architecture, patches: np.ndarray) -> str | None:
    reason = collapse_reason(patches)
    if reason is not None:
        logger.warning(
            "the %s has collapsed: %s; train it on objects and a probe with more structure, or with another seed",
            architecture.kind,
            reason,
        )
    return reason
