"""Turn timings into the stitching part of docs/benchmarks.md and its figure.

``python -m benchmarks.report TIMINGS.json`` reads what pytest-benchmark wrote, runs the streaming measurements,
and replaces the text between the two marks in docs/benchmarks.md; other parts of the page stay.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.methods import METHODS, NAIVE_PATCHES
from benchmarks.scans import CASES, ORDERS
from benchmarks.stages import stages

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURE = ROOT / "docs" / "images" / "stitching-growth.png"
BEGIN, END = "<!-- stitching: begin -->", "<!-- stitching: end -->"
PATCH_COUNTS = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]
CANVAS_SIDES = [200, 400, 800, 1600, 3200, 8000]
REPEATS = 3
# Time of a stitch in the order that instruments write, in units of the copy, by M.
ORDERED_TARGET = {64: 0.7, 32: 1.0, 20: 1.6}


def read_timings(path: Path) -> dict:
    """Return {(case, order, method): (seconds, peak bytes or None)}, the best time of each."""
    timings = {}
    for entry in json.loads(path.read_text())["benchmarks"]:
        info = entry.get("extra_info", {})
        if "case" in info:
            key = (tuple(info["case"]), info["order"], info["method"])
            timings[key] = (entry["stats"]["min"] * info["scale"], info["peak_bytes"])
    return timings


def stream(n: int, canvas_side: int) -> dict:
    """Measure one streamed run in processes of its own; the best time of a few."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.streaming",
        "--patches",
        str(n),
        "--canvas",
        str(canvas_side),
    ]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
    runs = [
        json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
        for _ in range(REPEATS)
    ]
    return min(runs, key=lambda run: run["add_s"])


def milliseconds(seconds: float) -> str:
    """Format a time with three digits."""
    return f"{seconds * 1e3:,.3g}" if seconds < 1 else f"{seconds * 1e3:,.0f}"


