"""The scan that a command's flags name, here and on the workers of a cluster."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho.cli import _import_flags

if TYPE_CHECKING:
    from ptycho.data.scan import ScanData


def whole_scan(arguments: argparse.Namespace) -> ScanData:
    """Read the scan of ``--test_data``, or make that of ``--demo``."""
    if getattr(arguments, "demo", False):
        from ptycho.demo import demo_scan

        return demo_scan()
    return _import_flags.read(arguments, arguments.test_data, labels=False)


def part_of(whole: ScanData, arguments: argparse.Namespace) -> ScanData:
    """Return the frames of a scan that the flags ask for."""
    n_frames = getattr(arguments, "n_test_subsample", None) or getattr(arguments, "n_test_groups", None)
    if n_frames is None:
        return whole
    from ptycho.data import subsample

    return subsample(whole, n_frames, seed=arguments.test_subsample_seed)


def scan_again(values: dict[str, Any]) -> ScanData:
    """Return the scan of a command in another process, from its arguments as `sent` gives them."""
    arguments = argparse.Namespace(**values)
    return part_of(whole_scan(arguments), arguments)


def sent(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments as another process takes them: with whole paths, and nothing to be written."""
    return {name: _whole_paths(value) for name, value in vars(arguments).items()} | {"save_recipe": None}


def _whole_paths(value: Any) -> Any:
    if isinstance(value, Path):
        return value.resolve()
    return [_whole_paths(each) for each in value] if isinstance(value, list) else value
