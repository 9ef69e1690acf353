"""Streamed runs: what they take against the number of patches, the side of the canvas, and the method."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scans import CASES
from benchmarks.stitching_tables import key_of, target_row
from benchmarks.streamed_methods import BATCH_SIZE, STREAMED

ROOT = Path(__file__).parents[2]
PATCH_COUNTS = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]
CANVAS_SIDES = [200, 400, 800, 1600, 3200, 8000]
CANVAS_SIDE, PATCHES_BY_SIDE = 4000, 20_000
# With fewer patches the fixed cost of a run shows.
LINEAR_FROM = 10_000
REPEATS = 3
# The other methods take minutes for a million patches, long enough to average over.
_OURS = "ours, CPU"
_REPEATED = (_OURS, "copy")


@dataclass(frozen=True)
class Growth:
    """Streamed runs of the CPU path by number of patches and by canvas, and of every method with the most patches."""

    by_count: list[dict]
    by_side: list[dict]
    by_method: list[dict]

    @property
    def largest(self) -> dict:
        """The run of the CPU path with the most patches."""
        return self.by_count[-1]


def measure_growth(largest: int) -> Growth:
    """Run everything, with up to `largest` patches."""
    counts = [*(n for n in PATCH_COUNTS if n < largest), largest]
    by_count = [_stream(_OURS, n, CANVAS_SIDE) for n in counts]
    by_side = [_stream(_OURS, PATCHES_BY_SIDE, side) for side in CANVAS_SIDES]
    by_method = [
        by_count[-1] if method == _OURS else _stream(method, largest, CANVAS_SIDE) for method in STREAMED
    ]
    return Growth(by_count, by_side, by_method)


def _stream(method: str, n: int, canvas_side: int) -> dict:
    """Measure a streamed run in processes of its own; the best time of a few."""
    command = [sys.executable, "-m", "benchmarks.streaming", "--method", method]
    command += ["--patches", str(n), "--canvas", str(canvas_side)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
    runs = [
        json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)
        for _ in range(REPEATS if method in _REPEATED else 1)
    ]
    return min(runs, key=lambda run: run["add_s"])


def growth_text(growth: Growth) -> list[str]:
    """Paragraphs and table of the CPU path."""
    runs = [*growth.by_count, *growth.by_side]
    n, ring = growth.largest["n"], growth.largest["ring_bytes"]
    return [
        "Patches of 64 x 64 streamed through `add_in_batches` in a process of its own, in batches of "
        f"{_sizes(runs)}, positions in random order, {_tensorflow(runs)}. {n:,} such patches would be "
        f"{n * 64 * 64 * 8 / 1e9:.1f} GB if held at once. Memory is the peak of the process above what it took when "
        f"the interpreter had started, imports included; the {_mib(ring)} MiB of patches that come round again and "
        "again stand for a file and are subtracted.",
        "\n".join(_growth_table(runs)),
        _linearity(growth),
        _memory(growth),
    ]


def _growth_table(runs: list[dict]) -> list[str]:
    lines = [
        "| patches | canvas | making / s | adding / s | processor time of it, µs a patch | dividing / s "
        "| memory / MiB | of it imports |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in runs:
        lines.append(
            f"| {run['n']:,} | {run['canvas_side']:,}² | {run['make_s']:.2f} | {run['add_s']:.3f} "
            f"| {run['add_processor_s'] / run['n'] * 1e6:.2f} | {run['image_s']:.2f} "
            f"| {_mib(run['peak_bytes'])} | {_mib(run['imports_bytes'])} |"
        )
    return lines


def _linearity(growth: Growth) -> str:
    each = [run["add_s"] / run["n"] * 1e6 for run in _long_runs(growth)]
    return (
        f"From {LINEAR_FROM:,} to {growth.largest['n']:,} patches adding one takes {min(each):.1f} to "
        f"{max(each):.1f} µs."
    )


def _long_runs(growth: Growth) -> list[dict]:
    return [run for run in growth.by_count if run["n"] >= LINEAR_FROM]


def _memory(growth: Growth) -> str:
    few, many = growth.by_count[0], growth.largest

    def growing(field: str) -> str:
        each = (many[field] - few[field]) / (many["n"] - few["n"])
        return f"from {_mib(few[field])} to {_mib(many[field])} MiB, {each:.0f} bytes a patch"

    return (
        f"From {few['n']:,} to {many['n']:,} patches the peak, which comes when the image is made, goes "
        f"{growing('peak_bytes')}; the positions are 16 of them. Until the last patch is added it goes "
        f"{growing('adding_bytes')}: the positions, where each patch lands (32 bytes), and what finding that takes in "
        "between. No patch is kept."
    )


def method_text(growth: Growth, timings: dict) -> list[str]:
    """Paragraphs and table of all methods with the most patches."""
    runs = growth.by_method
    return [
        f"The same {growth.largest['n']:,} patches onto the same canvas of {CANVAS_SIDE:,}², every method in a process "
        f"of its own and in batches of {BATCH_SIZE}, TensorFlow's in those that it plans itself, for it copies the "
        "canvas once a batch. Seconds are those of making the canvas, adding and dividing. "
        f"*Copy* copies each batch and keeps none. Best of {REPEATS} runs for {' and '.join(_REPEATED)}, one run "
        "for each of the others. Memory is as below: above the start of the interpreter, imports and a first stitch of "
        "two patches included, which the last column shows alone.",
        "\n".join(_method_table(runs)),
        _naive(growth.largest["n"], timings),
    ]


def _method_table(runs: list[dict]) -> list[str]:
    seconds = {run["method"]: run["total_s"] for run in runs}
    lines = [
        "| method | batch | seconds | × copy | ptychodus ÷ it | peak memory / MiB | of it imports |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for run in runs:
        total = run["total_s"]
        lines.append(
            f"| {run['method']} | {run['batch_size']:,} | {total:,.3g} | {total / seconds['copy']:.2f} "
            f"| {seconds['ptychodus'] / total:.2f} | {_mib(run['peak_bytes'])} | {_mib(run['imports_bytes'])} |"
        )
    return lines


def _naive(n: int, timings: dict) -> str:
    case = CASES[-1]
    each = timings[key_of(case), "random", "naive full canvas"][0] / case.n
    return (
        "*Naive full canvas* was not run: it makes three float32 canvases per patch, here "
        f"{3 * 4 * CANVAS_SIDE**2 / 1e6:,.0f} MB, and already at the {each * 1e3:.0f} ms a patch that it takes on the "
        f"smaller canvas of span {case.span} above, {n:,} patches would take {n * each / 3600:,.1f} hours."
    )


def growth_targets(growth: Growth) -> list[str]:
    """Rows of the table of targets."""
    largest, name = growth.largest, f"{growth.largest['n']:,} streamed onto {CANVAS_SIDE:,}²"
    imported = any(run["tensorflow_imported"] for run in growth.by_count)
    each = [run["add_s"] / run["n"] for run in _long_runs(growth)]
    spread = f"{LINEAR_FROM:,} to {largest['n']:,} streamed"
    return [
        target_row(name, "CPU, GB above the interpreter", "≤", 1.5, largest["peak_bytes"] / 1e9),
        f"| {name} | CPU, TensorFlow imported | no | {'yes' if imported else 'no'} "
        f"| {'**missed**' if imported else 'met'} |",
        target_row(
            spread,
            "CPU, time of adding a patch, % between slowest and fastest",
            "≤",
            10,
            (max(each) / min(each) - 1) * 100,
        ),
    ]


def _tensorflow(runs: list[dict]) -> str:
    imported = sum(run["tensorflow_imported"] for run in runs)
    return (
        f"**TensorFlow imported in {imported} of {len(runs)} runs**"
        if imported
        else "TensorFlow not imported (looked up at the end of each run)"
    )


def _sizes(runs: list[dict]) -> str:
    return " or ".join(str(size) for size in sorted({run["batch_size"] for run in runs}))


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f}"


def draw(growth: Growth, path: Path) -> None:
    """Plot time and memory against the number of patches and against the canvas."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharex="col", layout="constrained")
    columns = [(growth.by_count, "n", "patches"), (growth.by_side, "canvas_side", "canvas side / px")]
    for column, (runs, field, label) in enumerate(columns):
        x = [run[field] for run in runs]
        axes[0, column].loglog(x, [run["add_s"] for run in runs], "o-", label="adding")
        axes[0, column].loglog(
            x, [run["make_s"] + run["image_s"] for run in runs], "s--", label="making, dividing"
        )
        axes[1, column].loglog(x, [run["peak_bytes"] / 2**20 for run in runs], "o-")
        axes[1, column].set_xlabel(label)
        # Whole decades, so that memory which hardly changes also looks so.
        axes[1, column].set_ylim(1, 10_000)
        axes[1, column].set_xticks(x, [f"{value:,}" for value in x], minor=False, rotation=30)
        axes[1, column].minorticks_off()
    axes[0, 0].set_ylabel("time / s")
    axes[1, 0].set_ylabel("memory above the interpreter / MiB")
    axes[0, 0].legend()
    axes[0, 0].set_title(f"canvas of {CANVAS_SIDE:,}² px")
    axes[0, 1].set_title(f"{PATCHES_BY_SIDE:,} patches")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
