"""What a training leaves in its folder with every epoch: the table of its losses, and the state to go on from."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from ptycho._io.atomic import replacing
from ptycho.models._callbacks import Course
from ptycho.models._checkpoint import (
    CHECKPOINT,
    Checkpoint,
    check_fits,
    check_same,
    check_same_scans,
    load_checkpoint,
)

logger = logging.getLogger(__name__)


class Journal:
    """Keeps the folder of one training up to date."""

    def __init__(
        self,
        folder: Path,
        trainer: keras.Model,
        course: Course,
        conditions: dict[str, Any],
        *,
        files: tuple[str, ...],
        with_checkpoint: bool,
    ) -> None:
        self._folder, self._trainer, self._course = folder, trainer, course
        self._conditions, self._files, self._with_checkpoint = conditions, files, with_checkpoint

    def write(self) -> None:
        """Write what is known after an epoch; each file is there whole, as of this epoch or the one before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        history = self._course.history
        if self._with_checkpoint:
            state = Checkpoint(
                conditions=self._conditions,
                history=history,
                weights=tuple(self._trainer.get_weights()),
                best_weights=tuple(self._course.best_weights or ()),
                optimizer=tuple(variable.numpy() for variable in self._trainer.optimizer.variables),
                files=self._files,
            )
            state.save(self._folder / CHECKPOINT)
        write_losses(self._folder / LOSSES, history)

    def take_up(self) -> None:
        """Bring trainer and course to the state of the last epoch, if there is one.

        Raises
        ------
        DataError
            It is that of another training, or damaged.
        """
        path = self._folder / CHECKPOINT
        if not path.exists():
            logger.info("there is no %s to go on from; training begins with the first epoch", path)
            return
        state = load_checkpoint(path)
        check_same_scans(state, self._conditions["scans"], self._files, path)
        check_same(state.conditions, self._conditions, path)
        variables = self._trainer.optimizer.variables
        check_fits(variables, state.optimizer, path)
        for weights in (state.weights, state.best_weights):
            check_fits(self._trainer.weights, weights, path)
        self._trainer.set_weights(state.weights)
        for variable, numbers in zip(variables, state.optimizer, strict=True):
            variable.assign(numbers)
        self._course.take_up(state.history, state.best_weights)
        logger.info("training goes on after epoch %d, from %s", state.n_epochs, path)


LOSSES = "loss_curve.csv"


def write_losses(path: Path, history: Mapping[str, Sequence[float]]) -> None:
    """Write a table of losses, a row per epoch; it is there whole or not at all."""
    names = sorted(history)
    rows = zip(*(history[name] for name in names), strict=True)
    with replacing(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["epoch", *names])
        writer.writerows([epoch, *row] for epoch, row in enumerate(rows, start=1))
