"""`ptycho-train`: scans in, a trained model with its loss curve out."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho._io.unchanged import Snapshot
from ptycho.cli import (
    _errors,
    _flags,
    _import_flags,
    _inputs,
    _logging,
    _named_inputs,
    _paths,
    _ptychopinn_flags,
    _signals,
)
from ptycho.cli._parser import Parser

if TYPE_CHECKING:
    from ptycho.data.scan import ScanData
    from ptycho.models import HeldOutImage
    from ptycho.models.networks import Architecture, ModelKind
    from ptycho.models.patch_model import PatchModel
    from ptycho.models.training import TrainingOrigin, TrainingResult, TrainingSettings

logger = logging.getLogger(__name__)

_CHECKPOINT = "checkpoint.npz"
_LOSS_CURVE, _HELD_OUT = "loss_curve", "held_out.png"
_TRAINING_FILES = (f"{_LOSS_CURVE}.csv", _HELD_OUT, "training_report.html", _CHECKPOINT)


def build_parser(prog: str = "ptycho-train") -> Parser:
    """Return the parser of `ptycho-train`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Train a network on one or more scans. The pinn learns from diffraction alone; the baseline learns "
        "the patches of objectGuess or Y.",
        _ptychopinn_flags.TRAIN,
    )
    _add_files(parser)
    _add_network(parser.add_argument_group("network"))
    learning = parser.add_argument_group("learning")
    _add_steps(learning)
    _add_end(learning)
    _add_start(learning)
    _add_watching(parser.add_argument_group("stopping, going on and watching"))
    _import_flags.add_import_flags(parser)
    _flags.add_display_flags(parser)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        choices=("pinn", "baseline"),
        required=True,
        help="network to train: pinn is self-supervised, baseline is supervised",
    )
    parser.add_argument(
        "--train_data",
        type=Path,
        nargs="+",
        required=True,
        metavar="SCAN",
        help="scans to learn from, all with frames of the same size",
    )
    _flags.add_mask_hot(parser)
    parser.add_argument(
        "--output_dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the model and its loss curve, made if it is not there",
    )
    _flags.add_figure_files(parser)
    there = parser.add_mutually_exclusive_group()
    there.add_argument(
        "--overwrite", action="store_true", help="replace a model in the output folder, and begin anew"
    )
    there.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint in the output folder; begin with the first epoch if there is neither one nor a "
        "model, so that one command does for the first job and for those that follow it",
    )
    _flags.add_device_flag(parser)


def _add_network(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--gridsize",
        type=_flags.positive_int,
        metavar="G",
        help="the pinn sees groups of G² neighbouring frames at once; the baseline takes 1 (default 1, or that of "
        "--init-from)",
    )
    group.add_argument(
        "--n-filters-scale",
        type=float,
        metavar="S",
        help="factor on the number of filters of every layer (default 2, or that of --init-from)",
    )
    group.add_argument(
        "--init-from",
        type=Path,
        metavar="MODEL",
        help="begin with the weights of this model instead of random ones: a folder of ptycho-train, or a file of "
        "PtychoPINN's whose layers are those of this network",
    )


def _add_steps(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--batch-size",
        type=_flags.positive_int,
        default=16,
        metavar="COUNT",
        help="number of groups of frames in one training step (default %(default)s)",
    )
    group.add_argument(
        "--learning-rate",
        type=_flags.positive,
        default=1e-3,
        metavar="RATE",
        help="learning rate of the Adam optimiser at the start (default %(default)g)",
    )
    group.add_argument(
        "--schedule",
        choices=("plateau", "cosine"),
        default="plateau",
        help="plateau: halve the learning rate when the validation loss rests, and stop early; cosine: let it fall "
        "to 0 over --epochs (default %(default)s)",
    )


def _add_end(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--epochs",
        type=_flags.positive_int,
        default=50,
        metavar="COUNT",
        help="largest number of passes over the training frames (default %(default)s)",
    )
    group.add_argument(
        "--stop-patience",
        type=_flags.positive_int,
        default=3,
        metavar="EPOCHS",
        help="with plateau: stop when the validation loss has not improved for this many epochs "
        "(default %(default)s)",
    )
    group.add_argument(
        "--max-minutes",
        type=_flags.positive,
        metavar="MIN",
        help="time limit in minutes: stop after the epoch in which it is reached (default none)",
    )


