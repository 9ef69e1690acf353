"""The one list of what a command reads: files in arguments, in places of flags and recipes, and beside a scan."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ptycho._checks.import_options import OPTIONS
from ptycho.cli import _import_flags
from ptycho.cli._errors import UsageError

# Arguments with paths that are written: single files, and all.
_WRITTEN = (
    "output",
    "output_dir",
    "batch_memo",
    "baseline_debug_dir",
    "checkpoint",
    "tensorboard",
    "plot",
    "save_recipe",
)
_WRITTEN_FILES = ("output", "plot", "save_recipe")
_OTHER_THAN_SCANS = ("pinn_dir", "baseline_dir", "model_dir", "tike_recon_path", "arm", "image")
_SCANS = ("test_data", "train_data", "input", "file")


def inputs_of(arguments: argparse.Namespace) -> list[Path]:
    """Return every file and folder that the command will read, after a check that none is to be written."""
    return [path for _, path in named_inputs(arguments)]


def named_inputs(arguments: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return the same with the name of the argument, and the label if one was given with the path.

    Raises
    ------
    UsageError
        A file that will be written is one of them, or two that will be written are the same.
    """
    found = list(_named(arguments))
    if hasattr(arguments, "recipe"):
        scans = [path for name, path in found if name in _SCANS]
        found += _in_places(arguments, scans)
        found += [("beside the scan", path) for scan in scans for path in _beside(scan)]
    seen: dict[Path, str] = {}
    found = [(name, each) for name, path in found for each in _files_of(path)]
    named = [(name, path) for name, path in found if seen.setdefault(path, name) == name]
    _refuse_to_write(arguments, [path for _, path in named])
    return named


def _files_of(path: Path) -> list[Path]:
    """Return the files that a pattern of frames names, or the one file or folder that it is."""
    if path.exists():
        return [path]
    from ptycho.data.formats import files_of

    return files_of(path)


def inputs_of_scan(arguments: argparse.Namespace) -> list[Path]:
    """Return the files that the scan is made of, and those that say how it is read; none for a scan that is made."""
    if getattr(arguments, "test_data", None) is None:
        return []
    return [path for name, path in named_inputs(arguments) if name.partition(" ")[0] not in _OTHER_THAN_SCANS]


def _named(arguments: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    for name, value in vars(arguments).items():
        if name not in _WRITTEN:
            for each in value if isinstance(value, (list, tuple)) else [value]:
                *labels, path = each if isinstance(each, tuple) and each else (each,)
                if isinstance(path, Path):
                    yield " ".join([name, *map(str, labels)]), path


def _in_places(arguments: argparse.Namespace, scans: list[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the files of ``FILE:DATASET``, which for a file beside a scan is another for each scan."""
    from ptycho.data.importing.places import file_of_place

    settings = _import_flags.settings_of(arguments)
    for option in OPTIONS:
        place = getattr(settings, option.field) if option.is_place else None
        if place is None:
            continue
        for scan in scans or [None]:
            file = file_of_place(place, scan)
            if file is not None:
                yield option.name, file


def _beside(scan: Path) -> list[Path]:
    from ptycho.data.formats import partners_of

    return partners_of(scan) if scan.parent.is_dir() else []


def _refuse_to_write(arguments: argparse.Namespace, inputs: list[Path]) -> None:
    taken = dict.fromkeys((path.resolve() for path in inputs), "an input of this run")
    for name in _WRITTEN_FILES:
        path = getattr(arguments, name, None)
        if path is None:
            continue
        if path.resolve() in taken:
            raise UsageError(f"{path} would be written but is {taken[path.resolve()]}; pass another name.")
        taken[path.resolve()] = "another output of this run"
