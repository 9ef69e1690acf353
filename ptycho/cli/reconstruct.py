"""`ptycho-reconstruct`: one model and one scan in, the image of the object out; no ground truth is needed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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
    _ptychopinn_flags,
    _sharding_flags,
)
from ptycho.cli._parser import Parser

if TYPE_CHECKING:
    from ptycho.cli._runs import RunStart
    from ptycho.comparison import Arm, ArmResult, ComparisonResult, ComparisonSettings
    from ptycho.data.scan import ScanData

_REPORT = "run_report.json"
# What the files of an image as it was made, and of the refined one, begin with.
_MADE, _REFINED = "reconstruction", "refined"
_LOG = "logs/debug.log"


def build_parser(prog: str = "ptycho-reconstruct") -> Parser:
    """Return the parser of `ptycho-reconstruct`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Run one trained network on a ptychographic scan and stitch its patches into an image of the object. "
        "Batch sizes look after themselves.",
        _ptychopinn_flags.RECONSTRUCT,
    )
    inputs = parser.add_argument_group("input")
    inputs.add_argument(
        "--model_dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of ptycho-train, or PtychoPINN's wts.h5.zip or baseline_model.h5",
    )
    inputs.add_argument("--test_data", type=Path, required=True, metavar="SCAN", help="scan to reconstruct")
    _flags.add_mask_hot(inputs)
    _flags.add_stitching(inputs)
    _flags.add_refinement(inputs)

    batches = parser.add_argument_group(
        "memory and batches (these change memory and speed, and the image by rounding alone)"
    )
    _flags.add_batch_size(batches, "--predict-batch-size", "frames predicted at once")
    _flags.add_memory(batches)
    _sharding_flags.add_sharding(parser)

    output = parser.add_argument_group("output")
    _flags.add_run_flags(output)
    _flags.add_export(output)
    _flags.add_colour_scale(output)
    _flags.add_phase_limits(output)
    _flags.add_figure_files(output)
    _import_flags.add_import_flags(parser)
    _orientation.add_flag(parser)
    _flags.add_display_flags(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct and write; the work of `main` once the arguments are parsed."""
    _flags.check_colour_scale(arguments)
    _flags.check_phase_limits(arguments)
    _sharding_flags.check_sharding(arguments)
    overwrite = arguments.overwrite or _sharding_flags.continues(arguments)
    output = _paths.OutputFolder(arguments.output_dir, (*_results(), _LOG), overwrite)
    inputs = _named_inputs.named_inputs(arguments)
    read = [path for _, path in inputs]
    output.check(read)
    before = Snapshot.of(read, but=output.path)
    _flags.check_batch_memo(arguments)

    from ptycho.models.devices import computing_on

    with computing_on(arguments.device, beside=_sharding_flags.devices_of_workers(arguments)):
        arm, scan, settings = _open(arguments)
        _paths.check_space(output.path, _bytes_to_write(arguments, scan, settings))
        if arguments.dry_run:
            from ptycho.cli._summary import print_plan

            print_plan([arm], scan, settings)
            return 0
        with _sharding_flags.sharded(arguments, [arm]) as arms, _errors.working(), output.in_use():
            return _reconstruct(arguments, arms, scan, settings, inputs, output, before)


def _bytes_to_write(arguments: argparse.Namespace, scan: ScanData, settings: ComparisonSettings) -> int:
    """Return what the image, its coverage and its exports take at least; all else is small beside them."""
    from ptycho.image.cropping import object_window

    area_px = object_window(scan.positions_yx, settings.crop_size).area_px
    n_images = 1 if settings.refinement is None else 2
    return n_images * (12 + 8 * len(arguments.export)) * area_px


def _results() -> tuple[str, ...]:
    from ptycho.data.exporting import EXPORT_SUFFIXES
    from ptycho.report.names import picture_files

    stems = (_MADE, _REFINED)
    data = (f"{stem}{suffix}" for stem in stems for suffix in (".npz", *EXPORT_SUFFIXES))
    return (*data, *picture_files(*stems), _REPORT)


def _open(arguments: argparse.Namespace) -> tuple[Arm, ScanData, ComparisonSettings]:
    from ptycho.cli._scans import whole_scan
    from ptycho.comparison import ComparisonSettings, check_arms, load_arm
    from ptycho.data import check_export
    from ptycho.models import is_model

    if arguments.model_dir.is_file() and not is_model(arguments.model_dir):
        raise _errors.UsageError(
            f"{arguments.model_dir} is no model; name the folder of a training run, or a wts.h5.zip or "
            "baseline_model.h5."
        )
    # A truth is left out: scoring is the business of compare-models, and nothing here may depend on one.
    scan = replace(whole_scan(arguments), object_guess=None)
    check_export(arguments.export, scan.geometry)
    arm = load_arm(arguments.model_dir)
    settings = _flags.settings_from(
        arguments, ComparisonSettings, register="none", refinement=_flags.refinement_from(arguments)
    )
    check_arms([arm], scan, settings)
    return arm, scan, settings


def _reconstruct(
    arguments: argparse.Namespace,
    arms: Sequence[Arm],
    scan: ScanData,
    settings: ComparisonSettings,
    inputs: Sequence[tuple[str, Path]],
    output: _paths.OutputFolder,
    before: Snapshot,
) -> int:
    from ptycho.cli._runs import begun
    from ptycho.cli._summary import print_runs
    from ptycho.comparison import compare

    log = output.path / _LOG
    with begun(arguments, log, inputs, scan, arms, settings) as start:
        with _logging.progress_display(arguments) as progress:
            result = compare(arms, scan, settings=settings, progress=progress)
        # Without an image there is nothing to keep.
        if not result.arms:
            _errors.raise_failures(result, kept_in=None)
        result = _inputs.with_changes(result, before)
        result, files = _keep(arguments, result, scan, output, start)
        if not arguments.quiet:
            print_runs(result, [*files, log])
    _errors.raise_failures(result, kept_in=output.path)
    return 0


def _keep(
    arguments: argparse.Namespace,
    result: ComparisonResult,
    scan: ScanData,
    output: _paths.OutputFolder,
    start: RunStart,
) -> tuple[ComparisonResult, list[Path]]:
    """Write image and report; then draw, which may fail or be stopped without costing them."""
    from ptycho._io.atomic import staged_files
    from ptycho.cli._drawing import drawn_or_failed
    from ptycho.report import PlotOptions, plot_reconstruction, save_figure, write_report

    folder, command_line = output.path, arguments.command_line
    with staged_files(
        folder, replaces=_results(), last=_REPORT, overwrite=output.overwrite, keeps_what_fits=True
    ) as stage:
        images = [
            folder / path.name
            for arm in result.arms
            for path in _write_image(arm, scan, stage / _stem_of(arm), arguments.export)
        ]
        write_report(stage / _REPORT, result, start.info(command_line))

    def draw() -> list[Path]:
        limits = {arm.label: _flags.phase_limits(arguments) for arm in result.arms}
        options = _flags.settings_from(arguments, PlotOptions, phase_limits=limits)
        plots = {
            _stem_of(arm): plot_reconstruction(replace(result, arms=(arm,)), options=options)
            for arm in result.arms
        }
        return [
            path for stem, plot in plots.items() for path in save_figure(plot, folder / stem, options=options)
        ]

    drawn, failure = drawn_or_failed(draw)
    if failure is not None:
        result = replace(result, failures=(*result.failures, failure))
    write_report(folder / _REPORT, result, start.info(command_line))
    return result, [*images, *drawn, folder / _REPORT]


def _stem_of(arm: ArmResult) -> str:
    return _MADE if arm.refinement is None else _REFINED


def _write_image(arm: ArmResult, scan: ScanData, stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write the image of an arm, as it was made or refined, as NPZ and for other programs."""
    from ptycho.data import export_reconstruction, write_reconstruction

    image = arm.as_reconstruction(scan)
    assert image is not None  # a model was run
    path = stem.with_suffix(".npz")
    write_reconstruction(path, image)
    return [path, *export_reconstruction(stem, image, formats, geometry=scan.geometry)]


def main(argv: Sequence[str] | None = None, *, prog: str = "ptycho-reconstruct") -> int:
    """Run `ptycho-reconstruct` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
