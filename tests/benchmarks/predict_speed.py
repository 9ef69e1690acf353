"""Measure `autobatch.predict` beside ``model.predict``, and write that part of docs/benchmarks.md.

``python -m benchmarks.predict_speed [--models NAME …] [--rounds R] [--dry-run]`` (a part of ``make benchmark``) lets
both predict the same items in turn in one process: `predict` with its defaults, and ``model.predict`` with every fixed
batch size, its default of 32 among them, so that what else the machine does falls on all alike. Tracing is done before.
Asked are 0.97 of the speed at the best fixed size, and no less than at the default beyond the spread of the rounds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from benchmarks.predict_cases import made
from benchmarks.report import machine, replace_part

import autobatch

BEGIN, END = "<!-- predict: begin -->", "<!-- predict: end -->"
LEAST_SHARE_OF_BEST = 0.97
FIXED_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
_DEFAULT_SIZE = 32
# A busy machine excuses no more.
_LARGEST_SPREAD = 0.1
_PACKAGES = ("tensorflow", "keras", "numpy")
# Of a few seconds each at the default size.
N_ITEMS = {
    "dense": 40_000,
    "small images": 10_000,
    "LSTM": 512,
    "attention": 512,
    "nested inputs": 512,
    "MobileNetV2": 256,
    "ResNet50": 64,
}


@dataclass(frozen=True)
class Row:
    """Seconds of every round, by fixed size, and those of `predict` with the size that it took."""

    model: str
    fixed_s: dict[int, list[float]]
    auto_s: list[float]
    auto_size: int

    @property
    def best_size(self) -> int:
        """The fixed size with the lowest median."""
        return min(self.fixed_s, key=lambda size: median(self.fixed_s[size]))

    @property
    def share_of_best(self) -> float:
        """Speed relative to that at the best fixed size: the median of the rounds' ratios."""
        return _ratio(self.fixed_s[self.best_size], self.auto_s)

    @property
    def share_of_default(self) -> float:
        """Speed relative to that of ``model.predict`` with its defaults."""
        return _ratio(self.fixed_s[_DEFAULT_SIZE], self.auto_s)

    @property
    def spread(self) -> float:
        """How far the rounds of the default lie apart, as a part of their median: the middle half."""
        times = self.fixed_s[_DEFAULT_SIZE]
        return float(np.subtract(*np.percentile(times, [75, 25]))) / median(times)

    @property
    def holds(self) -> bool:
        """Whether it is as fast as asked."""
        spread = min(self.spread, _LARGEST_SPREAD)
        return self.share_of_best >= LEAST_SHARE_OF_BEST and self.share_of_default >= 1 - spread


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return median(their / our for their, our in zip(theirs, ours, strict=True))


def _dense() -> tuple[Any, Callable[[int], Any]]:
    import keras

    layers = [keras.layers.Dense(32, activation="relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((20,)), *layers])
    return model, lambda n: np.random.default_rng(4).random((n, 20), np.float32)


def _small_images() -> tuple[Any, Callable[[int], Any]]:
    import keras

    layers = [keras.layers.Conv2D(16, 3, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((12, 12, 1)), *layers, keras.layers.GlobalAveragePooling2D()])
    return model, lambda n: np.random.default_rng(4).random((n, 12, 12, 1), np.float32)


_OF_ITS_OWN = {"dense": _dense, "small images": _small_images}


def measure(name: str, rounds: int) -> Row:
    """Predict the same items in turn with every fixed size and with `predict`."""
    model, make_items = _OF_ITS_OWN[name]() if name in _OF_ITS_OWN else made(name)
    n_items = N_ITEMS[name]
    items = make_items(n_items)
    sizes = [size for size in FIXED_SIZES if size <= n_items]
    runs: list[autobatch.BatchRun] = []
    ways: dict[int | str, Callable[[], Any]] = {
        size: lambda size=size: model.predict(items, batch_size=size, verbose=0) for size in sizes
    }
    ways["auto"] = lambda: autobatch.predict(model, items, report=runs.append)
    for way in ways.values():
        way()
    seconds: dict[int | str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in list(ways)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            ways[way]()
            seconds[way].append(time.perf_counter() - began)
    fixed_s = {size: seconds[size] for size in sizes}
    return Row(name, fixed_s, seconds["auto"], max(runs[-1].batch_sizes))


def table(rows: list[Row]) -> list[str]:
    """One row per model."""
    lines = [
        "| model | items | `predict` / s (size) | `model.predict` / s | at its best / s (size) | ÷ best | ÷ default "
        "| spread |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        auto_s, best_s, default_s = map(
            median, (row.auto_s, row.fixed_s[row.best_size], row.fixed_s[_DEFAULT_SIZE])
        )
        cells = [
            row.model,
            f"{N_ITEMS[row.model]:,}",
            f"{auto_s:.3g} ({row.auto_size:,})",
            f"{default_s:.3g}",
            f"{best_s:.3g} ({row.best_size:,})",
            *(f"{ratio:.2f}" for ratio in (row.share_of_best, row.share_of_default, row.spread)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def page(rows: list[Row], rounds: int) -> str:
    """Write the whole part."""
    return "\n\n".join(
        [
            "## `autobatch.predict` beside `model.predict`",
            f"Made by `make benchmark` (`python -m benchmarks.predict_speed`) on {machine(_PACKAGES)}. Medians of "
            f"{rounds} rounds in one process, in which all sizes take turns; *÷ best* and *÷ default* are medians of "
            f"the rounds' ratios of speed. Targets: ≥ {LEAST_SHARE_OF_BEST} of the best of the fixed sizes "
            f"{', '.join(map(str, FIXED_SIZES))}, and not slower than the default of {_DEFAULT_SIZE} beyond the "
            "spread of its own rounds, of which a tenth at most counts.",
            "\n".join(table(rows)),
        ]
    )


def main() -> int:
    """Measure, write the part, print it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(N_ITEMS), choices=list(N_ITEMS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry-run", action="store_true", help="print the part, and leave the page as it is")
    arguments = parser.parse_args()
    rows = [measure(name, arguments.rounds) for name in arguments.models]
    text = page(rows, arguments.rounds)
    if not arguments.dry_run:
        replace_part(text, BEGIN, END)
    print(text)  # noqa: T201
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
