"""Turn the measurement of a whole comparison into its part of docs/benchmarks.md.

``python -m benchmarks.comparison_report TIMINGS.json`` reads what pytest-benchmark wrote and replaces the text
between the two marks; other parts of the page stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.report import machine, replace_part
from benchmarks.test_comparison_cost import ABOVE_FRAMES_BYTES, STITCHING_SHARE, TIMES_BARE, VERDICT_SHARE

BEGIN, END = "<!-- comparison: begin -->", "<!-- comparison: end -->"


def table(result: dict) -> list[str]:
    """One row per budget: what was measured, in what it is counted, and the bound."""
    networks_s = sum(result["bare_s"])
    above = result["peak_bytes"] - result["frames_bytes"]
    rows = [
        ("both networks, bare", f"{networks_s:.1f} s", "1", "–"),
        (
            "both arms, predicted and stitched",
            f"{result['stream_s']:.1f} s",
            f"{result['stream_s'] / networks_s:.3f}",
            "–",
        ),
        (
            "the run, plots and files included",
            f"{result['work_s']:.1f} s",
            f"{result['work_s'] / networks_s:.3f}",
            f"{TIMES_BARE}" if result["work_s"] <= TIMES_BARE * networks_s else f"{TIMES_BARE}: **missed**",
        ),
        (
            "the process, imports and reading included",
            f"{result['process_s']:.1f} s",
            f"{result['process_s'] / networks_s:.3f}",
            "–",
        ),
        (
            "stitching",
            f"{result['stitch_s']:.2f} s",
            f"{result['stitch_s'] / result['work_s']:.2%} of the run",
            f"{STITCHING_SHARE:.0%}",
        ),
        (
            "the verdict of the frames, both arms and the constant",
            f"{result['verdict_s']:.2f} s",
            f"{result['verdict_s'] / result['work_s']:.1%} of the run",
            f"{VERDICT_SHARE:.0%}",
        ),
        (
            "peak memory above the frames",
            f"{above / 1e9:.2f} GB",
            f"frames {result['frames_bytes'] / 1e9:.2f} GB",
            f"{ABOVE_FRAMES_BYTES / 1e9:.1f} GB",
        ),
    ]
    return [
        "| what | measured | ratio | at most |",
        "|---|---:|---:|---:|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def page(result: dict) -> str:
    """Write the whole part."""
    pinn, baseline = result["batch_sizes"]
    return "\n\n".join(
        [
            "## A whole comparison",
            f"Made by `make benchmark` on {machine()}. Compare ratios, not seconds.",
            f"`compare-models` with the two shipped networks on {result['n_frames']:,} frames of 64 x 64 without a "
            f"truth, on the CPU, batches of {pinn} and {baseline} frames as planned. *Bare* is `predict_on_batch` of "
            "both networks on the same batches, already in memory and scaled, nothing kept, after one call that is not "
            "counted. Each in a process of its own, in turn, best of two; memory is the higher of the two.",
            "\n".join(table(result)),
            "The verdict, the plots and the page are one core's work mostly, whose share is the larger the faster the "
            "networks are.",
        ]
    )


def main() -> None:
    """Read the measurement, write the part, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("timings", type=Path)
    found = [
        entry["extra_info"]["comparison"]
        for entry in json.loads(parser.parse_args().timings.read_text())["benchmarks"]
        if "comparison" in entry.get("extra_info", {})
    ]
    text = page(found[-1])
    replace_part(text, BEGIN, END)
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
