"""The flags of `compare-models`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptycho.cli import _flags, _import_flags, _orientation, _ptychopinn_flags, _sharding_flags
from ptycho.cli._parser import Parser


def build_parser(prog: str = "compare-models") -> Parser:
    """Return the parser of `compare-models`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Run trained networks on a ptychographic scan, stitch their patches and compare the images with "
        "the ground truth. Batch sizes look after themselves.",
        _ptychopinn_flags.COMPARE,
    )
    _add_inputs(parser)
    _add_batching(parser)
    _add_sampling(parser)
    _add_scoring(parser)
    _add_outputs(parser)
    _import_flags.add_import_flags(parser)
    _orientation.add_flag(parser)
    _flags.add_display_flags(parser)
    return parser


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is compared")
    group.add_argument("--pinn_dir", type=Path, metavar="DIR", help="folder of the trained PINN")
    group.add_argument("--baseline_dir", type=Path, metavar="DIR", help="folder of the trained baseline")
    group.add_argument("--test_data", type=Path, metavar="SCAN", help="scan to compare them on")
    _flags.add_mask_hot(group)
    group.add_argument(
        "--tike_recon_path",
        type=Path,
        metavar="FILE",
        help="a finished iterative reconstruction as third arm",
    )
    group.add_argument(
        "--arm",
        type=_labelled_path,
        action="append",
        default=[],
        metavar="LABEL=PATH",
        help="any further arm: a model's folder, a network of your own (.keras, .onnx, a SavedModel's folder, or the "
        ".json that describes one) or a reconstruction's file; may be repeated",
    )
    group.add_argument(
        "--demo",
        action="store_true",
        help="compare the two shipped networks on a simulated scan; no files needed",
    )


def _add_batching(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "memory and batches (these change memory and speed, and the image by rounding alone)"
    )
    for model in ("pinn", "baseline"):
        _flags.add_batch_size(group, f"--{model}-predict-batch-size", f"frames the {model} predicts at once")
        group.add_argument(
            f"--{model}-chunk-size",
            type=_flags.positive_int,
            metavar="N",
            help="older memory knob: an upper limit of the batch",
        )
    _flags.add_memory(group)
    _sharding_flags.add_sharding(parser)


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which part of the scan")
    count = {"type": _flags.positive_int, "metavar": "N"}
    group.add_argument("--n-test-groups", help="groups to evaluate (default all)", **count)
    group.add_argument("--n-test-subsample", help="frames to draw, kept in scan order (default all)", **count)
    group.add_argument("--test-subsample-seed", type=_flags.seed, metavar="S", help="seed of the draw")


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("stitching, registration and metrics")
    _flags.add_stitching(group)
    _flags.add_refinement(group)
    which = group.add_mutually_exclusive_group()
    which.add_argument("--skip-registration", action="store_true", help="register no arm")
    which.add_argument("--register-ptychi-only", action="store_true", help="register only the iterative arm")
    group.add_argument(
        "--phase-align-method",
        dest="phase_align",
        choices=("plane", "mean"),
        default="plane",
        help="what is removed from the phase before it is scored (default plane)",
    )
    group.add_argument(
        "--fixed-canvas",
        action="store_true",
        help="score on the window of the whole file, not of the subsample, so that subsets line up",
    )
    group.add_argument(
        "--frc-sigma",
        type=_flags.not_negative,
        default=0.0,
        metavar="RINGS",
        help="smoothing of the FRC (default 0)",
    )
    group.add_argument(
        "--ms-ssim-sigma",
        type=_flags.not_negative,
        default=1.0,
        metavar="PX",
        help="smoothing of the amplitudes before MS-SSIM (default 1)",
    )
    group.add_argument(
        "--metric-convention",
        choices=("standard", "ptychopinn"),
        default="standard",
        help="textbook metrics, or PtychoPINN's placement and definitions for continuity with its older tables "
        "(default standard)",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    _flags.add_run_flags(group)
    for name, what in (
        ("save-npz", "reconstructions.npz"),
        ("save-npz-aligned", "reconstructions_aligned.npz"),
    ):
        group.add_argument(
            f"--{name}",
            action=argparse.BooleanOptionalAction,
            default=True,
            help=f"write {what} (default on)",
        )
    group.add_argument(
        "--html",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write comparison_report.html, one file to look at and to mail (default on)",
    )
    _flags.add_export(group)
    group.add_argument(
        "--save-debug-images",
        action="store_true",
        help="also write, for each arm, the exact images that MS-SSIM and the FRC saw",
    )
    group.add_argument(
        "--baseline-debug-limit",
        type=_flags.positive_int,
        metavar="N",
        help="run the baseline on the first N frames only, and dump what went in and came out",
    )
    group.add_argument(
        "--baseline-debug-dir",
        type=Path,
        metavar="DIR",
        help="folder of the baseline's dump (default baseline_debug in --output_dir)",
    )
    _flags.add_colour_scale(group)
    for model in ("pinn", "baseline"):
        _flags.add_phase_limits(group, f"{model}_")
    _flags.add_figure_files(group)


def _labelled_path(text: str) -> tuple[str, Path]:
    label, separator, path = text.partition("=")
    if not (label.strip() and separator and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=PATH")
    return label.strip(), Path(path)