def _add_start(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--validation-fraction",
        type=_flags.fraction,
        default=0.05,
        metavar="F",
        help="share of the groups, between 0 and 1, that is held out to measure the validation loss "
        "(default %(default)g)",
    )
    group.add_argument(
        "--hold-out",
        choices=("auto", "scans", "blocks", "random"),
        default="auto",
        help="which groups: whole scans; a block of every scan with a margin that nothing learnt overlaps; drawn at "
        "random, so that they overlap with what is learnt; auto: of the first two what leaves more to learn from, "
        "random if neither leaves three fifths (default %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=_flags.seed,
        default=0,
        help="seed of the first weights, the order of the frames and the choice of groups (default %(default)s)",
    )
    group.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        default="float32",
        help="number format of the layers; mixed_bfloat16 is up to three times as fast where the hardware has "
        "bfloat16 units (default %(default)s)",
    )


def _add_watching(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--checkpoint",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the state after each epoch in the output folder, for --resume; it takes four times the room of the "
        "model (default on)",
    )
    group.add_argument(
        "--tensorboard",
        type=Path,
        metavar="DIR",
        help="folder in which losses, learning rate and a picture of held-out frames are written for TensorBoard "
        "(default none)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train and write; the work of `main` once the arguments are parsed."""
    output = _output(arguments)
    inputs = _named_inputs.inputs_of(arguments)
    output.check([*inputs, *_files_of_start(arguments)])
    before = Snapshot.of(inputs, but=output.path)
    if arguments.tensorboard is not None:
        _paths.check_output_folder(arguments.tensorboard)
    scans = _import_flags.read_all(arguments, arguments.train_data, labels=arguments.model == "baseline")

    from ptycho.models.devices import computing_on
    from ptycho.models.training import TrainingSettings, check_folder, check_trainable

    # All that is known without TensorFlow, which takes its time to load.
    files = list(map(str, arguments.train_data))
    check_trainable(scans, _architecture(arguments, scans[0].patch_size, None), files=files)
    settings = _flags.settings_from(arguments, TrainingSettings)
    with computing_on(arguments.device):
        start = _start(arguments)
        architecture = _architecture(arguments, scans[0].patch_size, start)
        check_trainable(scans, architecture, start=start, files=files)
        if arguments.resume:
            check_folder(arguments.output_dir, architecture, settings, start=start, resume=True)
        with _errors.working(), output.in_use():
            code = _train(arguments, scans, architecture, start, settings)
            _inputs.refuse_changes(before, kept_in=output.path)
            return code


def _output(arguments: argparse.Namespace) -> _paths.OutputFolder:
    """Return the folder: what is in it is gone on from, begun anew when asked, and else left alone."""
    from ptycho.models.bundle import BUNDLE_FILES
    from ptycho.report.names import picture_files

    folder, may_be_there = arguments.output_dir, arguments.overwrite or arguments.resume
    files = (*BUNDLE_FILES, *_TRAINING_FILES, *picture_files(_LOSS_CURVE))
    if (folder / _CHECKPOINT).exists():
        instead = "pass --resume to go on with its training, --overwrite to begin anew"
        return _paths.OutputFolder(folder, files, may_be_there, instead)
    if arguments.resume:
        # A table of losses alone is what a training leaves that was stopped before it kept its state.
        instead = (
            f"there is no {_CHECKPOINT} to go on from: pass --overwrite in place of --resume to begin anew"
        )
        return _paths.OutputFolder(folder, BUNDLE_FILES, False, instead)
    return _paths.OutputFolder(folder, files, may_be_there)


def _train(
    arguments: argparse.Namespace,
    scans: Sequence[ScanData],
    architecture: Architecture,
    start: PatchModel | None,
    settings: TrainingSettings,
) -> int:
    from autobatch import is_out_of_memory
    from ptycho.cli._drawing import drawn_or_failed
    from ptycho.models import tensorboard_log
    from ptycho.models.training import save_training, train

    folder = arguments.output_dir
    if arguments.overwrite:
        (folder / _CHECKPOINT).unlink(missing_ok=True)
    board = None if arguments.tensorboard is None else tensorboard_log(arguments.tensorboard)
    with _logging.progress_display(arguments) as progress:
        try:
            result = train(
                scans,
                architecture,
                settings=settings,
                start=start,
                folder=folder,
                resume=arguments.resume,
                callbacks=[] if board is None else [board],
                origin=_origin(arguments),
                progress=progress,
                on_image=lambda picture: _show(picture, folder, None if board is None else board.show),
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise _errors.WorkFailedError(
                f"training ran out of memory at --batch-size {settings.batch_size}; pass a smaller one, or fewer scans."
            ) from None
        # A second Ctrl-C in the short time that this takes would lose what the first was to keep.
        with _signals.signals_held_back():
            written = save_training(folder, result)
        drawn, failure = drawn_or_failed(lambda: _drawn(arguments, result, folder))
    if not arguments.quiet:
        _report(folder, result.summary, [*written, *drawn])
    if result.interrupted or (failure is not None and failure.kind == "stopped"):
        kept = "the best epoch so far" if result.interrupted else "the model"
        raise KeyboardInterrupt(f"stopped by Ctrl-C; {kept} is kept in {folder}")
    if failure is not None:
        raise _errors.WorkFailedError(
            f"{failure.what} failed: {failure.reason}; the model is kept in {folder}."
        )
    return 0


def _files_of_start(arguments: argparse.Namespace) -> list[Path]:
    from ptycho.models.bundle import bundle_files

    return [] if arguments.init_from is None else bundle_files(arguments.init_from)


def _start(arguments: argparse.Namespace) -> PatchModel | None:
    if arguments.init_from is None:
        return None
    from ptycho.models import as_trainable, load_model

    kind: ModelKind = arguments.model
    return as_trainable(load_model(arguments.init_from, kind=kind))


def _architecture(arguments: argparse.Namespace, patch_size: int, start: PatchModel | None) -> Architecture:
    """Return the network to train: what the flags say, and else what it begins with is."""
    from ptycho.models.networks import Architecture

    known = Architecture(kind=arguments.model, patch_size=patch_size)
    if start is not None and isinstance(start.architecture, Architecture):
        known = start.architecture
    given = {name: getattr(arguments, name) for name in ("gridsize", "n_filters_scale")}
    return replace(known, **{name: value for name, value in given.items() if value is not None})


def _show(picture: HeldOutImage, folder: Path, beside: Callable[[HeldOutImage], None] | None) -> None:
    """Put a picture of held-out frames where it is looked at; no training ends for want of one."""
    from ptycho.report import plot_held_out

    try:
        plot_held_out(picture, folder / _HELD_OUT)
        if beside is not None:
            beside(picture)
    except OSError as error:
        logger.warning("the picture of held-out frames was not written: %s", error)


def _origin(arguments: argparse.Namespace) -> TrainingOrigin:
    from ptycho.models.training import TrainingOrigin

    return TrainingOrigin(
        files=tuple(map(str, arguments.train_data)),
        start=None if arguments.init_from is None else str(arguments.init_from),
        command=arguments.command_line,
    )


def _drawn(arguments: argparse.Namespace, result: TrainingResult, folder: Path) -> list[Path]:
    from ptycho.report import PlotOptions, plot_loss_curve, save_figure, write_training_page

    options = _flags.settings_from(arguments, PlotOptions)
    curve = save_figure(
        plot_loss_curve(result.history, options=options), folder / _LOSS_CURVE, options=options
    )
    pictures = [path for path in [folder / _HELD_OUT] if path.exists()]
    return [*curve, *pictures, write_training_page(folder)]


def _report(folder: Path, summary: str, files: Sequence[Path]) -> None:
    print(f"{folder}: {summary}")
    print("files: " + ", ".join(path.name for path in files))


def main(argv: Sequence[str] | None = None, *, prog: str = "ptycho-train") -> int:
    """Run `ptycho-train` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
