"""`ptycho-report`: the page of a run again from what the run has saved."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ptycho.cli import _errors, _flags
from ptycho.cli._parser import Parser


def build_parser(prog: str = "ptycho-report") -> Parser:
    """Return the parser of `ptycho-report`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Make comparison_report.html of a finished comparison again, from the files in its folder: one page to look at "
        "and to mail.",
    )
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="output folder of a compare-models run; the page in it is replaced",
    )
    _flags.add_display_flags(parser)
    return parser


def report(arguments: argparse.Namespace) -> int:
    """Make the page of each folder and say where it is."""
    from ptycho.report import write_page

    for folder in arguments.folders:
        page = write_page(folder)
        if not arguments.quiet:
            print(page)
    return 0


def main(argv: Sequence[str] | None = None, *, prog: str = "ptycho-report") -> int:
    """Run `ptycho-report` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), report, argv)


if __name__ == "__main__":
    raise SystemExit(main())
