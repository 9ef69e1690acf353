"""`ptycho-simulate`: a simulated scan as a test or training file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ptycho.cli import _errors, _flags, _paths
from ptycho.cli._parser import Parser


def build_parser(prog: str = "ptycho-simulate") -> Parser:
    """Return the parser of `ptycho-simulate`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Simulate a ptychographic scan: object + probe + sub-pixel positions -> diffraction amplitudes "
        "with Poisson noise, written as NPZ with its ground truth.",
    )
    parser.add_argument("output", type=Path, help="NPZ file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output file")
    _add_frames(parser)
    _add_object(parser.add_argument_group("object"))
    _add_probe(parser.add_argument_group("probe"))
    _add_positions(parser.add_argument_group("positions"))
    _flags.add_display_flags(parser)
    return parser


def _add_frames(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=_flags.seed,
        default=0,
        help="seed of object, positions and noise (default %(default)s)",
    )
    parser.add_argument(
        "--patch-size",
        type=_flags.positive_int,
        default=64,
        metavar="N",
        help="side of a frame, and of the probe, in pixels (default %(default)s)",
    )
    parser.add_argument(
        "--photons",
        dest="photons_per_frame",
        type=_flags.positive,
        default=1e5,
        metavar="COUNT",
        help="mean number of photons in a frame (default %(default)g)",
    )


def _add_object(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--object-size",
        dest="object_shape_yx",
        type=_flags.positive_int,
        nargs=2,
        default=(192, 192),
        metavar=("H", "W"),
        help="height and width of the object in pixels (default 192 192)",
    )
    group.add_argument(
        "--n-lines",
        type=_flags.positive_int,
        default=40,
        metavar="COUNT",
        help="number of random lines across the object (default %(default)s)",
    )
    group.add_argument(
        "--blur",
        dest="blur_px",
        type=_flags.not_negative,
        default=2.0,
        metavar="PX",
        help="standard deviation of the lines' Gaussian blur in pixels (default %(default)g)",
    )
    group.add_argument(
        "--object-file",
        type=Path,
        metavar="SCAN",
        help="scan whose objectGuess is taken instead of random lines",
    )


def _add_probe(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--aperture",
        type=_flags.positive,
        default=0.5,
        metavar="RATIO",
        help="radius of the probe's disc in the far field, as a share of the Nyquist frequency "
        "(default %(default)g)",
    )
    group.add_argument(
        "--defocus",
        type=_flags.finite,
        default=12.0,
        metavar="RAD",
        help="phase of the defocus at the rim of that disc, in radians (default %(default)g)",
    )
    group.add_argument(
        "--probe-file", type=Path, metavar="SCAN", help="scan whose probeGuess is taken instead of a disc"
    )


def _add_positions(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--n-positions",
        type=_flags.positive_int,
        metavar="COUNT",
        help="number of positions scattered at random, instead of a raster (default: a raster)",
    )
    group.add_argument(
        "--step",
        dest="step_px",
        type=_flags.positive,
        default=6.0,
        metavar="PX",
        help="distance of the raster's points in pixels (default %(default)g)",
    )
    group.add_argument(
        "--jitter",
        dest="jitter_px",
        type=_flags.not_negative,
        default=1.0,
        metavar="PX",
        help="largest random shift of a raster point along each axis, in pixels (default %(default)g)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate and write; the work of `main` once the arguments are parsed."""
    from ptycho.data import SimulationSettings, read_scan, simulate, write_npz

    _paths.check_output_file(arguments.output, overwrite=arguments.overwrite)
    settings = _flags.settings_from(arguments, SimulationSettings)
    object_image = None if arguments.object_file is None else read_scan(arguments.object_file).object_guess
    if arguments.object_file is not None and object_image is None:
        raise _errors.UsageError(
            f"{arguments.object_file} has no objectGuess to take; name another scan, or leave --object-file out."
        )
    probe = None if arguments.probe_file is None else read_scan(arguments.probe_file).probe
    scan = simulate(settings, object_image=object_image, probe=probe)
    with _errors.working():
        write_npz(arguments.output, scan)
    if not arguments.quiet:
        print(f"{arguments.output}: {scan.n_frames} frames of {scan.patch_size}x{scan.patch_size} pixels")
    return 0


def main(argv: Sequence[str] | None = None, *, prog: str = "ptycho-simulate") -> int:
    """Run `ptycho-simulate` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
