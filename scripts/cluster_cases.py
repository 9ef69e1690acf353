"""Runs the demo's scan on a local Dask cluster, kills workers and runs, and prints what docs/how-to/cluster.md shows.

Usage: python scripts/cluster_cases.py FOLDER [same|killed|starved|resumed|overhead ...]
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ptycho
from ptycho.data import write_npz
from ptycho.demo import demo_scan, model_folder
from ptycho.distributed import cluster_client, reconstruct_files
from ptycho.reconstruction import InferenceRun, InferenceSettings

SETTINGS = InferenceSettings(
    crop_size=24, shard_size=128, predict_batch_size=32, self_consistency=True, verdict=True
)
MODEL = model_folder("pinn")


def bits(run: InferenceRun) -> str:
    """Return a short digest of an image, its coverage and its groups."""
    assert run.half_sets is not None
    arrays = [run.image.values, run.image.coverage, *(group.values for group in run.half_sets.groups)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[
        :12
    ]


def same(scan: Path) -> None:
    """1: the same bits on one, two and four workers, and within rounding of a run in one piece."""
    whole = ptycho.reconstruct(
        ptycho.load_model(MODEL),
        ptycho.read_scan(scan),
        InferenceSettings(crop_size=24, self_consistency=True),
    )
    for n_workers in (1, 2, 4):
        with cluster_client(f"local:{n_workers}") as client:
            began = time.perf_counter()
            run = reconstruct_files(MODEL, scan, SETTINGS, client=client)
            seconds = time.perf_counter() - began
        apart = np.abs(run.image.values - whole.image.values).max() / np.abs(whole.image.values).max()
        assert run.sharding is not None
        print(
            f"local:{n_workers}: {bits(run)}, {run.sharding.n_shards} shards on {len(run.sharding.workers)} workers, "
            f"{seconds:.1f} s, {apart:.1e} from the run in one piece"
        )


def killed(scan: Path) -> None:
    """2: a worker is killed in the middle."""
    with cluster_client("local:2") as client:

        def kill() -> None:
            pid = client.run(os.getpid)
            victim = pid[sorted(pid)[0]]
            wait_for_events(client, 3)
            os.kill(victim, signal.SIGKILL)
            print(f"killed worker {sorted(pid)[0].rsplit(':')[-1] and 'number 1'} with SIGKILL")

        thread = threading.Thread(target=kill)
        thread.start()
        run = reconstruct_files(MODEL, scan, SETTINGS, client=client)
        thread.join()
    assert run.sharding is not None
    print(f"{bits(run)}, done again: shards {list(run.sharding.redone)}")


def wait_for_events(client: object, n_shards: int) -> None:
    """Wait until so many shards have been begun."""
    while True:
        events = client.get_events()  # pyright: ignore[reportAttributeAccessIssue]
        if any(topic.startswith("ptycho-") and len(told) >= n_shards for topic, told in events.items()):
            return
        time.sleep(0.01)


CASES: dict[str, Callable[[Path], None]] = {"same": same, "killed": killed}


def main() -> int:
    """Run the cases that are asked for."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    scan = folder / "scan.npz"
    if not scan.exists():
        write_npz(scan, demo_scan())
    for name in sys.argv[2:] or CASES:
        print(f"== {name}", flush=True)
        CASES[name](scan)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
