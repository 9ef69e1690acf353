"""Training with Keras: examples, batches, the loop and what is recorded of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from autobatch import NoProgress, Progress, Stage
from ptycho.data.grouping import Groups, neighbour_groups
from ptycho.data.illumination import consistent_probe
from ptycho.data.scan import ScanData
from ptycho.data.simulation import extract_patches
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel, collapse_reason
from ptycho.models.physics import FarField, poisson_deviance
from ptycho.models.training import TrainingResult, TrainingSettings

logger = logging.getLogger(__name__)


def fit(
    scans: Sequence[ScanData],
    architecture: Architecture,
    settings: TrainingSettings,
    progress: Progress | None,
) -> TrainingResult:
    """Do what `ptycho.models.training.train` documents, for scans that are trainable."""
    keras.utils.set_random_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    prepared = [consistent_probe(scan).normalised() for scan in scans]
    examples = _Examples.gather(prepared, architecture, rng)
    order = rng.permutation(len(examples))
    n_validation = max(1, round(len(order) * settings.validation_fraction))
    training = _Batches(examples, order[n_validation:], settings.batch_size, rng)
    validation = _Batches(examples, order[:n_validation], settings.batch_size, None)

    network = build_network(architecture, precision=settings.precision)
    trainer = _trainer(network, architecture, examples)
    trainer.compile(
        optimizer=keras.optimizers.Adam(_learning_rate(settings, len(training)), clipnorm=1.0),
        loss="mae" if architecture.is_supervised else poisson_deviance,
        jit_compile=False,  # pyright: ignore[reportArgumentType]
    )
    _make_state(trainer, training)
    history, interrupted = _fit(
        trainer, training, validation, settings, progress or NoProgress(), architecture.kind
    )

    plain = build_network(architecture)
    plain.set_weights(network.get_weights())
    record = _record(settings, history, examples)
    model = PatchModel(plain, architecture, prepared[0].probe, record)
    return TrainingResult(model, history, _collapse(model, validation), interrupted)


@dataclass(frozen=True, eq=False)
class _Examples:
    """All frames of all scans, the groups over them, and what each network is to match."""

    frames: np.ndarray
    labels: np.ndarray | None
    probes: np.ndarray
    indices: np.ndarray
    offsets_yx: np.ndarray
    probe_index: np.ndarray

    @classmethod
    def gather(
        cls, scans: Sequence[ScanData], architecture: Architecture, rng: np.random.Generator
    ) -> _Examples:
        groups = [
            neighbour_groups(scan.positions_yx, gridsize=architecture.gridsize, rng=rng) for scan in scans
        ]
        starts = np.cumsum([0] + [scan.n_frames for scan in scans[:-1]])
        labels = [_labels(scan) for scan in scans] if architecture.is_supervised else None
        return cls(
            frames=np.concatenate([scan.amplitude for scan in scans]),
            labels=None if labels is None else np.concatenate(labels),
            probes=np.stack([scan.probe for scan in scans]),
            indices=np.concatenate([g.indices + start for g, start in zip(groups, starts, strict=True)]),
            offsets_yx=np.concatenate([_offsets_from_centre(group) for group in groups]),
            probe_index=np.repeat(np.arange(len(scans), dtype=np.int32), [len(g.indices) for g in groups]),
        )

    def __len__(self) -> int:
        return len(self.indices)


def _offsets_from_centre(groups: Groups) -> np.ndarray:
    return -groups.relative_yx.astype(np.float32)


def _labels(scan: ScanData) -> np.ndarray:
    if scan.labels is not None:
        return scan.labels
    assert scan.object_guess is not None  # checked at the door
    return extract_patches(scan.object_guess, scan.positions_yx, scan.patch_size)


class _Batches(keras.utils.PyDataset):
    """Batches of examples, in a new random order every epoch if `rng` is given."""

    def __init__(
        self, examples: _Examples, order: np.ndarray, batch_size: int, rng: np.random.Generator | None
    ) -> None:
        super().__init__()
        self._examples, self._order, self._batch_size, self._rng = examples, order, batch_size, rng

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    @property
    def n_items(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        chosen = self._order[number * self._batch_size : (number + 1) * self._batch_size]
        examples = self._examples
        members = examples.indices[chosen]
        frames = np.moveaxis(examples.frames[members], 1, -1)
        if examples.labels is not None:
            patches = np.moveaxis(examples.labels[members], 1, -1)
            return frames, (np.abs(patches), np.angle(patches))
        return (frames, examples.offsets_yx[chosen], examples.probe_index[chosen]), frames**2

    def on_epoch_end(self) -> None:
        if self._rng is not None:
            self._rng.shuffle(self._order)


def _trainer(network: keras.Model, architecture: Architecture, examples: _Examples) -> keras.Model:
    """Return what is fitted: the baseline itself, or the PINN's network followed by the physics."""
    if architecture.is_supervised:
        return network
    channels = architecture.n_channels
    offsets = keras.Input((channels, 2), name="offsets_yx")
    probe_index = keras.Input((), dtype="int32", name="probe_index")
    reach = float(np.abs(examples.offsets_yx).max(initial=0.0))
    amplitude, phase = network.outputs
    intensity = FarField(examples.probes, reach_px=reach)(amplitude, phase, offsets, probe_index)
    return keras.Model([network.inputs[0], offsets, probe_index], intensity)


