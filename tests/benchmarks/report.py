"""Turn timings into the stitching part of docs/benchmarks.md and its figure.

``python -m benchmarks.report TIMINGS.json`` reads what pytest-benchmark wrote, runs the streaming and start-up
measurements, and replaces the text between the two marks in docs/benchmarks.md; other parts of the page stay.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.growth import (
    LINEAR_FROM,
    Growth,
    draw,
    growth_targets,
    growth_text,
    measure_growth,
    method_text,
)
from benchmarks.methods import NAIVE_PATCHES
from benchmarks.scans import CASES
from benchmarks.stages import stages
from benchmarks.startup import WARM_RUNS, startup
from benchmarks.stitching_tables import (
    order_table,
    speed_targets,
    stage_statement,
    stage_table,
    target_row,
    time_table,
    title,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURE = ROOT / "docs" / "images" / "stitching-growth.png"
BEGIN, END = "<!-- stitching: begin -->", "<!-- stitching: end -->"
LARGEST = 1_000_000


def read_timings(path: Path) -> dict:
    """Return {(case, order, method): (seconds, peak bytes or None)}, the best time of each."""
    timings = {}
    for entry in json.loads(path.read_text())["benchmarks"]:
        info = entry.get("extra_info", {})
        if "case" in info:
            key = (tuple(info["case"]), info["order"], info["method"])
            timings[key] = (entry["stats"]["min"] * info["scale"], info["peak_bytes"])
    return timings


def machine(packages: tuple[str, ...] = ("numpy", "numba", "tensorflow", "ptychodus")) -> str:
    """Name the processor and the packages that matter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{model}, {os.cpu_count()} processors, load {load:.1f} when the page was written; "
        f"Python {platform.python_version()}, {versions}"
    )


def target_table(timings: dict, growth: Growth, started: dict) -> list[str]:
    """Each target with what was reached."""
    return [
        "| n, N, M, span | what | target | reached | |",
        "|---|---|---:|---:|---|",
        *speed_targets(timings),
        *growth_targets(growth),
        *startup_targets(started),
    ]


def startup_targets(started: dict) -> list[str]:
    """Rows of the table of targets."""
    cold, warm = started["cold"], started["warm"]
    name = title(CASES[0])
    return [
        target_row(name, "CPU, seconds of a fresh process, cache filled", "≤", 1.5, warm["process_s"]),
        target_row(name, "CPU, seconds of a fresh process, compiling", "≤", 10.0, cold["process_s"]),
        f"| {name} | CPU, compiling announced | yes | {'yes' if cold['announced'] else 'no'} "
        f"| {'met' if cold['announced'] else '**missed**'} |",
    ]


def startup_text(started: dict) -> str:
    """Say what a first call takes."""
    cold, warm = started["cold"], started["warm"]
    imported = "**TensorFlow imported**" if warm["tensorflow_imported"] else "TensorFlow not imported"
    return (
        f"A fresh process loads {CASES[0].n:,} patches of 64 x 64 and calls `stitch_patches` once; {imported}. With a "
        f"filled cache of numba's the image is there {warm['process_s']:.2f} s after the start (best of {WARM_RUNS}; "
        f"the call {warm['stitch_s']:.2f} s of it), with an empty one, where the kernel is compiled first, after "
        f"{cold['process_s']:.1f} s (the call {cold['stitch_s']:.1f} s of it)."
    )


def page(timings: dict, growth: Growth, parts_of_time: list[dict], started: dict) -> str:
    """Write the whole part."""
    smallest = [found for found in parts_of_time if found["case"] == CASES[0]]
    parts = [
        "## Stitching",
        f"Made by `make benchmark` on {machine()}. Best of several runs; compare ratios, not milliseconds.",
        "Each row stitches n patches (n, N, N) complex64, central M x M, at positions within ± span pixels in "
        "**random order**, which is the worst case for the canvas. *Ours* is `reassemble_position(..., "
        'batch_size="auto")`, checks and the tensor it returns included. *Copy* is '
        "`patches[:, s:s+M, s:s+M].copy()`, on one thread; *read* looks at every pixel of the crops once, on all "
        "threads, with the vector search that the kernel uses, and writes nothing. *ptychodus* is one "
        "`BarycentricArrayStitcher.add_patch` per patch. *Naive full canvas* was run on "
        f"{NAIVE_PATCHES} patches and scaled to n; its memory is that of those {NAIVE_PATCHES} alone.",
        "\n".join(time_table(timings)),
        "### Scans in the order that instruments write",
        "Time of the CPU kernel in units of the copy; raster and spiral are jittered by ± 0.4 px.",
        "\n".join(order_table(timings)),
        "### Targets",
        "What this project set itself, and what this run reached.",
        "\n".join(target_table(timings, growth, started)),
        "### Where the time goes",
        "Milliseconds of the parts of one stitch. *Add* is the compiled kernel: for each patch one pass that looks for "
        "infinities and NaNs, because all or nothing of a patch is added, and then one that adds, while the canvas "
        "rows under the next patch are fetched, and its crop if that has gaps. *Divide* is the box sum of the weights "
        "and the division. *Rest* is the whole call less these: checks, making the canvas, the first touch of its "
        "pages, handing the image over. *Read* and *copy* are as above, measured beside them.",
        "\n".join(stage_table(parts_of_time)),
        *(stage_statement(found) for found in smallest),
        f"### {growth.largest['n']:,} patches, streamed".replace("1,000,000", "One million"),
        *method_text(growth, timings),
        "### Growth",
        *growth_text(growth),
        "![Time and memory against the number of patches and the side of the canvas](images/stitching-growth.png)",
        "### The first call",
        startup_text(started),
    ]
    return "\n\n".join(parts)


def replace_part(text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put the text between two marks of the page; a part that is not there yet goes to the end."""
    old = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
    before, rest = old.split(begin) if begin in old else (old.rstrip() + "\n\n", end + "\n")
    after = rest.split(end)[1]
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def main() -> None:
    """Read timings, measure growth and start-up, write page and figure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("timings", type=Path)
    parser.add_argument("--largest", type=int, default=LARGEST, help="patches of the longest streamed runs")
    arguments = parser.parse_args()
    if arguments.largest < LINEAR_FROM:
        parser.error(f"--largest is {arguments.largest} but must be at least {LINEAR_FROM}.")
    timings = read_timings(arguments.timings)
    growth = measure_growth(arguments.largest)
    draw(growth, FIGURE)
    text = page(timings, growth, stages(), startup())
    replace_part(text)
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
