"""Training of both networks: scans in, a `PatchModel` and its loss curve out.

The PINN learns from diffraction alone: predicted patches go through the far-field model and are compared with
the measured intensity. The baseline learns the labelled patches directly. Keras is imported by `train` alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from autobatch import Progress
from ptycho._checks import fields
from ptycho.data.scan import ScanData
from ptycho.errors import DataError, SettingsError
from ptycho.models._checkpoint import CHECKPOINT, check_same, load_checkpoint
from ptycho.models._record import conditions_of
from ptycho.models.bundle import bundle_files, is_bundle, save_bundle
from ptycho.models.networks import Architecture, Precision
from ptycho.models.patch_model import PatchModel
from ptycho.models.training_result import HeldOutImage as HeldOutImage
from ptycho.models.training_result import TrainingResult as TrainingResult

if TYPE_CHECKING:
    import keras

    from ptycho.models._tensorboard import TensorboardLog

Schedule = Literal["plateau", "cosine"]
HoldOut = Literal["auto", "scans", "blocks", "random"]


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
    hold_out : {"auto", "scans", "blocks", "random"}
        Which: whole scans; a block at a corner of every scan, with no frame learnt that overlaps with it; or groups
        drawn at random, whose frames overlap with those that are learnt. "auto" takes of the first two what leaves
        more to learn from and, with a warning, random groups where both would leave less than three fifths.
    max_minutes : float, optional
        Training stops after the epoch in which this time is over.
    precision : {"float32", "mixed_bfloat16"}
        Number format of the layers.
    seed : int
        Of the first weights, the order of the frames and the choice of groups.
    checkpoint : bool
        Whether the state after each epoch is kept in the folder of the training.

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
    hold_out: HoldOut = "auto"
    max_minutes: float | None = None
    precision: Precision = "float32"
    seed: int = 0
    checkpoint: bool = True

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            learning_rate=fields.number(self.learning_rate, "learning_rate", above=0),
            schedule=fields.choice(self.schedule, "schedule", get_args(Schedule)),
            validation_fraction=fields.number(
                self.validation_fraction, "validation_fraction", above=0, below=1
            ),
            hold_out=fields.choice(self.hold_out, "hold_out", get_args(HoldOut)),
            precision=fields.choice(self.precision, "precision", get_args(Precision)),
            seed=fields.seed(self.seed, "seed"),
            checkpoint=fields.flag(self.checkpoint, "checkpoint"),
            **{
                name: fields.whole_number(getattr(self, name), name, at_least=1)
                for name in ("epochs", "batch_size", "plateau_patience", "stop_patience")
            },
        )
        if self.max_minutes is not None:
            fields.checked(self, max_minutes=fields.number(self.max_minutes, "max_minutes", above=0))


@dataclass(frozen=True, kw_only=True)
class TrainingOrigin:
    """Where a training came from, for the record that its bundle keeps.

    Attributes
    ----------
    files : tuple of str
        The file of each scan, in order; empty if they came from none.
    start : str, optional
        Where the first weights came from, if they are not random.
    command : tuple of str
        The words of the command.
    """

    files: tuple[str, ...] = ()
    start: str | None = None
    command: tuple[str, ...] = ()


def train(
    scans: Sequence[ScanData],
    architecture: Architecture,
    *,
    settings: TrainingSettings | None = None,
    start: PatchModel | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    origin: TrainingOrigin | None = None,
    progress: Progress | None = None,
    on_image: Callable[[HeldOutImage], None] | None = None,
) -> TrainingResult:
    """Train a network of `architecture` on `scans`.

    Each scan is normalised and keeps its own probe and mask. Frames stay where they are, in a file perhaps, and are
    read batch by batch. A share of the groups is held out to decide when to stop; the weights of the best epoch
    are kept, after Ctrl-C too once an epoch is done. Seeds Keras's generators with `settings.seed`.

    Parameters
    ----------
    scans : sequence of ScanData
        With frames of one size; for a baseline each with labels or an object.
    architecture : Architecture
        The network to build.
    settings : TrainingSettings, optional
    start : PatchModel, optional
        A trained network of this architecture to begin with, instead of random weights.
    folder : path, optional
        Where, with every epoch, the table ``loss_curve.csv`` grows and the state of the training is kept as
        ``checkpoint.npz``. Without one nothing is written.
    resume : bool
        Go on from the state in `folder`, to the same weights as without the stop, bit for bit on a CPU; begin anew
        if there is neither one nor a finished model. `callbacks` begin anew.
    callbacks : sequence of keras.callbacks.Callback
        Called as Keras does, after the training's own, with a model of which the network is a part.
    origin : TrainingOrigin, optional
        What the record is to say of files and command.
    progress : Progress, optional
        Display that gets one stage, counting frames.
    on_image : callable, optional
        Called with what the network makes of held-out frames: after the first epoch, after every fifth, and with what
        the best one made at the end. What it raises ends the training; the epoch is kept.

    Returns
    -------
    TrainingResult

    Raises
    ------
    DataError
        If frames do not fit the architecture, a baseline is given no labels and no object, `start` is another
        network, the folder holds the state of a training that is not to go on, or of one under other conditions.
    OSError
        The folder cannot be written to.
    KeyboardInterrupt
        Ctrl-C before the first epoch was done.
    """
    settings = settings or TrainingSettings()
    origin = origin or TrainingOrigin()
    check_trainable(scans, architecture, start=start, files=origin.files)
    place = None if folder is None else Path(folder)
    check_folder(place, architecture, settings, start=start, resume=resume)

    from ptycho.models import _fitting

    return _fitting.fit(
        scans,
        architecture,
        settings,
        start=start,
        folder=place,
        resume=resume,
        callbacks=callbacks,
        origin=origin,
        progress=progress,
        on_image=on_image,
    )


def tensorboard_log(folder: str | os.PathLike[str]) -> TensorboardLog:
    """Return a callback for `train` that writes what TensorBoard shows: losses and learning rate of each epoch.

    Its method ``show`` is for `train`'s `on_image`: it writes the pictures of held-out frames.

    Parameters
    ----------
    folder : path
        For ``tensorboard --logdir``; made if there is none.

    Returns
    -------
    TensorboardLog
        A ``keras.callbacks.Callback``.
    """
    from ptycho.models._tensorboard import TensorboardLog

    return TensorboardLog(folder)


def check_folder(
    folder: Path | None,
    architecture: Architecture,
    settings: TrainingSettings,
    *,
    start: PatchModel | None,
    resume: bool,
) -> None:
    """Refuse to lose the state of a training, or to go on from one of another network or of other settings.

    Raises
    ------
    SettingsError
        There is no folder to go on from.
    DataError
        The folder holds a state that is not to be gone on from, a damaged one, or that of another training; or a
        finished model without the state that is to be gone on from.
    """
    if folder is None:
        if resume:
            raise SettingsError(
                "resume is True but folder is None; pass the folder of the training that is to go on."
            )
        return
    path = folder / CHECKPOINT
    if not path.exists():
        if resume and is_bundle(folder):
            raise DataError(
                f"{folder} holds a finished model but no {CHECKPOINT} to go on from; name another folder, or pass "
                "resume=False to begin anew."
            )
        return
    if not resume:
        raise DataError(
            f"{folder} holds the state of a training ({CHECKPOINT}); pass resume=True to go on from it, or remove it "
            "to begin anew."
        )
    check_same(load_checkpoint(path).conditions, conditions_of(architecture, settings, start), path)


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
    from ptycho.models._journal import LOSSES, write_losses

    target = Path(folder)
    save_bundle(target, result.model)
    write_losses(target / LOSSES, result.history)
    return [*bundle_files(target), target / LOSSES]


def check_trainable(
    scans: Sequence[ScanData],
    architecture: Architecture,
    *,
    start: PatchModel | None = None,
    files: Sequence[str] = (),
) -> None:
    """Refuse scans that a network of `architecture` cannot be trained on; computes nothing.

    Parameters
    ----------
    scans : sequence of ScanData
    architecture : Architecture
    start : PatchModel, optional
        The network to begin with.
    files : sequence of str
        What the scans are called in messages; else by their number.

    Raises
    ------
    DataError
        There is no scan, its frames have another size, labels are missing, there are too few frames, or `start` is
        another network.
    """
    if not scans:
        raise DataError("no training scan was given; name at least one file.")
    names = files or [f"training scan {number}" for number in range(len(scans))]
    for name, scan in zip(names, scans, strict=True):
        if scan.patch_size != architecture.patch_size:
            raise DataError(
                f"{name} has frames of {scan.patch_size} pixels but the network takes {architecture.patch_size}; "
                f"{_remedy_for_size(scan, start)}."
            )
        if architecture.is_supervised and scan.labels is None and scan.object_guess is None:
            raise DataError(
                f"{name} has neither labels (Y) nor an objectGuess, and the {architecture.kind} "
                "learns from them; give the scan an `object_guess`, or train the pinn."
            )
    if sum(scan.n_frames for scan in scans) < 2 * architecture.n_channels:
        raise DataError("the training scans hold too few frames to learn from; give at least a few hundred.")
    if start is not None and start.architecture != architecture:
        raise DataError(_other_network(start, architecture))


def _remedy_for_size(scan: ScanData, start: PatchModel | None) -> str:
    if start is None:
        return "train on scans of one size"
    return f"begin with a network for {scan.patch_size}, or leave out `start` to begin with random weights"


def _other_network(start: PatchModel, architecture: Architecture) -> str:
    """Return in a sentence how `start` differs from the network that is to be trained."""
    if not isinstance(start.architecture, Architecture):
        return (
            f"the network to begin with is {start.architecture}, which is not trained here as it is; begin with "
            "ptycho.models.as_trainable(start)."
        )
    before, wanted = asdict(start.architecture), asdict(architecture)
    name = next(name for name in wanted if before[name] != wanted[name])
    remedy = f"leave out `{name}`" if name in ("gridsize", "n_filters_scale") else "ask for the same"
    return (
        f"the network to begin with has {name} {before[name]} but one of {wanted[name]} is to be trained; {remedy}, or "
        "begin with random weights."
    )