def _learning_rate(settings: TrainingSettings, steps_per_epoch: int) -> Any:
    if settings.schedule == "plateau":
        return settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.epochs * steps_per_epoch)


def _make_state(trainer: keras.Model, batches: _Batches) -> None:
    """Make the variables of the optimizer and of the losses, which Keras else makes in the first step.

    TensorFlow traces a function that makes variables twice, and the step is the longest there is.
    """
    frames, truth = batches[0]
    trainer.optimizer.build(trainer.trainable_variables)
    trainer.compute_loss(frames, truth, trainer(frames, training=True))


def _fit(
    trainer: keras.Model,
    training: _Batches,
    validation: _Batches,
    settings: TrainingSettings,
    progress: Progress,
    label: str,
) -> tuple[dict[str, list[float]], bool]:
    """Return the history of the losses, and whether Ctrl-C ended it; the trainer keeps its best weights."""
    best = keras.callbacks.EarlyStopping(
        patience=settings.stop_patience if settings.schedule == "plateau" else settings.epochs,
        restore_best_weights=True,
    )
    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.TerminateOnNaN(), best]
    if settings.schedule == "plateau":
        callbacks.append(keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=settings.plateau_patience))
    with progress.stage(label, settings.epochs * training.n_items, "frames") as stage:
        callbacks.append(_Report(trainer, stage, training.n_items, settings))
        interrupted = False
        try:
            trainer.fit(
                training,
                validation_data=validation,
                epochs=settings.epochs,
                shuffle=False,
                callbacks=callbacks,
                verbose=0,  # pyright: ignore[reportArgumentType]
            )
        except KeyboardInterrupt:
            if best.best_weights is None:
                raise
            trainer.set_weights(best.best_weights)
            interrupted = True
    history = trainer.history.history  # pyright: ignore[reportOptionalMemberAccess]
    return {name: [float(value) for value in values] for name, values in history.items()}, interrupted


class _Report(keras.callbacks.Callback):
    """Moves the bar, says the loss, and ends training when its time is up."""

    def __init__(self, trainer: keras.Model, stage: Stage, n_items: int, settings: TrainingSettings) -> None:
        super().__init__()
        self._trainer, self._stage, self._n_items, self._settings = trainer, stage, n_items, settings
        self._started = time.monotonic()
        self._left_in_epoch = n_items

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._left_in_epoch = self._n_items

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        done = min(self._settings.batch_size, self._left_in_epoch)
        self._left_in_epoch -= done
        self._stage.advance(done)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        losses = logs or {}
        self._stage.note(
            f"epoch {epoch + 1}/{self._settings.epochs}, loss {losses.get('loss', float('nan')):.4g}, "
            f"validation {losses.get('val_loss', float('nan')):.4g}"
        )
        limit = self._settings.max_minutes
        if limit is not None and time.monotonic() - self._started > 60 * limit:
            logger.info("training stops after epoch %d: %g minutes are over", epoch + 1, limit)
            self._trainer.stop_training = True


def _collapse(model: PatchModel, validation: _Batches) -> str | None:
    inputs, _ = validation[0]
    frames, offsets = (inputs[0], inputs[1]) if isinstance(inputs, tuple) else (inputs, None)
    reason = collapse_reason(model.predict_batch(frames, offsets))
    if reason is not None:
        logger.warning(
            "the %s has collapsed: %s; train it on objects and a probe with more structure, or with another seed",
            model.architecture.kind,
            reason,
        )
    return reason


def _record(
    settings: TrainingSettings, history: dict[str, list[float]], examples: _Examples
) -> dict[str, Any]:
    return {
        "settings": asdict(settings),
        "n_frames": len(examples.frames),
        "n_scans": len(examples.probes),
        "epochs_run": len(history.get("loss", [])),
        "best_validation_loss": min(history.get("val_loss", []), default=None),
    }
