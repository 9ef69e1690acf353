"""Planned batch sizes against the largest that fit, under caps on TensorFlow's memory.

``python -m benchmarks.planned_sizes`` runs every work with ``"auto"`` under every cap, finds the largest size that fits
by bisection, each trial in a process of its own, and writes the table into docs/benchmarks.md. Exit code 1 if a run met
an out-of-memory error or a plan is below 1/2.5 of what fits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.report import machine, replace_part
from capped import Copy
from capped_work import CROP_SIZE, PATCH_SIZE, fits_at_once, import_everything, whole

CAPS_MB = (300, 500, 800)
# More items for each MB of the cap than are planned, so that the memory sets the size.
ITEMS_PER_MB = {"stitcher": 12, "pinn": 0.3, "baseline": 0.3}
LARGEST_FACTOR = 2.5
RESOLUTION = 0.1
# A failing trial waits ten seconds without work.
AT_ONCE = 3


@dataclass(frozen=True)
class Row:
    """One work under one cap."""

    work: str
    cap_mb: int
    planned: int
    n_oom: int
    largest: int
    reason: str

    @property
    def factor(self) -> float:
        """How many times the planned size would have fitted."""
        return self.largest / self.planned

    @property
    def is_good(self) -> bool:
        """Whether it met no error and is not timid."""
        return self.n_oom == 0 and self.factor <= LARGEST_FACTOR


def measured(cells: list[tuple[str, int]]) -> list[Row]:
    """Plan and run every cell (work, cap), then look for the largest size that fits."""
    told = side_by_side(whole, {cell: (int(ITEMS_PER_MB[cell[0]] * cell[1]), "auto") for cell in cells})
    largest = largest_that_fit({cell: told[cell]["planned_batch_size"] for cell in cells})
    return [
        Row(*cell, told[cell]["planned_batch_size"], told[cell]["n_oom"], largest[cell], told[cell]["reason"])
        for cell in cells
    ]


def largest_that_fit(planned: dict) -> dict:
    """Try just above the factor that is allowed, then bisect; a trial that crashes does not fit."""
    fits = dict(planned)
    too_large: dict = dict.fromkeys(planned)
    while True:
        sizes = {
            cell: int(LARGEST_FACTOR * fits[cell]) + 1
            if too_large[cell] is None
            else (fits[cell] + too_large[cell]) // 2
            for cell in planned
            if too_large[cell] is None or too_large[cell] - fits[cell] > max(1, RESOLUTION * fits[cell])
        }
        if not sizes:
            return fits
        for cell, fitted in side_by_side(fits_at_once, {cell: (n,) for cell, n in sizes.items()}).items():
            (fits if fitted else too_large)[cell] = sizes[cell]
            print(*cell, "MB:", sizes[cell], "fits" if fitted else "does not fit", file=sys.stderr)  # noqa: T201


def side_by_side(function, arguments: dict) -> dict:
    """Return ``function(work, *arguments)`` of every cell, computed in copies, a few at a time."""
    cells, results = list(arguments), {}
    for first in range(0, len(cells), AT_ONCE):
        group = cells[first : first + AT_ONCE]
        copies = [Copy(function, work, *arguments[work, cap_mb], cap_mb=cap_mb) for work, cap_mb in group]
        results |= {cell: copy.result() for cell, copy in zip(group, copies, strict=True)}
    return results


def table(rows: list[Row]) -> str:
    """Return the part of docs/benchmarks.md."""
    lines = [
        "## Planned batch sizes",
        "Made by `make slow` (`python -m benchmarks.planned_sizes`) on "
        f"{machine(('tensorflow', 'keras'))}. TensorFlow's GPU allocator serves the CPU "
        'and is full at the cap. Every row is a run with `"auto"`: patches and frames of '
        f"{PATCH_SIZE} × {PATCH_SIZE} pixels, M = {CROP_SIZE}, networks of random weights, the limit of 32 items on "
        f"a CPU lifted. *Fits* is the largest single batch that did not run out of memory, within {RESOLUTION:.0%}; "
        "it is a little different each time, for TensorFlow runs the branches of a network in no fixed order.",
    ]
    rows_of = [
        "| work | cap / MB | planned | errors | fits | fits ÷ planned |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    rows_of += [
        f"| {row.work} | {row.cap_mb} | {row.planned:,} | {row.n_oom} | {row.largest:,} | {row.factor:.2f} |"
        for row in rows
    ]
    return "\n\n".join([*lines, "\n".join(rows_of)])


def main() -> None:
    """Measure everything, write and print the table."""
    import_everything()
    cells = [(work, cap_mb) for work in ITEMS_PER_MB for cap_mb in CAPS_MB]
    rows = measured(cells)
    text = table(rows)
    replace_part(text, "<!-- planned sizes: begin -->", "<!-- planned sizes: end -->")
    print(text)  # noqa: T201
    bad = [f"{row.work} at {row.cap_mb} MB: {row.reason}" for row in rows if not row.is_good]
    if bad:
        sys.exit("errors met, or planned below 1/2.5 of what fits: " + "; ".join(bad))


if __name__ == "__main__":
    main()
