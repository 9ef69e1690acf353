"""`ptycho-convert`: a scan in any format that is known here, as the project's own NPZ."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho._io.unchanged import Snapshot
from ptycho.cli import _errors, _flags, _import_flags, _inputs, _named_inputs, _paths
from ptycho.cli._parser import Parser
from ptycho.cli._showing import in_one_line

if TYPE_CHECKING:
    from ptycho.data import ScanData


class _InAndOut(argparse.Action):
    """Puts one or two files into `input` (None if it is left out) and `output`."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, flag: Any = None) -> None:
        if len(values) > 2:
            raise argparse.ArgumentError(self, f"{len(values)} files are named but IN and OUT are needed")
        namespace.input, namespace.output = (None, *values)[-2:]


def build_parser(prog: str = "ptycho-convert") -> Parser:
    """Return the parser of `ptycho-convert`, called `prog` in its messages."""
    parser = _flags.FilesAnywhere(
        prog,
        "Convert a scan to this project's NPZ: amplitude frames with the DC term in the middle, patch centres in "
        "pixels, and a probe on the scale of the frames. What IN is, is told from what it holds; what it lacks is "
        "taken from files beside it with the same stem.",
    )
    parser.add_argument(
        "output",
        metavar="[IN] OUT",
        type=Path,
        nargs="+",
        action=_InAndOut,
        help="the scan to read, which is not changed (default: the file of --frames), and the NPZ to write",
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
    _import_flags.add_import_flags(parser)
    _flags.add_display_flags(parser)
    return parser


def convert(arguments: argparse.Namespace) -> int:
    """Read, merge, write and say what was written."""
    from ptycho.data import consistent_probe, read_reconstruction, with_reconstruction, write_npz

    source = _import_flags.scan_path(arguments, arguments.input)
    target = arguments.output
    _paths.check_output_file(target, overwrite=arguments.overwrite)
    before = Snapshot.of([source, *_named_inputs.inputs_of(arguments)])
    finished = None if arguments.object is None else read_reconstruction(arguments.object)
    scan = _import_flags.read(arguments, source)
    if finished is not None:
        scan = with_reconstruction(scan, finished)
    scan = consistent_probe(scan)
    _paths.check_space(arguments.output.parent, scan.nbytes)
    with _errors.working():
        write_npz(target, scan)
        _inputs.refuse_changes(before, kept_in=target)
    if not arguments.quiet:
        print(in_one_line(_summary(target, arguments.layout or _format_name(source), scan)))
    return 0


def _format_name(path: Path) -> str:
    from ptycho.data import detect_format
    from ptycho.errors import DataError

    try:
        return detect_format(path)
    except DataError:
        return path.name


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
