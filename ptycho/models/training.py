"""Training of both networks: scans in, a `PatchModel` and its loss curve out.

The PINN learns from diffraction alone: predicted patches go through the far-field model and are compared with
the measured intensity. The baseline learns the labelled patches directly. Keras is imported by `train` alone.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from autobatch import Progress
from ptycho._checks import fields
from ptycho._io.atomic import replacing
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.models.bundle import bundle_files, save_bundle
from ptycho.models.networks import Architecture, Precision
from ptycho.models.patch_model import PatchModel

Schedule = Literal["plateau", "cosine"]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How long, how fast and on what share of the data a network learns; every field is checked when made.

    Attributes
    ----------
    epochs : int
        Largest number of passes over the training frames.
    batch_size : int
        Groups of frames in one step.
    learning_rate : float
        Of the Adam optimiser at the start.
    schedule : {"plateau", "cosine"}
        "plateau": the learning rate is halved after `plateau_patience` epochs without a better validation loss,
        and training stops after `stop_patience`; "cosine": it falls to zero over `epochs`.
    plateau_patience, stop_patience : int
        Epochs.
    validation_fraction : float
        Share of the groups, between 0 and 1, that is held out.
    max_minutes : float, optional
        Training stops after the epoch in which this time is over.
    precision : {"float32", "mixed_bfloat16"}
        Number format of the layers.
    seed : int
        Of the first weights, the order of the frames and the choice of groups.

    Raises
    ------
    SettingsError
        A field is of another type, misspelt or out of its range.
    """

    epochs: int = 50
    batch_size: int = 16
    learning_rate: float = 1e-3
    schedule: Schedule = "plateau"
    plateau_patience: int = 2
    stop_patience: int = 3
    validation_fraction: float = 0.05
    max_minutes: float | None = None
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            learning_rate=fields.number(self.learning_rate, "learning_rate", above=0),
            schedule=fields.choice(self.schedule, "schedule", get_args(Schedule)),
            validation_fraction=fields.number(
                self.validation_fraction, "validation_fraction", above=0, below=1
            ),
            precision=fields.choice(self.precision, "precision", get_args(Precision)),
            seed=fields.seed(self.seed, "seed"),
            **{
                name: fields.whole_number(getattr(self, name), name, at_least=1)
                for name in ("epochs", "batch_size", "plateau_patience", "stop_patience")
            },
        )
        if self.max_minutes is not None:
            fields.checked(self, max_minutes=fields.number(self.max_minutes, "max_minutes", above=0))


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model and how its training went.

    Attributes
    ----------
    model : PatchModel
        With the weights of the best epoch.
    history : dict of str to list of float
        One value per epoch: ``loss``, ``val_loss``, their parts and ``learning_rate``.
    collapsed : str or None
        Why its output looks like that of a collapsed network.
    interrupted : bool
        Whether Ctrl-C ended the training.
    """

    model: PatchModel
    history: dict[str, list[float]] = field(default_factory=dict)
    collapsed: str | None = None
    interrupted: bool = False

    @property
    def summary(self) -> str:
        """One line: epochs, best validation loss, and a word if the network has collapsed."""
        losses = self.history.get("val_loss", [])
        best = f", best validation loss {min(losses):.4g}" if losses else ""
        verdict = f"; it has COLLAPSED: {self.collapsed}" if self.collapsed else ""
        return f"{self.model.architecture.kind} trained for {len(losses)} epochs{best}{verdict}"


def train(
    scans: Sequence[ScanData],
    architecture: Architecture,
    *,
    settings: TrainingSettings | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network of `architecture` on `scans`.

    Each scan is normalised and keeps its own probe. A share of the groups is held out to decide when to
    stop; the weights of the best epoch are kept, after Ctrl-C too once an epoch is done. Seeds Keras's
    generators with `settings.seed`.

    Parameters
    ----------
    scans : sequence of ScanData
        With frames of one size; for a baseline each with labels or an object.
    architecture : Architecture
        The network to build.
    settings : TrainingSettings, optional
    progress : Progress, optional
        Display that gets one stage, counting frames.

    Returns
    -------
    TrainingResult

    Raises
    ------
    DataError
        If frames do not fit the architecture, or a baseline is given no labels and no object.
    KeyboardInterrupt
        Ctrl-C before the first epoch was done.
    """
    from ptycho.models import _fitting

    check_trainable(scans, architecture)
    return _fitting.fit(scans, architecture, settings or TrainingSettings(), progress)


def save_training(folder: str | os.PathLike[str], result: TrainingResult) -> list[Path]:
    """Write the model's bundle and ``loss_curve.csv``, a row per epoch.

    Parameters
    ----------
    folder : path
        Made if there is none.
    result : TrainingResult

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    target = Path(folder)
    save_bundle(target, result.model)
    names = sorted(result.history)
    rows = zip(*(result.history[name] for name in names), strict=True)
    table = target / "loss_curve.csv"
    with replacing(table) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["epoch", *names])
        writer.writerows([epoch, *row] for epoch, row in enumerate(rows, start=1))
    return [*bundle_files(target), table]


def check_trainable(scans: Sequence[ScanData], architecture: Architecture) -> None:
    """Refuse scans that a network of `architecture` cannot be trained on; computes nothing.

    Parameters
    ----------
    scans : sequence of ScanData
    architecture : Architecture

    Raises
    ------
    DataError
        There is no scan, its frames have another size, labels are missing, or there are too few frames.
    """
    if not scans:
        raise DataError("no training scan was given; name at least one file.")
    for number, scan in enumerate(scans):
        if scan.patch_size != architecture.patch_size:
            raise DataError(
                f"training scan {number} has frames of {scan.patch_size} pixels but the network takes "
                f"{architecture.patch_size}; train on scans of one size."
            )
        if architecture.is_supervised and scan.labels is None and scan.object_guess is None:
            raise DataError(
                f"training scan {number} has neither labels (Y) nor an objectGuess, and the {architecture.kind} "
                "learns from them; merge a reconstruction with `ptycho-convert --object`, or train the pinn."
            )
    if sum(scan.n_frames for scan in scans) < 2 * architecture.n_channels:
        raise DataError("the training scans hold too few frames to learn from; give at least a few hundred.")
