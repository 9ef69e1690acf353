"""Measure what the host does for a network, and write that part of docs/benchmarks.md.

``python -m benchmarks.host_report [--beside CHECKOUT] [--rounds R]`` runs every case of `benchmarks.host_work` in turn
with this checkout and, if one is named, with another, such as a worktree of an earlier commit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from benchmarks.host_profile import halves_table, profile_table
from benchmarks.host_work import CASES
from benchmarks.report import ROOT, machine, replace_part

BEGIN, END = "<!-- host: begin -->", "<!-- host: end -->"
_PACKAGES = ("numpy", "numba", "tensorflow")
_HOW = (
    "On a processor a network of the two classic kinds takes a batch in halves, side by side; crops of small batches "
    "are stitched a MiB at a time; small batches are read two ahead."
)
_FRAMES = {"free": 20_000, "pinn": 512}


def _commit(checkout: Path) -> str:
    """Return the short name of the commit that is checked out."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def measured(checkout: Path, case: str, image: Path) -> dict:
    """Run one case in a process that finds `ptycho` in a checkout."""
    path = os.pathsep.join([str(checkout), str(ROOT / "tests")])
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.host_work", case, str(image)],
        env=os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def interleaved(checkouts: dict[str, Path], rounds: int, cases: list[str]) -> dict:
    """Return {case: {name: [results]}} of runs in turn, and {case: largest relative difference of the images}."""
    results = {case: {name: [] for name in checkouts} for case in cases}
    differences = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for case in cases:
                names = list(checkouts)[:: -1 if number % 2 else 1]
                for name in names:
                    image = Path(folder) / f"{name}.npy"
                    results[case][name].append(measured(checkouts[name], case, image))
                if len(names) == 2 and case != "slow reader":
                    ours, theirs = (np.load(Path(folder) / f"{name}.npy") for name in checkouts)
                    differences[case] = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return {"results": results, "differences": differences}


def stream_table(found: dict) -> list[str]:
    """One row per case and checkout: frames a second, and processor time a frame."""
    rows = [
        "| network | batch | code | frames/s | processor time / µs a frame | images differ by |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for case, by_name in found["results"].items():
        if case == "slow reader":
            continue
        n_frames = _FRAMES[case.partition(" ")[0]]
        difference = found["differences"].get(case)
        differs = "–" if difference is None else f"{difference:.0e}"
        for name, runs in by_name.items():
            wall, processor = (
                median(run[key] for run in runs) / n_frames for key in ("wall_s", "processor_s")
            )
            rows.append(
                f"| {case} | {runs[0]['batch']} | {name} | {1 / wall:,.0f} | {processor * 1e6:,.1f} | {differs} |"
            )
    return rows


def reader_table(found: dict) -> list[str]:
    """One row per checkout: reading, computing, both."""
    rows = [
        "| code | computing / s | reading / s | both / s | both ÷ the longer | target |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, runs in found["results"].get("slow reader", {}).items():
        best = sorted(runs, key=lambda run: run["ratio"])[len(runs) // 2]
        rows.append(
            f"| {name} | {best['computing_s']:.2f} | {best['reading_s']:.2f} | {best['wall_s']:.2f} | "
            f"{best['ratio']:.2f} | ≤ 1.1 |"
        )
    return rows


def _beside(earlier: str | None) -> str:
    if earlier is None:
        return ""
    return (
        f"*Earlier* is commit {earlier}. Asked were, beside ae12f74, 40,000 frames/s of the free network at the "
        "planned size (auto), the same image to 1e-6, and a PINN that is 3% faster. "
    )


def page(found: dict, rounds: int, earlier: str | None) -> str:
    """Write the whole part; `earlier` names the commit that was measured in turn."""
    return "\n\n".join(
        [
            "## What the host does for a network",
            f"Made by `make benchmark` (`python -m benchmarks.host_report`) on {machine(_PACKAGES)}. "
            f"Medians of {rounds} processes in turn.",
            "The whole stream of `reconstruct` on frames of 64 x 64 in memory, M = 20, half sets kept: read, scaled, "
            "predicted, cropped, stitched. *Free* is a network that costs nothing, two `Rescaling` layers, so that "
            "what is left is the host's; *pinn* is the shipped one, without and with the verdict of its patches. "
            "*Processor time* is that of all threads, which other programs change less than the frames a second. "
            f"{_beside(earlier)}{_HOW}",
            "\n".join(stream_table(found)),
            "### The steps of a frame",
            "\n".join(profile_table()),
            "TensorFlow's transform on a CPU takes twice as long as SciPy's, so that frames are recomputed in the "
            "network's graph on a card only.",
            "### A batch in halves",
            "The shipped PINN alone on a batch of 32, whole and in halves in turn, medians of the wall clock.",
            "\n".join(halves_table()),
            "### Reading beside computing",
            "A reader that waits as long for a batch as the network computes on it.",
            "\n".join(reader_table(found)),
        ]
    )


def main() -> None:
    """Measure, write the part, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="another checkout, measured in turn with this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--dry-run", action="store_true", help="print the part, and leave the page as it is")
    arguments = parser.parse_args()
    checkouts, earlier = {"this": ROOT}, None
    if arguments.beside is not None:
        checkouts["earlier"] = arguments.beside.resolve()
        earlier = _commit(checkouts["earlier"])
    text = page(interleaved(checkouts, arguments.rounds, arguments.cases), arguments.rounds, earlier)
    if not arguments.dry_run:
        replace_part(text, BEGIN, END)
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
