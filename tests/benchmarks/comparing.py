"""Run `compare-models` on many frames in a process of its own, and the same networks bare; print JSON.

``python -m benchmarks.comparing compare SCAN OUT`` or ``… bare SCAN --batch-size 32``
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
N_FRAMES = 10_000
SIDE = 64
REPEATS = 2


def write_scan(path: Path, n_frames: int = N_FRAMES) -> None:
    """Write frames of a small simulated scan again and again, at positions of a larger raster, without a truth."""
    from ptycho.data import ScanData, SimulationSettings, simulate, write_npz

    few = simulate(SimulationSettings(object_shape_yx=(256, 256), step_px=5.0, seed=5))
    rows = int(np.sqrt(n_frames))
    index = np.arange(n_frames)
    positions = np.stack([index // rows, index % rows], axis=-1) * 5.25 + SIDE / 2 + 0.3
    write_npz(
        path,
        ScanData(amplitude=few.amplitude[index % few.n_frames], positions_yx=positions, probe=few.probe),
    )


def compare(scan: Path, folder: Path) -> dict:
    """Compare the shipped networks as the command does; the seconds and the peak are those of this process."""
    began = time.perf_counter()
    from benchmarks.memory import status_bytes

    from ptycho.cli.compare_models import main
    from ptycho.demo import model_folder

    models = ("--pinn_dir", model_folder("pinn"), "--baseline_dir", model_folder("baseline"))
    flags = ("--test_data", scan, "--output_dir", folder, "--overwrite", "--quiet", "--device", "cpu")
    code = main([str(word) for word in (*models, *flags)])
    assert code == 0
    report = json.loads((folder / "run_report.json").read_text())
    return {
        "process_s": time.perf_counter() - began,
        "work_s": report["run"]["wall_s"],
        "stitch_s": sum(arm["seconds"]["stitch"] for arm in report["arms"]),
        "verdict_s": sum(arm["seconds"]["verdict"] for arm in report["arms"]),
        "stream_s": sum(arm["seconds"]["reconstruct"] for arm in report["arms"]),
        "batch_sizes": [arm["prediction"]["final_batch_size"] for arm in report["arms"]],
        "peak_bytes": status_bytes("VmHWM"),
    }


def bare(scan: Path, batch_sizes: list[int]) -> dict:
    """Call `predict_on_batch` of both networks on all frames and keep nothing; the first call is not counted."""
    from ptycho.data import read_npz
    from ptycho.demo import model_folder
    from ptycho.models.bundle import load_bundle
    from ptycho.models.devices import computing_on

    seconds = []
    with computing_on("CPU"):
        frames = read_npz(scan).normalised().amplitude[..., np.newaxis]
        for kind, size in zip(("pinn", "baseline"), batch_sizes, strict=True):
            network = load_bundle(model_folder(kind)).network
            network.predict_on_batch(frames[:size])
            began = time.perf_counter()
            for start in range(0, len(frames) // size * size, size):
                network.predict_on_batch(frames[start : start + size])
            seconds.append((time.perf_counter() - began) * len(frames) / (len(frames) // size * size))
    return {"bare_s": seconds}


def measure(folder: Path, n_frames: int = N_FRAMES) -> dict:
    """Measure both in turn, each in fresh processes, and keep the best of a few."""
    scan = folder / "scan.npz"
    write_scan(scan, n_frames)
    runs, bares = [], []
    for _ in range(REPEATS):
        runs.append(_in_a_process("compare", scan, folder / "out"))
        sizes = ",".join(map(str, runs[-1]["batch_sizes"]))
        bares.append(_in_a_process("bare", scan, "--batch-sizes", sizes))
    best = min(runs, key=lambda run: run["work_s"])
    return {
        **best,
        "n_frames": n_frames,
        "frames_bytes": n_frames * SIDE * SIDE * 4,
        "peak_bytes": max(run["peak_bytes"] for run in runs),
        "bare_s": min((run["bare_s"] for run in bares), key=sum),
    }


def _in_a_process(*words: object) -> dict:
    command = [sys.executable, "-m", "benchmarks.comparing", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("compare")
    one.add_argument("scan", type=Path)
    one.add_argument("folder", type=Path)
    other = commands.add_parser("bare")
    other.add_argument("scan", type=Path)
    other.add_argument("--batch-sizes", type=lambda text: [int(size) for size in text.split(",")])
    arguments = parser.parse_args()
    if arguments.command == "compare":
        result = compare(arguments.scan, arguments.folder)
    else:
        result = bare(arguments.scan, arguments.batch_sizes)
    print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main()
