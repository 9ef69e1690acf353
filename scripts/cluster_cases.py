"""Runs the demo's scan on a local Dask cluster, kills workers and runs, and prints what docs/how-to/cluster.md shows.

Usage: python scripts/cluster_cases.py FOLDER [same|killed|starved|resumed|constants ...]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
from distributed import Client, LocalCluster

import ptycho
from ptycho.data import write_npz
from ptycho.demo import demo_scan, model_folder
from ptycho.distributed import cluster_client, reconstruct_files
from ptycho.distributed.devices import threads_of_worker
from ptycho.reconstruction import InferenceRun, InferenceSettings, judge_constant, judge_image
from ptycho.reconstruction import job as job_module
from ptycho.reconstruction.job import InferenceJob
from ptycho.stitching.state import CanvasState

SETTINGS = InferenceSettings(
    crop_size=24, shard_size=128, predict_batch_size=32, self_consistency=True, verdict=True
)
MODEL = model_folder("pinn")
# The case that is killed and resumed has shards of 64 patches.
_N_SHARDS = 24


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
        run = _with_fault(client, scan, lambda pid: os.kill(pid, signal.SIGKILL))
    print(f"one of two workers killed with SIGKILL: {_told(run)}")


def starved(scan: Path) -> None:
    """2: a worker takes more memory than Dask allows it."""
    limits = {"memory_limit": "1600MB", "threads_per_worker": 1, "host": "127.0.0.1"}
    with (
        LocalCluster(n_workers=2, dashboard_address="127.0.0.1:0", **limits) as cluster,
        Client(cluster) as client,
    ):
        victim = sorted(client.run(os.getpid))[0]  # pyright: ignore[reportArgumentType]
        run = _with_fault(client, scan, lambda _: client.run(_starve, workers=[victim]))
    print(f"one of two workers of 1.6 GB starved by 2 GB of ballast: {_told(run)}")


def _starve() -> None:
    threading.Thread(
        target=lambda: (ballast := bytearray(b"1") * 2_000_000_000, time.sleep(30), ballast)
    ).start()


def _with_fault(client: Client, scan: Path, strike: Callable[[int], object]) -> InferenceRun:
    """Run, and strike the first worker once three shards are begun."""
    pids: dict[str, int] = client.run(os.getpid)  # pyright: ignore[reportAssignmentType]

    def wait_and_strike() -> None:
        while not _n_begun(client) >= 3:
            time.sleep(0.01)
        # The worker that dies of it has no time to answer.
        with suppress(OSError):
            strike(pids[sorted(pids)[0]])

    thread = threading.Thread(target=wait_and_strike)
    thread.start()
    run = reconstruct_files(MODEL, scan, SETTINGS, client=client)
    thread.join()
    return run


def _n_begun(client: Client) -> int:
    told: dict[str, tuple] = client.get_events()  # pyright: ignore[reportAssignmentType]
    return sum(len(events) for topic, events in told.items() if topic.startswith("ptycho-"))


def _told(run: InferenceRun) -> str:
    assert run.sharding is not None
    return f"{bits(run)}, done again: shards {list(run.sharding.redone)}"


def resumed(scan: Path) -> None:
    """3: the whole run is killed at ten random moments and goes on each time."""
    draw, folder = random.Random(19), scan.parent
    for name in ("out", "kept", "whole"):
        shutil.rmtree(folder / name, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run(_command(scan, folder / "whole"), check=True, capture_output=True)
    whole_s = time.perf_counter() - began
    kept, n_killed, n_kept = [], 0, 0
    while n_killed < 10 and n_kept < _N_SHARDS:
        flags = ["--checkpoint", str(folder / "kept"), "--resume"]
        with subprocess.Popen(_command(scan, folder / "out", *flags), stderr=subprocess.DEVNULL) as process:
            # Nearly all of so short a run is its start: begin to draw once it works.
            while _n_kept(folder) == n_kept and process.poll() is None:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        n_killed += process.returncode != 0
        n_kept = _n_kept(folder)
        kept.append(n_kept)
    subprocess.run(
        _command(scan, folder / "out", "--checkpoint", str(folder / "kept"), "--resume"),
        check=True,
        capture_output=True,
    )
    images = [_image_digest(folder / name) for name in ("whole", "out")]
    print(f"a run of {whole_s:.1f} s killed {n_killed} times; shards kept after each: {kept} of {_N_SHARDS}")
    print(f"image of the whole run {images[0]}, of the resumed one {images[1]}")


def _n_kept(folder: Path) -> int:
    return len(list((folder / "kept").glob("*/shard-*.npz")))


def _command(scan: Path, output: Path, *flags: str) -> list[str]:
    words = ["--model_dir", str(MODEL), "--test_data", str(scan), "--output_dir", str(output), "--quiet"]
    sizes = ["--stitch-crop-size", "24", "--shard-size", "64", "--predict-batch-size", "32"]
    return [sys.executable, "-m", "ptycho.cli.reconstruct", *words, *sizes, *flags]


def _image_digest(output: Path) -> str:
    with np.load(output / "reconstruction.npz") as archive:
        return hashlib.sha256(archive["reconstructed_object"].tobytes()).hexdigest()[:12]


def constants(scan: Path) -> None:
    """Print what docs/scaling.md reckons with, on one thread, as flags of scaling_table.py."""
    os.environ.update(threads_of_worker(1))  # before TensorFlow is there
    # Of the processor, so that what else the machine does counts less.
    setattr(job_module, "time", SimpleNamespace(perf_counter=time.process_time))  # noqa: B010
    read = ptycho.read_scan(scan)
    job = InferenceJob.of(ptycho.load_model(MODEL), read, SETTINGS)
    job.warm_up()
    job.sums(0, 128)
    sums, n_patches = job.sums(0, len(job)), len(job)
    record, part = sums.record, sums.canvases.parts[0]
    large = part.on((2000, 2000), part.origin_yx)
    # Neighbours overlap in part.
    beside = replace(large, origin_yx=(part.origin_yx[0] + 1500, part.origin_yx[1]))
    add_s = _seconds_of(lambda: large.joined(beside)) / 2
    sums_bytes = sums.canvases.n_bytes / n_patches
    image = job.finished(sums).image
    verdict_s = _seconds_of(lambda: (judge_image(read, image), judge_constant(read)))
    per_patch = {
        "predict-ms": 1e3 * record.predict_s / n_patches,
        "stitch-ms": 1e3 * record.stitch_s / n_patches,
        "judge-ms": 1e3 * record.judge_s / n_patches,
        "verdict-ms": 1e3 * verdict_s / n_patches,
        "add-us": 1e6 * add_s / _n_bytes(large) * sums_bytes,
        "sums-kb": sums_bytes / 1e3,
        "frame-kb": read.amplitude[0].nbytes / 1e3,
        "worker-gb": psutil.Process().memory_info().rss / 1e9,
        "disk-gb-s": read.amplitude.nbytes / 1e9 / _seconds_of(lambda: ptycho.read_scan(scan)),
    }
    print(" ".join(f"--{name} {value:.3g}" for name, value in per_patch.items()))
    kept = scan.parent / "canvas.npz"
    written_s = _seconds_of(lambda: large.write(kept))
    print(f"a checkpoint: {kept.stat().st_size / 1e6 / written_s:.0f} MB/s to this disk")
    kept.unlink()


def _seconds_of(work: Callable[[], object]) -> float:
    """Return the processor's time, the median of three."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return sorted(seconds)[1]


def _n_bytes(state: CanvasState) -> int:
    return sum(array.nbytes for array in state.fields().values())


CASES: dict[str, Callable[[Path], None]] = {
    "same": same,
    "killed": killed,
    "starved": starved,
    "resumed": resumed,
    "constants": constants,
}


def folder_and_cases(description: str | None, cases: Iterable[str]) -> tuple[Path, list[str]]:
    """Return the folder of the command line, made if there is none, and the cases asked for, all by default."""
    known = list(cases)
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="where scans and checkpoints are made")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(known)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(known):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; choose from {', '.join(known)}.")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    return arguments.folder, arguments.cases or known


def main() -> int:
    """Run the cases that are asked for."""
    folder, names = folder_and_cases(main.__doc__, CASES)
    scan = folder / "scan.npz"
    if not scan.exists():
        write_npz(scan, demo_scan())
    for name in names:
        print(f"== {name}", flush=True)
        CASES[name](scan)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
