"""`ptycho-convert`: a scan in any format that is known here, as the project's own NPZ."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho._io.unchanged import Snapshot
from ptycho.cli import _errors, _flags, _inputs, _paths
from ptycho.cli._parser import Parser

if TYPE_CHECKING:
    from ptycho.data import ScanData


def build_parser(prog: str = "ptycho-convert") -> Parser:
    """Return the parser of `ptycho-convert`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Convert a scan to this project's NPZ: amplitude frames with the DC term in the middle, patch centres in "
        "pixels, and a probe on the scale of the frames. What IN is, is told from what it holds; what it lacks is "
        "taken from files beside it with the same stem.",
    )
    parser.add_argument("input", metavar="IN", type=Path, help="the scan to read; it is not changed")
    parser.add_argument("output", metavar="OUT", type=Path, help="the NPZ to write")
    parser.add_argument(
        "--from",
        dest="layout",
        metavar="FORMAT",
        help="name of IN's format (default: told from what it holds)",
    )
    parser.add_argument(
        "--with",
        dest="partners",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="another file of the same scan, such as its positions; may be repeated (default: those beside IN)",
    )
    parser.add_argument(
        "--pixel-size",
        dest="object_pixel_m",
        metavar="METRES",
        type=_flags.positive,
        help="side of the object's pixel, for files that do not tell it",
    )
    parser.add_argument(
        "--transpose-frames",
        action="store_true",
        help="exchange rows and columns of the frames, as those need that MATLAB wrote",
    )
    _flags.add_mask_hot(parser)
    parser.add_argument(
        "--object",
        metavar="FILE",
        type=Path,
        help="an iterative reconstruction of this scan, with positions_yx: its object becomes objectGuess, "
        "and its probe and positions, without which the object has no scale or place, are taken with it",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    _flags.add_display_flags(parser)
    return parser


def convert(arguments: argparse.Namespace) -> int:
    """Read, merge, write and say what was written."""
    from ptycho.data import (
        consistent_probe,
        detect_format,
        read_reconstruction,
        read_scan,
        with_reconstruction,
        write_npz,
    )

    _paths.check_output_file(arguments.output, overwrite=arguments.overwrite)
    before = Snapshot.of(_paths.inputs_of(arguments, ("output",)))
    finished = None if arguments.object is None else read_reconstruction(arguments.object)
    layout = arguments.layout or detect_format(arguments.input)
    scan = read_scan(
        arguments.input,
        partners=arguments.partners,
        layout=layout,
        object_pixel_m=arguments.object_pixel_m,
        transpose_frames=arguments.transpose_frames,
        mask_hot=arguments.mask_hot,
    )
    if finished is not None:
        scan = with_reconstruction(scan, finished)
    scan = consistent_probe(scan)
    _paths.check_space(arguments.output.parent, scan.nbytes)
    with _errors.working():
        write_npz(arguments.output, scan)
        _inputs.refuse_changes(before, kept_in=arguments.output)
    if not arguments.quiet:
        print(_summary(arguments.output, layout, scan))
    return 0


def main(argv: Sequence[str] | None = None, *, prog: str = "ptycho-convert") -> int:
    """Run `ptycho-convert` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), convert, argv)


def _summary(path: Path, layout: str, scan: ScanData) -> str:
    from ptycho.data import probe_energy_ratio

    side = scan.patch_size
    low, high = scan.positions_yx.min(axis=0), scan.positions_yx.max(axis=0)
    image = "no object" if scan.object_guess is None else "object {}x{}".format(*scan.object_guess.shape)
    return (
        f"{path}: {scan.n_frames} frames of {side}x{side} from {layout}, centres y {low[0]:.1f} to {high[0]:.1f} "
        f"and x {low[1]:.1f} to {high[1]:.1f} px, {image}, "
        f"probe energy {probe_energy_ratio(scan):.2f} of the brightest frames"
    )


if __name__ == "__main__":
    raise SystemExit(main())
