"""``python -m autobatch probe``: what each device has free, and what a planner may use of it."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from typing import NoReturn

from autobatch._probe import list_devices
from autobatch._types import DeviceMemory
from autobatch._units import format_bytes


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        remedy = "" if message.endswith("?") else f"; see {self.prog} --help"
        self.exit(2, f"{self.prog}: error: {message}{remedy}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, probe, print; return the exit code."""
    parser = _Parser(
        prog="autobatch",
        description="Batch sizes that fit into memory: see what there is.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    probe = commands.add_parser(
        "probe",
        allow_abbrev=False,
        help="show total, free and usable memory of each device",
        description="Show each device that this process may use: its memory, what of it is free, what of that a batch "
        "size is planned from (usable), and which source or limit says so.",
    )
    probe.add_argument("--json", action="store_true", help="print JSON instead of a table")
    words = list(sys.argv[1:] if arguments is None else arguments)
    _refuse_unknown(parser, words)
    options = parser.parse_args(words)
    devices = list_devices()
    if options.json:
        print(json.dumps({"devices": [memory.as_dict() for memory in devices]}, indent=2))
    else:
        _print_table(devices)
    return 0


def _refuse_unknown(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Name a flag that there is not before anything that is missing."""
    known = ("--json", "--help", "-h")
    for word in words:
        if word.startswith("-") and word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            parser.error(f"unknown {word}" + (f"; did you mean {near[0]}?" if near else ""))


def _print_table(devices: Sequence[DeviceMemory]) -> None:
    try:
        from rich import box
    except ImportError:
        _print_plain_table(devices)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("device", no_wrap=True)
    for heading in ("total", "free", "usable"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("source, notes", overflow="fold")
    for memory in devices:
        table.add_row(*map(escape, _cells(memory)))
    Console().print(table)


def _print_plain_table(devices: Sequence[DeviceMemory]) -> None:
    print("\t".join(("device", "total", "free", "usable", "source, notes")))
    for memory in devices:
        print("\t".join(cell.replace("\n", "; ") for cell in _cells(memory)))


def _cells(memory: DeviceMemory) -> list[str]:
    device = f"{memory.device}\n{memory.name}" if memory.name else memory.device
    total = "?" if memory.total_bytes is None else format_bytes(memory.total_bytes)
    free, usable = (
        format_bytes(n_bytes) if memory.is_known else "?"
        for n_bytes in (memory.free_bytes, memory.usable_bytes)
    )
    return [device, total, free, usable, "\n".join((memory.source, *memory.notes))]


if __name__ == "__main__":
    sys.exit(main())
