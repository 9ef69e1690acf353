"""Reckons time, memory and network of runs in shards from measured constants; docs/scaling.md shows the output.

Usage: python scripts/scaling_table.py [--predict-ms X ...]

`python scripts/cluster_cases.py FOLDER constants` measures the constants, on one thread, and prints them as flags.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, fields

_FRAMES = (10**6, 10**7, 10**8, 10**9)
_WORKERS = (1, 10, 100, 1000)


@dataclass(frozen=True, kw_only=True)
class Constants:
    """What a patch, a byte and a worker take.

    Attributes
    ----------
    predict_ms, stitch_ms, judge_ms : float
        Of a patch, on one thread: the network, the canvases, its comparison with the frame.
    verdict_ms : float
        Of a frame: its comparison with the image and with a constant.
    add_us : float
        Of a patch's sums, whenever two canvases are added up.
    sums_kb, frame_kb : float
        Of a patch, in thousands of bytes.
    worker_gb : float
        Memory of a worker with TensorFlow and a small network.
    disk_gb_s : float
        What one process reads of a file and checks.
    network_gb_s : float
        Into one machine; assumed.
    """

    predict_ms: float = 2.62
    stitch_ms: float = 0.0285
    judge_ms: float = 0.0583
    verdict_ms: float = 0.0981
    add_us: float = 0.276
    sums_kb: float = 3.73
    frame_kb: float = 16.4
    worker_gb: float = 0.9
    disk_gb_s: float = 0.748
    network_gb_s: float = 1.25


@dataclass(frozen=True)
class Run:
    """So many frames on so many workers.

    Attributes
    ----------
    n_frames, n_workers : int
    constants : Constants
    """

    n_frames: int
    n_workers: int
    constants: Constants

    @property
    def shards_s(self) -> float:
        """Seconds of the shards, which share the workers."""
        each_ms = self.constants.predict_ms + self.constants.stitch_ms + self.constants.judge_ms
        return self.n_frames * each_ms / 1e3 / self.n_workers

    @property
    def tree_s(self) -> float:
        """Seconds on the longest way up the tree: n patches' sums are added and sent at its root, half as many below.

        On a single worker nothing is sent but the root, to the command.
        """
        send_us = self.constants.sums_kb / self.constants.network_gb_s
        n_sent = 1 if self.n_workers == 1 else 2
        return self.n_frames * (2 * self.constants.add_us + n_sent * send_us) / 1e6

    @property
    def reading_s(self) -> float:
        """Seconds in which the command reads and checks all frames, and finds their mean energy."""
        return self.frames_gb / self.constants.disk_gb_s

    @property
    def verdict_s(self) -> float:
        """Seconds in which the command compares all frames with the image and with a constant."""
        return self.n_frames * self.constants.verdict_ms / 1e3

    @property
    def frames_gb(self) -> float:
        """Size of the scan."""
        return self.n_frames * self.constants.frame_kb / 1e6

    @property
    def sums_gb(self) -> float:
        """Size of the sums of all patches."""
        return self.n_frames * self.constants.sums_kb / 1e6

    @property
    def traffic_gb(self) -> float:
        """What goes from worker to worker and to the command: half of each level of the tree above the shards."""
        levels = 0 if self.n_workers == 1 else math.ceil(math.log2(max(64, 4 * self.n_workers)))
        return self.sums_gb * (levels / 2 + 1)

    @property
    def shard_gb(self) -> float:
        """Memory of a worker while it does a shard, of which there are 64 or four for each worker."""
        return self.constants.worker_gb + 2 * self.sums_gb / max(64, 4 * self.n_workers)

    @property
    def root_gb(self) -> float:
        """Memory at the root: two halves and their sum."""
        return 2 * self.sums_gb

    @property
    def limit(self) -> str:
        """What takes longest."""
        return max(self.parts_s, key=lambda name: self.parts_s[name])

    @property
    def parts_s(self) -> dict[str, float]:
        """Seconds of each part, by its name in the table."""
        return {
            "shards": self.shards_s,
            "tree": self.tree_s,
            "reading": self.reading_s,
            "verdict": self.verdict_s,
        }


def times_table(constants: Constants) -> list[str]:
    """Return the table of seconds, as Markdown.

    Parameters
    ----------
    constants : Constants

    Returns
    -------
    list of str
    """
    rows = ["| frames | workers | shards | tree | reading | verdict | longest |", _rule(7)]
    for n_frames in _FRAMES:
        for n_workers in _WORKERS:
            run = Run(n_frames, n_workers, constants)
            times = " | ".join(_duration(seconds) for seconds in run.parts_s.values())
            rows.append(f"| {_power(n_frames)} | {n_workers:,} | {times} | {run.limit} |")
    return rows


def sizes_table(constants: Constants) -> list[str]:
    """Return the table of bytes, as Markdown.

    Parameters
    ----------
    constants : Constants

    Returns
    -------
    list of str
    """
    rows = [
        "| frames | on disk | sums | a worker of 10 | of 1,000 | root | sent by 10 | by 1,000 |",
        _rule(8),
    ]
    for n_frames in _FRAMES:
        ten, thousand = (Run(n_frames, n_workers, constants) for n_workers in (10, 1000))
        sizes = (
            ten.frames_gb,
            ten.sums_gb,
            ten.shard_gb,
            thousand.shard_gb,
            ten.root_gb,
            ten.traffic_gb,
            thousand.traffic_gb,
        )
        rows.append(f"| {_power(n_frames)} | {' | '.join(_size(gb) for gb in sizes)} |")
    return rows


def _rule(n_columns: int) -> str:
    return "|" + "---|" * n_columns


def _power(number: int) -> str:
    return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(round(math.log10(number))))


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds:.2g}'):g} s"


def _size(gb: float) -> str:
    return f"{float(f'{gb / 1000:.2g}'):g} TB" if gb >= 1000 else f"{float(f'{gb:.2g}'):g} GB"


def main(argv: list[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Reckon time, memory and network of runs in shards.")
    for field in fields(Constants):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=float, default=field.default, metavar="X"
        )
    constants = Constants(**vars(parser.parse_args(argv)))
    print("\n".join([*times_table(constants), "", *sizes_table(constants)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
