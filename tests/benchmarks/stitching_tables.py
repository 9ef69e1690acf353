"""Tables and sentences about the timings of single stitches, for docs/benchmarks.md."""

from __future__ import annotations

from benchmarks.methods import METHODS
from benchmarks.scans import CASES, ORDERS, Case

# Time of a stitch in the order that instruments write, in units of the copy, by M.
ORDERED_TARGET = {64: 0.7, 32: 1.0, 20: 1.6}


def title(case: Case) -> str:
    """Name a case in a table."""
    return f"{case.n:,}, {case.patch_size}, {case.crop_size}, {case.span}"


def key_of(case: Case) -> tuple[int, int, int, int]:
    """Return what the timings of a case are filed under."""
    return case.n, case.patch_size, case.crop_size, case.span


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
        key = key_of(case)
        copy = timings[key, "random", "copy"][0]
        peer = timings.get((key, "random", "ptychodus"))
        for method in METHODS:
            if (key, "random", method) not in timings:
                continue
            seconds, peak = timings[key, "random", method]
            against = f"{peer[0] / seconds:.2f}" if peer else "–"
            memory = f"{peak / 2**20:,.0f}" if peak is not None else "–"
            lines.append(
                f"| {title(case)} | {method} "
                f"| {milliseconds(seconds)} | {seconds / copy:.2f} | {against} | {memory} |"
            )
    return lines


def order_table(timings: dict) -> list[str]:
    """Our CPU kernel in the orders that instruments write."""
    lines = [
        "| n, N, M, span | " + " | ".join(ORDERS) + " | one read, all threads |",
        "|---|" + "---:|" * (len(ORDERS) + 1),
    ]
    for case in CASES:
        key = key_of(case)
        copy = timings[key, "random", "copy"][0]
        cells = [f"{timings[key, order, 'ours, CPU'][0] / copy:.2f}" for order in ORDERS]
        cells.append(f"{timings[key, 'random', 'read'][0] / copy:.2f}")
        lines.append(f"| {title(case)} | " + " | ".join(cells) + " |")
    return lines


def target_row(name: str, what: str, sign: str, target: float, reached: float) -> str:
    """One target with what was reached; `sign` is ≥ or ≤."""
    met = reached >= target if sign == "≥" else reached <= target
    return f"| {name} | {what} | {sign} {target:g} | {reached:.2f} | {'met' if met else '**missed**'} |"


def speed_targets(timings: dict) -> list[str]:
    """The targets of each case."""
    return [row for case in CASES for row in _case_targets(timings, case)]


def _case_targets(timings: dict, case: Case) -> list[str]:
    key, name, ordered = key_of(case), title(case), ORDERED_TARGET[case.crop_size]
    copy = timings[key, "random", "copy"][0]
    peer = timings.get((key, "random", "ptychodus"), (float("nan"),))[0]
    ours = {order: timings[key, order, "ours, CPU"][0] for order in ORDERS}
    on_tensorflow = timings[key, "random", "ours, TensorFlow"][0]
    large = case.crop_size == 64
    return [
        target_row(name, "CPU, ptychodus ÷ it, random", "≥", 8.0, peer / ours["random"]),
        target_row(name, "CPU, × copy, random", "≤", 2.0 if large else 3.5, ours["random"] / copy),
        target_row(name, "CPU, × copy, raster", "≤", ordered, ours["raster"] / copy),
        target_row(name, "CPU, × copy, spiral", "≤", ordered, ours["spiral"] / copy),
        target_row(
            name, "TensorFlow, ptychodus ÷ it, random", "≥", 0.5 if large else 1.0, peer / on_tensorflow
        ),
    ]


def stage_table(parts: list[dict]) -> list[str]:
    """Milliseconds of the parts of a stitch."""
    columns = ("place", "add", "divide", "rest", "whole", "read", "copy")
    lines = ["| n, N, M, span | order | " + " | ".join(columns) + " |", "|---|---|" + "---:|" * len(columns)]
    for found in parts:
        cells = " | ".join(f"{found[column]:.2f}" for column in columns)
        lines.append(f"| {title(found['case'])} | {found['order']} | {cells} |")
    return lines


def stage_statement(found: dict) -> str:
    """Say what share of a call each part is, and how close to its target the call could come at all."""
    case, whole, copy = found["case"], found["whole"], found["copy"]
    target = ORDERED_TARGET[case.crop_size]
    shares = ", ".join(
        f"{name} {found[part] / whole:.0%}"
        for name, part in (
            ("adding", "add"),
            ("dividing", "divide"),
            ("placing", "place"),
            ("the rest of the call", "rest"),
        )
    )
    without_adding = (found["read"] + found["divide"] + found["rest"]) / copy
    limit = (
        f"more than the target of {target:g} before anything is added"
        if without_adding > target
        else f"which leaves {target - without_adding:.2f} × the copy for adding, if {target:g} is the target"
    )
    return (
        f"{case.n:,} patches of {case.patch_size} px in {found['order']} order take {whole:.2f} ms, "
        f"{whole / copy:.2f} × their copy: {shares}. Reading the crops alone is {found['read'] / copy:.2f} × the copy, "
        f"and adding is {found['add'] / found['read']:.1f} × reading. "
        f"Even reading, dividing and the rest alone would be {without_adding:.2f} × the copy, {limit}."
    )
