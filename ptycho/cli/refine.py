"""`ptycho-refine`: a finished image, or none, and the frames of its scan in, a better image out."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
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
    _orientation,
    _paths,
    _sharding_flags,
)
from ptycho.cli._parser import Parser
from ptycho.errors import DataError

if TYPE_CHECKING:
    from ptycho.cli._runs import RunStart
    from ptycho.comparison import ComparisonResult, FinishedArm
    from ptycho.data.scan import ScanData
    from ptycho.refinement import Refine, RefinementRun, RefinementSettings, SweepCheckpointing

logger = logging.getLogger(__name__)

_STEM, _REPORT = "refined", "run_report.json"
_IMAGE = f"{_STEM}.npz"
_LOG = "logs/debug.log"
_FLAT = "Flat object"


def build_parser(prog: str = "ptycho-refine") -> Parser:
    """Return the parser of `ptycho-refine`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Improve an image of the object by sweeps over the measured frames, with the probe of the scan (regularised "
        "PIE, doi:10.1364/OPTICA.4.000736).",
    )
    inputs = parser.add_argument_group("input")
    inputs.add_argument("--test_data", type=Path, required=True, metavar="SCAN", help="scan with the frames")
    _flags.add_mask_hot(inputs)
    inputs.add_argument(
        "--image",
        type=Path,
        metavar="FILE",
        help="where to begin: a finished reconstruction of this scan, such as the reconstruction.npz of "
        "ptycho-reconstruct (default: a flat object)",
    )
    _import_flags.add_import_flags(parser)
    _orientation.add_flag(parser)
    _add_method(parser.add_argument_group("method (these decide the image)"))

    batches = parser.add_argument_group(
        "memory (these change memory and speed, and the image by rounding alone)"
    )
    _flags.add_batch_size(batches, "--batch-size", "frames of a mini-batch computed at once")
    _flags.add_device_flag(batches, several=True)
    going_on = parser.add_argument_group("clusters, and runs that are killed (docs/how-to/cluster.md)")
    _sharding_flags.add_scheduler(going_on, "do it on one worker")
    _sharding_flags.add_checkpoint(going_on, "the last finished sweep")

    output = parser.add_argument_group("output")
    _flags.add_run_flags(output)
    _flags.add_export(output)
    _flags.add_colour_scale(output)
    _flags.add_phase_limits(output)
    _flags.add_figure_files(output)
    _flags.add_display_flags(parser)
    return parser


