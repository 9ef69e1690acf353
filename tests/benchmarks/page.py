"""The parts of docs/benchmarks.md that programs write, each between two marks."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"


def replace_part(name: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between the marks of the part called `name`; a part that is not there yet goes to the end."""
    begin, end = (f"<!-- {name}: {word} -->" for word in ("begin", "end"))
    old = page.read_text(encoding="utf-8") if page.exists() else "# Benchmarks\n"
    if begin not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n"
    before, rest = old.split(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


def machine(*packages: str) -> str:
    """Name the processor, its load and the versions of `packages`."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = names[0] if names else platform.processor() or platform.machine()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    listed = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{model}, {os.cpu_count()} processors, load {load:.1f} when the part was written; "
        f"Python {platform.python_version()}, {listed}"
    )
