"""`ptycho-reconstruct`: one model and one scan in, the image of the object out; no ground truth is needed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho.cli import _arguments, _common

if TYPE_CHECKING:
    from ptycho.arms import Arm
    from ptycho.cli._runs import Beginning
    from ptycho.comparison import ComparisonResult, ComparisonSettings
    from ptycho.data.scan import ScanData

_IMAGE, _PLOT, _REPORT = "reconstruction.npz", "reconstruction.png", "run_report.json"
_RESULTS = (_IMAGE, _PLOT, _REPORT)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `ptycho-reconstruct`."""
    parser = _common.argument_parser(
        "ptycho-reconstruct",
        "Run one trained network on a ptychographic scan and stitch its patches into an image of the object. "
        "Batch sizes look after themselves.",
    )
    inputs = parser.add_argument_group("input")
    inputs.add_argument(
        "--model_dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of ptycho-train, or PtychoPINN's wts.h5.zip or baseline_model.h5",
    )
    inputs.add_argument("--test_data", type=Path, required=True, metavar="NPZ", help="scan to reconstruct")
    _arguments.add_crop_size(inputs)
    _arguments.add_self_consistency(inputs)

    batches = parser.add_argument_group(
        "memory and batches (these change memory and speed, and the image by rounding alone)"
    )
    _arguments.add_batch_size(batches, "--predict-batch-size", "frames predicted at once")
    _arguments.add_stitch_batch_size(batches)
    _arguments.add_batch_memo(batches)
    _common.add_device_flag(batches)

    output = parser.add_argument_group("output")
    _arguments.add_run_flags(output)
    _arguments.add_colour_scale(output)
    _common.add_display_flags(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct and write; the work of `main` once the arguments are parsed."""
    _arguments.check_colour_scale(arguments)
    _common.check_no_results(arguments.output_dir, _RESULTS, overwrite=arguments.overwrite)
    _arguments.check_batch_memo(arguments.batch_memo)

    from ptycho.models.devices import computing_on

    with computing_on(arguments.device):
        arm, scan, settings = _open(arguments)
        if arguments.dry_run:
            from ptycho.cli._summary import print_plan

            print_plan([arm], scan, settings)
            return 0
        with _common.working():
            return _reconstruct(arguments, arm, scan, settings)


def _open(arguments: argparse.Namespace) -> tuple[Arm, ScanData, ComparisonSettings]:
    from ptycho.comparison import ComparisonSettings, check_arms, load_arm
    from ptycho.data import read_npz
    from ptycho.models.legacy_bundle import is_legacy

    if arguments.model_dir.is_file() and not is_legacy(arguments.model_dir):
        raise _common.UsageError(
            f"{arguments.model_dir} is no model; name the folder of a training run, or a wts.h5.zip or "
            "baseline_model.h5."
        )
    # A truth is left out: scoring is the business of compare-models, and nothing here may depend on one.
    scan = replace(read_npz(arguments.test_data, labels=False), object_guess=None)
    arm = load_arm(arguments.model_dir, predict_batch_size=arguments.predict_batch_size)
    settings = ComparisonSettings(
        crop_size=arguments.stitch_crop_size,
        stitch_batch_size=arguments.stitch_batch_size,
        register="none",
        self_consistency=arguments.self_consistency,
        device=arguments.device,
        batch_memo=None if arguments.batch_memo is None else str(arguments.batch_memo),
    )
    check_arms([arm], scan, settings)
    return arm, scan, settings


def _reconstruct(
    arguments: argparse.Namespace, arm: Arm, scan: ScanData, settings: ComparisonSettings
) -> int:
    from ptycho.cli._runs import Beginning, fail_for
    from ptycho.cli._summary import print_runs
    from ptycho.comparison import compare

    beginning, folder = Beginning.now(), arguments.output_dir
    log = folder / "logs" / "debug.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with _common.file_log(log):
        with _common.progress_display(arguments) as progress:
            result = compare([arm], scan, settings=settings, progress=progress)
        fail_for(result, kept_in=folder)
        files = _write(arguments, result, scan, beginning)
        if not arguments.quiet:
            print_runs(result, [*files, log])
    return 0


def _write(
    arguments: argparse.Namespace, result: ComparisonResult, scan: ScanData, beginning: Beginning
) -> list[Path]:
    from ptycho.artifacts import staging, write_report
    from ptycho.data import write_reconstruction
    from ptycho.inference import as_reconstruction
    from ptycho.plotting import PlotOptions, plot_reconstruction

    (arm,) = result.arms
    assert arm.run is not None  # its source is a model
    colours = PlotOptions(p_min=arguments.p_min, p_max=arguments.p_max)
    with staging(arguments.output_dir, replaces=_RESULTS) as stage:
        write_reconstruction(stage / _IMAGE, as_reconstruction(arm.run, scan, label=arm.label))
        plot_reconstruction(result, stage / _PLOT, options=colours)
        write_report(stage / _REPORT, result, beginning.info("ptycho-reconstruct"))
    return [arguments.output_dir / name for name in _RESULTS]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ptycho-reconstruct` with `argv` and return its exit code."""
    return _common.run(build_parser(), run, argv)