def _add_method(group: argparse._ActionsContainer) -> None:
    """Add one flag a field of `RefinementSettings`, its `dest`."""
    count = {"type": _flags.positive_int, "metavar": "N"}
    group.add_argument("--sweeps", default=1, help="times that every frame is used (default 1)", **count)
    group.add_argument("--mini-batch", default=32, help="frames that make one step (default 32)", **count)
    group.add_argument(
        "--alpha",
        type=_flags.positive,
        default=0.5,
        metavar="A",
        help="0 < A <= 1: small is bold where little light falls, 1 is the plain gradient (default 0.5)",
    )
    group.add_argument(
        "--seed", type=_flags.seed, default=0, metavar="S", help="of the order of the frames (default 0)"
    )
    group.add_argument("--refine-probe", action="store_true", help="improve the probe too")
    group.add_argument("--refine-positions", action="store_true", help="improve the positions too")
    group.add_argument(
        "--max-position-shift",
        dest="max_position_shift_px",
        type=_flags.positive,
        # Left out it is no argument, so that one that is given is seen, and the settings have the default.
        default=argparse.SUPPRESS,
        metavar="PX",
        help="with --refine-positions: furthest that a position may be moved along an axis (default 8)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Refine and write; the work of `main` once the arguments are parsed."""
    _flags.check_colour_scale(arguments)
    _flags.check_phase_limits(arguments)
    settings = _settings(arguments)
    _sharding_flags.check_sharding(arguments)
    overwrite = arguments.overwrite or _sharding_flags.continues(arguments)
    output = _paths.OutputFolder(arguments.output_dir, (*_results(), _LOG), overwrite)
    inputs = _named_inputs.named_inputs(arguments)
    read = [path for _, path in inputs]
    output.check(read)
    before = Snapshot.of(read, but=output.path)
    scan, start = _open(arguments)
    if arguments.worker_devices is not None:
        logger.info("each step of a sweep needs the one before, so that %s alone does them", arguments.device)
    if arguments.dry_run:
        print(_plan(scan, start, settings))
        return 0
    with (
        _computing(arguments, settings),
        _sharding_flags.refining(arguments) as refine,
        _errors.working(),
        output.in_use(),
    ):
        return _refine(arguments, refine, scan, start, settings, inputs, output, before)


def _settings(arguments: argparse.Namespace) -> RefinementSettings:
    from ptycho.refinement import RefinementSettings

    settings = _flags.settings_from(arguments, RefinementSettings)
    if "max_position_shift_px" in arguments and not settings.refine_positions:
        raise _errors.UsageError(
            "--max-position-shift limits what --refine-positions does, which is not given; add it, or drop the limit."
        )
    if arguments.image is None:
        settings.check_from_flat()
    return settings


def _computing(arguments: argparse.Namespace, settings: RefinementSettings) -> AbstractContextManager[None]:
    """Prepare TensorFlow for a card of this process; the CPU does without it."""
    if arguments.scheduler is not None or not settings.on_card:
        return nullcontext()
    from ptycho.models.devices import computing_on

    return computing_on(settings.device)


def _results() -> tuple[str, ...]:
    from ptycho.data.exporting import EXPORT_SUFFIXES
    from ptycho.report.names import picture_files

    return (_IMAGE, _REPORT, *picture_files(_STEM), *(f"{_STEM}{suffix}" for suffix in EXPORT_SUFFIXES))


def _open(arguments: argparse.Namespace) -> tuple[ScanData, FinishedArm | None]:
    from ptycho.comparison import FinishedArm, load_arm
    from ptycho.data import check_export

    # A truth is left out: nothing here may depend on one.
    scan = replace(_import_flags.read(arguments, arguments.test_data, labels=False), object_guess=None)
    check_export(arguments.export, scan.geometry)
    if arguments.image is None:
        return scan, None
    start = load_arm(arguments.image, scan=scan)
    if not isinstance(start, FinishedArm):
        raise _errors.UsageError(
            f"{arguments.image} is a model but --image takes a finished image; run "
            f"ptycho-reconstruct --model_dir {arguments.image} --refine {arguments.sweeps}."
        )
    if start.image.origin_yx is None:
        raise DataError(
            f"{start.label} {start.why_unplaced}, so that {arguments.image} cannot be held against the frames; pass a "
            "reconstruction of these frames with their positions_yx."
        )
    return scan, start


def _plan(scan: ScanData, start: FinishedArm | None, settings: RefinementSettings) -> str:
    begin = (
        "a flat object"
        if start is None
        else f"{start.label}, {'x'.join(map(str, start.image.shape_yx))} pixels"
    )
    return (
        f"{scan.n_frames:,} frames of {scan.patch_size}x{scan.patch_size} pixels, {settings.sweeps} sweep(s) in "
        f"mini-batches of {settings.mini_batch:,}, beginning with {begin}\n"
        "Dry run: nothing was computed, nothing was written."
    )


def _refine(
    arguments: argparse.Namespace,
    refine: Refine,
    scan: ScanData,
    start: FinishedArm | None,
    settings: RefinementSettings,
    inputs: Sequence[tuple[str, Path]],
    output: _paths.OutputFolder,
    before: Snapshot,
) -> int:
    from ptycho.cli._runs import begun
    from ptycho.cli._summary import print_runs

    log = output.path / _LOG
    with begun(arguments, log, inputs, scan) as began:
        with _logging.progress_display(arguments) as progress:
            run = refine(
                None if start is None else start.image,
                scan,
                settings,
                progress=progress,
                label=_label(start, settings),
                checkpoint=_checkpoint(arguments),
            )
        result = _inputs.with_changes(_result(run, scan, start), before)
        result, files = _keep(arguments, result, scan, output, began)
        if not arguments.quiet:
            print_runs(result, [*files, log])
    _errors.raise_failures(result, kept_in=output.path)
    return 0


def _checkpoint(arguments: argparse.Namespace) -> SweepCheckpointing | None:
    from ptycho.refinement import SweepCheckpointing
    from ptycho.refinement.checkpoint import SWEEPS

    if arguments.checkpoint is None:
        return None
    return SweepCheckpointing(arguments.checkpoint / SWEEPS, arguments.resume)


def _label(start: FinishedArm | None, settings: RefinementSettings) -> str:
    from ptycho.comparison import refined_label

    return refined_label(_FLAT if start is None else start.label, settings)


def _result(run: RefinementRun, scan: ScanData, start: FinishedArm | None) -> ComparisonResult:
    """Return the image it began with, if any, and the refined one in one frame, all that the frames saw."""
    from ptycho.comparison import ComparisonSettings, RefinedArm, compare

    refined = RefinedArm(label=_label(start, run.settings), run=run)
    arms = [refined] if start is None else [start, refined]
    settings = ComparisonSettings(crop_size=scan.patch_size, register="none", refinement=run.settings)
    return compare(arms, scan, settings=settings)


def _keep(
    arguments: argparse.Namespace,
    result: ComparisonResult,
    scan: ScanData,
    output: _paths.OutputFolder,
    began: RunStart,
) -> tuple[ComparisonResult, list[Path]]:
    """Write image and report; then draw, which may fail or be stopped without costing them."""
    from ptycho._io.atomic import staged_files
    from ptycho.cli._drawing import drawn_or_failed
    from ptycho.data import export_reconstruction, write_reconstruction
    from ptycho.report import PlotOptions, plot_reconstruction, save_figure, write_report

    folder, refined = output.path, result.arms[-1]
    assert refined.refinement is not None  # `_result` gave it to the last
    with staged_files(
        folder, replaces=_results(), last=_REPORT, overwrite=output.overwrite, keeps_what_fits=True
    ) as stage:
        image = refined.refinement.as_reconstruction(label=refined.label)
        write_reconstruction(stage / _IMAGE, image)
        exports = export_reconstruction(stage / _STEM, image, arguments.export, geometry=scan.geometry)
        write_report(stage / _REPORT, result, began.info(arguments.command_line))

    def draw() -> list[Path]:
        limits = {refined.label: _flags.phase_limits(arguments)}
        options = _flags.settings_from(arguments, PlotOptions, phase_limits=limits)
        plot = plot_reconstruction(replace(result, arms=(refined,)), options=options)
        return save_figure(plot, folder / _STEM, options=options)

    drawn, failure = drawn_or_failed(draw)
    if failure is not None:
        result = replace(result, failures=(*result.failures, failure))
    write_report(folder / _REPORT, result, began.info(arguments.command_line))
    return result, [folder / _IMAGE, *(folder / path.name for path in exports), *drawn, folder / _REPORT]


def main(argv: Sequence[str] | None = None, *, prog: str = "ptycho-refine") -> int:
    """Run `ptycho-refine` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
