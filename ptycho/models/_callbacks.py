"""What happens beside the steps of a training: its course, its display, and what it leaves on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from autobatch import Stage
from ptycho.models import _course
from ptycho.models.training import TrainingSettings

logger = logging.getLogger(__name__)


class Course(keras.callbacks.Callback):
    """Keeps history and best weights, halves the learning rate and ends the training when its losses say so."""

    def __init__(self, trainer: keras.Model, settings: TrainingSettings) -> None:
        super().__init__()
        self._trainer, self._settings = trainer, settings
        self.history: dict[str, list[float]] = {}
        self.best_weights: Sequence[np.ndarray] | None = None

    @property
    def n_epochs(self) -> int:
        """Number of epochs that are done."""
        return len(self.history.get("loss", ()))

    @property
    def is_over(self) -> bool:
        """Whether the losses so far end the training."""
        losses = self.history.get("val_loss", ())
        return self._settings.schedule == "plateau" and _course.has_rested(
            losses, self._settings.stop_patience
        )

    def take_up(self, history: dict[str, list[float]], best_weights: Sequence[np.ndarray]) -> None:
        """Go on after the epochs of `history`."""
        self.history = {name: list(values) for name, values in history.items()}
        self.best_weights = best_weights

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Note the losses of the epoch and draw the conclusions."""
        optimizer = self._trainer.optimizer
        # Callbacks that come later, a user's among them, find it there.
        logs = {} if logs is None else logs
        rate = keras.ops.convert_to_numpy(optimizer.learning_rate)
        logs["learning_rate"] = float(rate)  # pyright: ignore[reportArgumentType]
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        losses = self.history["val_loss"]
        if self.best_weights is None or _course.best_epoch(losses) == len(losses) - 1:
            self.best_weights = self._trainer.get_weights()
        plateau = self._settings.schedule == "plateau"
        if plateau and _course.is_halving_due(losses, self._settings.plateau_patience):
            optimizer.learning_rate = logs["learning_rate"] / 2
        if self.is_over:
            self._trainer.stop_training = True


class AfterEpoch(keras.callbacks.Callback):
    """Calls `write` after every epoch whose loss is a number."""

    def __init__(self, write: Callable[[], None]) -> None:
        super().__init__()
        self._write = write

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write; weights that are lost to NaN are no state to go on from."""
        if np.isfinite((logs or {}).get("loss", np.nan)):
            self._write()


class BeforeEpoch(keras.callbacks.Callback):
    """Calls ``begin(epoch)`` before every epoch, counted from 0."""

    def __init__(self, begin: Callable[[int], None]) -> None:
        super().__init__()
        self._begin = begin

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begin."""
        self._begin(epoch)


class Report(keras.callbacks.Callback):
    """Moves the bar, says the losses, and ends training when its time is up."""

    def __init__(
        self,
        trainer: keras.Model,
        stage: Stage,
        n_items: int,
        settings: TrainingSettings,
        history: Mapping[str, Sequence[float]],
    ) -> None:
        super().__init__()
        self._trainer, self._stage, self._n_items, self._settings = trainer, stage, n_items, settings
        self._history = history
        self._started = time.monotonic()
        self._left_in_epoch = n_items

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Count the frames of this epoch."""
        self._left_in_epoch = self._n_items

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar."""
        done = min(self._settings.batch_size, self._left_in_epoch)
        self._left_in_epoch -= done
        self._stage.advance(done)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Say the losses; look at the clock."""
        self._stage.note(f"epoch {epoch + 1}/{self._settings.epochs}, {_said(logs or {}, self._history)}")
        limit = self._settings.max_minutes
        if limit is not None and time.monotonic() - self._started > 60 * limit:
            logger.info("training stops after epoch %d: %g minutes are over", epoch + 1, limit)
            self._trainer.stop_training = True


def _said(losses: Mapping[str, float], history: Mapping[str, Sequence[float]]) -> str:
    """Return the losses of an epoch, the one of held-out frames beside what noise leaves of it, and its course."""
    nothing = float("nan")
    parts = [f"loss {losses.get('loss', nothing):.4g}", f"validation {losses.get('val_loss', nothing):.4g}"]
    if "val_loss_floor" in losses:
        parts[-1] += f" (noise {losses['val_loss_floor']:.4g})"
    if "val_chi2" in losses:
        parts.append(f"χ² {losses['val_chi2']:.3g}")
    return f"{', '.join(parts)} {_course.sparkline(history.get('val_loss', ()))}".rstrip()