def time_table(timings: dict) -> list[str]:
    """One row per case and method in random order, as ratios to the copy and to ptychodus."""
    lines = [
        "| n, N, M, span | method | time / ms | × copy | ptychodus ÷ it | peak memory / MiB |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for case in CASES:
        key = (case.n, case.patch_size, case.crop_size, case.span)
        copy = timings[key, "random", "copy"][0]
        peer = timings.get((key, "random", "ptychodus"))
        for method in METHODS:
            if (key, "random", method) not in timings:
                continue
            seconds, peak = timings[key, "random", method]
            against = f"{peer[0] / seconds:.2f}" if peer else "–"
            memory = f"{peak / 2**20:,.0f}" if peak is not None else "–"
            lines.append(
                f"| {case.n:,}, {case.patch_size}, {case.crop_size}, {case.span} | {method} "
                f"| {milliseconds(seconds)} | {seconds / copy:.2f} | {against} | {memory} |"
            )
    return lines


def order_table(timings: dict) -> list[str]:
    """Our CPU kernel in the orders that instruments write."""
    lines = [
        "| n, N, M, span | " + " | ".join(ORDERS) + " | one read |",
        "|---|" + "---:|" * (len(ORDERS) + 1),
    ]
    for case in CASES:
        key = (case.n, case.patch_size, case.crop_size, case.span)
        copy = timings[key, "random", "copy"][0]
        cells = [f"{timings[key, order, 'ours, CPU'][0] / copy:.2f}" for order in ORDERS]
        cells.append(f"{timings[key, 'random', 'read'][0] / copy:.2f}")
        lines.append(
            f"| {case.n:,}, {case.patch_size}, {case.crop_size}, {case.span} | " + " | ".join(cells) + " |"
        )
    return lines


def growth_table(runs: list[dict]) -> list[str]:
    """Streamed runs: time per patch, and memory that does not grow with their number."""
    lines = [
        "| patches | canvas | making / s | adding / s | processor time of it, µs a patch | dividing / s "
        "| memory / MiB |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in runs:
        lines.append(
            f"| {run['n']:,} | {run['canvas_side']:,}² | {run['make_s']:.2f} | {run['add_s']:.3f} "
            f"| {run['add_processor_s'] / run['n'] * 1e6:.2f} | {run['image_s']:.2f} "
            f"| {run['peak_growth_bytes'] / 2**20:,.0f} |"
        )
    return lines


def draw(by_count: list[dict], by_side: list[dict]) -> None:
    """Plot time and memory against the number of patches and against the canvas."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharex="col", layout="constrained")
    columns = [(by_count, "n", "patches"), (by_side, "canvas_side", "canvas side / px")]
    for column, (runs, field, label) in enumerate(columns):
        x = [run[field] for run in runs]
        axes[0, column].loglog(x, [run["add_s"] for run in runs], "o-", label="adding")
        axes[0, column].loglog(
            x, [run["make_s"] + run["image_s"] for run in runs], "s--", label="making, dividing"
        )
        axes[1, column].loglog(x, [run["peak_growth_bytes"] / 2**20 for run in runs], "o-")
        axes[1, column].set_xlabel(label)
        # Whole decades, so that memory which hardly changes also looks so.
        axes[1, column].set_ylim(1, 10_000)
        axes[1, column].set_xticks(x, [f"{value:,}" for value in x], minor=False, rotation=30)
        axes[1, column].minorticks_off()
    axes[0, 0].set_ylabel("time / s")
    axes[1, 0].set_ylabel("memory above start / MiB")
    axes[0, 0].legend()
    axes[0, 0].set_title("canvas of 4,000² px")
    axes[0, 1].set_title("20,000 patches")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


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


def target_table(timings: dict) -> list[str]:
    """Each target with what was reached."""
    lines = ["| n, N, M, span | what | target | reached | |", "|---|---|---:|---:|---|"]
    for case in CASES:
        key = (case.n, case.patch_size, case.crop_size, case.span)
        name = f"{case.n:,}, {case.patch_size}, {case.crop_size}, {case.span}"
        copy = timings[key, "random", "copy"][0]
        peer = timings.get((key, "random", "ptychodus"), (float("nan"),))[0]
        ours = {order: timings[key, order, "ours, CPU"][0] for order in ORDERS}
        on_tensorflow = timings[key, "random", "ours, TensorFlow"][0]
        ordered = ORDERED_TARGET[case.crop_size]
        rows = [
            ("CPU, ptychodus ÷ it, random", "≥", 8.0, peer / ours["random"]),
            ("CPU, × copy, random", "≤", 2.0 if case.crop_size == 64 else 3.5, ours["random"] / copy),
            *((f"CPU, × copy, {order}", "≤", ordered, ours[order] / copy) for order in ("raster", "spiral")),
            (
                "TensorFlow, ptychodus ÷ it, random",
                "≥",
                0.5 if case.crop_size == 64 else 1.0,
                peer / on_tensorflow,
            ),
        ]
        for what, sign, target, reached in rows:
            met = reached >= target if sign == "≥" else reached <= target
            lines.append(
                f"| {name} | {what} | {sign} {target:g} | {reached:.2f} | {'met' if met else '**missed**'} |"
            )
    return lines


def stage_table(parts: list[dict]) -> list[str]:
    """Milliseconds of the parts of a stitch."""
    columns = ("place", "search", "add", "divide", "whole", "read")
    lines = ["| n, N, M, span | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for found in parts:
        case = found["case"]
        cells = " | ".join(f"{found[column]:.2f}" for column in columns)
        lines.append(f"| {case.n:,}, {case.patch_size}, {case.crop_size}, {case.span} | {cells} |")
    return lines


def linearity(by_count: list[dict]) -> str:
    """Say how far the time of a patch varies from ten thousand patches on."""
    each = {run["n"]: run["add_s"] / run["n"] * 1e6 for run in by_count if run["n"] >= 10_000}
    spread = max(each.values()) / min(each.values()) - 1
    return (
        f"From 10,000 to 1,000,000 patches adding one takes {min(each.values()):.1f} to {max(each.values()):.1f} µs: "
        f"linear within {spread:.0%} (target 10 %). Fewer patches leave parts of the canvas untouched."
    )


def page(timings: dict, by_count: list[dict], by_side: list[dict], parts_of_time: list[dict]) -> str:
    """Write the whole part."""
    parts = [
        "## Stitching",
        f"Made by `make benchmark` on {machine()}. Best of several runs; compare ratios, not milliseconds.",
        "Each row stitches n patches (n, N, N) complex64, central M x M, at positions within ± span pixels in "
        "**random order**, which is the worst case for the canvas. *Ours* is `reassemble_position(..., "
        'batch_size="auto")`, checks and the tensor it returns included. *Copy* is '
        "`patches[:, s:s+M, s:s+M].copy()`; *read* sums the crops and writes next to nothing. *ptychodus* is one "
        "`BarycentricArrayStitcher.add_patch` per patch. *Naive full canvas* was run on "
        f"{NAIVE_PATCHES} patches and scaled to n; its memory is that of those {NAIVE_PATCHES} alone.",
        "\n".join(time_table(timings)),
        "### Scans in the order that instruments write",
        "Time of the CPU kernel in units of the copy; raster and spiral are jittered by ± 0.4 px.",
        "\n".join(order_table(timings)),
        "### Targets",
        "What this project set itself, and what this run reached.",
        "\n".join(target_table(timings)),
        "### Where the time goes",
        "Milliseconds of the parts of one stitch in raster order. *Add* is the compiled kernel: for each patch one "
        "pass that looks for infinities and NaNs, and one that adds, while the canvas rows under the next patch are "
        "fetched, and its crop if that has gaps. *Search* is the first of the two passes alone, on one thread and "
        "without fetching ahead. *Divide* is the box sum of the weights and the division. The rest is checks, the "
        "starting and ending of a thread, and the canvas' pages. *Read* sums the crops with NumPy on one thread.",
        "\n".join(stage_table(parts_of_time)),
        "The smallest case fits into the last-level cache. There a copy runs at the cache's speed, and the second "
        "pass, from one level of cache to the next, costs as much as the first; where the crops come from main "
        "memory it hides behind it. All or nothing of a patch is added, so its search has to be over before that.",
        "### Growth",
        "Patches of 64 x 64 streamed through `add_in_batches` in a process of its own, positions in random order, "
        "TensorFlow not imported. A million such patches would be 32 GB if held at once. Memory is what the process "
        "grows by; it does not depend on the number of patches.",
        "\n".join(growth_table([*by_count, *by_side])),
        linearity(by_count),
        "![Time and memory against the number of patches and the side of the canvas](images/stitching-growth.png)",
    ]
    return "\n\n".join(parts)


def replace_part(text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put the text between two marks of the page; a part that is not there yet goes to the end."""
    old = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
    before, rest = old.split(begin) if begin in old else (old.rstrip() + "\n\n", end + "\n")
    after = rest.split(end)[1]
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def main() -> None:
    """Read timings, measure growth, write page and figure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("timings", type=Path)
    arguments = parser.parse_args()
    timings = read_timings(arguments.timings)
    by_count = [stream(n, 4000) for n in PATCH_COUNTS]
    by_side = [stream(20_000, side) for side in CANVAS_SIDES]
    draw(by_count, by_side)
    text = page(timings, by_count, by_side, stages())
    replace_part(text)
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
