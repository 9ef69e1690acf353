"""Flags of every command that reads a scan: what its file does not tell, or tells wrong."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho._checks.import_options import OPTIONS, Option
from ptycho.cli import _paths
from ptycho.cli._errors import UsageError

if TYPE_CHECKING:
    from ptycho.data import ImportSettings, ScanData

_PREFIX = "importing_"


def add_import_flags(parser: argparse.ArgumentParser) -> None:
    """Add the group; `read` reads a scan by it."""
    group = parser.add_argument_group(
        "reading the scan (what its file does not tell, or tells wrong; docs/formats.md)"
    )
    group.add_argument(
        "--from",
        dest="layout",
        metavar="FORMAT",
        help="name of the file's format (default: told from what it holds)",
    )
    group.add_argument(
        "--with",
        dest="partners",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="another file of the same scan, such as its positions; may be repeated (default: those beside it)",
    )
    for option in OPTIONS:
        _add(group, option)
    group.add_argument(
        "--recipe", type=Path, metavar="FILE", help="TOML file that says these things; flags overrule it"
    )
    group.add_argument(
        "--save-recipe", type=Path, metavar="FILE", help="write what was said into such a file"
    )


def read(arguments: argparse.Namespace, path: Path, *, labels: bool = True) -> ScanData:
    """Read the scan at `path` as the flags say."""
    return read_all(arguments, [path], labels=labels)[0]


def read_all(arguments: argparse.Namespace, paths: Sequence[Path], *, labels: bool = True) -> list[ScanData]:
    """Read scans as the flags say; the recipe that is asked for is written once they have been read."""
    from ptycho.data import read_scan, write_recipe

    settings = settings_of(arguments)
    _refuse_one_file_for_many(settings, paths)
    if arguments.save_recipe is not None:
        _paths.check_output_file(arguments.save_recipe, overwrite=getattr(arguments, "overwrite", False))
    scans = [
        read_scan(
            path,
            importing=settings,
            partners=arguments.partners,
            layout=arguments.layout,
            labels=labels,
            mask_hot=arguments.mask_hot,
        )
        for path in paths
    ]
    if arguments.save_recipe is not None and not getattr(arguments, "dry_run", False):
        write_recipe(arguments.save_recipe, settings, scan=paths[0])
    return scans


def _refuse_one_file_for_many(settings: ImportSettings, paths: Sequence[Path]) -> None:
    from ptycho.data.importing.places import split_place

    for name in ("frames", "positions", "x", "y") if len(paths) > 1 else ():
        place = getattr(settings, name)
        if place is not None and split_place(place)[0] is not None:
            raise UsageError(
                f"--{name} names the one file {place} for {len(paths)} scans; name the dataset alone, as :DATASET, or "
                "a file beside each scan, as {stem}_positions.csv."
            )


def settings_of(arguments: argparse.Namespace) -> ImportSettings:
    """Return what the recipe and the flags say."""
    from ptycho.data import ImportSettings, read_recipe

    given = {
        name.removeprefix(_PREFIX): value
        for name, value in vars(arguments).items()
        if name.startswith(_PREFIX) and value is not None
    }
    recipe = {} if arguments.recipe is None else read_recipe(arguments.recipe).given
    return ImportSettings(**{**recipe, **given})


def scan_path(arguments: argparse.Namespace, named: Path | None) -> Path:
    """Return the scan's own file: the one that is named, or else the file of ``--frames``."""
    if named is not None:
        return named
    frames = getattr(arguments, f"{_PREFIX}frames")
    if frames is None:
        raise UsageError(
            "one file is named but IN and OUT are needed; name both, or OUT and --frames FILE:DATASET."
        )
    from ptycho.data.importing.places import split_place

    file, _ = split_place(frames)
    if file is None:
        raise UsageError(
            f"--frames names {frames}, but there is no such file; check the path, or name the scan too."
        )
    return file


def _add(group: argparse._ActionsContainer, option: Option) -> None:
    destination = f"{_PREFIX}{option.field}"
    if option.is_switch:
        group.add_argument(
            f"--{option.name}",
            dest=destination,
            action=argparse.BooleanOptionalAction,
            help=f"{option.help} (default off)",
        )
        return
    group.add_argument(
        f"--{option.name}",
        dest=destination,
        type=_in_argparse(option.parse),
        metavar=option.metavar,
        help=option.help,
    )


def _in_argparse(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
