"""`ptycho-report`: the page of a run again from what the run has saved; of several runs, a study."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ptycho.cli import _errors, _flags, _paths
from ptycho.cli._parser import Parser


def build_parser(prog: str = "ptycho-report") -> Parser:
    """Return the parser of `ptycho-report`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Make comparison_report.html of a finished comparison again, from the files in its folder: one page to look at "
        "and to mail; of a training, training_report.html. With --output_dir, make a study of several comparisons: "
        "study.html and one tidy table, study.csv.",
    )
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="output folder of a compare-models run or of ptycho-train; without --output_dir its page is replaced",
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        metavar="DIR",
        help="folder for a study of all runs together (default: a page for each run, in its own folder)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a study that is there")
    _flags.add_display_flags(parser)
    return parser


def report(arguments: argparse.Namespace) -> int:
    """Make a study, or the page of each folder, and say where it is."""
    from ptycho.report import write_study
    from ptycho.report.names import STUDY_PAGE, STUDY_TABLE

    if arguments.output_dir is None:
        files = [_page_of(folder) for folder in arguments.folders]
    else:
        output = _paths.OutputFolder(arguments.output_dir, (STUDY_PAGE, STUDY_TABLE), arguments.overwrite)
        output.check(arguments.folders)
        with output.in_use():
            files = write_study(arguments.folders, arguments.output_dir)
    if not arguments.quiet:
        print("\n".join(map(str, files)))
    return 0


def _page_of(folder: Path) -> Path:
    """Make the page of a comparison, or that of a training."""
    from ptycho.report import write_page, write_training_page
    from ptycho.report.names import REPORT_FILE
    from ptycho.report.page import is_training

    if is_training(folder) and not (folder / REPORT_FILE).exists():
        return write_training_page(folder)
    return write_page(folder)


def main(argv: Sequence[str] | None = None, *, prog: str = "ptycho-report") -> int:
    """Run `ptycho-report` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), report, argv)


if __name__ == "__main__":
    raise SystemExit(main())
