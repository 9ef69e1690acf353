"""``python -m fuzzing.signals [--each 20] [--seed 12] [--only COMMAND …]`` (``make signals``).

Each command is run again and again into one place that holds its earlier results, and gets a signal at a random moment
of its run: SIGINT, SIGTERM and SIGHUP, and SIGKILL, after which the next run has to clean up. After each it is asked
that the earlier results are as they were or replaced as a whole, that each of them can be read, that the user's other
files are untouched, that nothing hidden is left (but by SIGKILL), and that the command said in one sentence how it
ended, by its exit code too. At the end a run without a signal has to succeed and leave nothing hidden. One line for
each command and signal; exit code 1 if any fails.

A signal that comes while Python itself starts or ends is Python's: it is counted apart, as `early or late`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import saved_runs

from ptycho.cli.main import VERBS
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.demo import model_folder

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
_MODULES = {verb.older_name: verb.module for verb in VERBS}
_USERS = "notes.txt"


@dataclass(frozen=True)
class Command:
    """One command, its arguments, and the results that belong together."""

    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]

    def start(self) -> subprocess.Popen[str]:
        """Start it with the signals as a terminal leaves them, whatever this process inherited."""
        return subprocess.Popen(
            [sys.executable, "-c", _START, _MODULES[self.name], *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        )


_START = """
import importlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
for each in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_DFL)
sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))
"""


def commands(folder: Path) -> list[Command]:
    """Return the commands, on a scan that is made in `folder`, each with its output in a folder there."""
    scan = folder / "scan.npz"
    write_npz(scan, simulate(SimulationSettings(object_shape_yx=(120, 136), step_px=8.0, seed=3)))
    model, out = str(model_folder("baseline")), {name: folder / name for name in _MODULES}
    for place in out.values():
        place.mkdir()
        (place / _USERS).write_text("the user's")
    saved = [saved_runs.write(folder / name, saved_runs.two_arms()) for name in ("saved", "saved_too")]

    def made(name: str, *arguments: str, results: tuple[str, ...]) -> Command:
        return Command(name, (*arguments, "--overwrite"), results)

    where = {name: ("--output_dir", str(place)) for name, place in out.items()}
    return [
        made("ptycho-simulate", str(out["ptycho-simulate"] / "out.npz"), results=("out.npz",)),
        made("ptycho-convert", str(scan), str(out["ptycho-convert"] / "out.npz"), results=("out.npz",)),
        made(
            "ptycho-reconstruct", "--test_data", str(scan), "--model_dir", model, *where["ptycho-reconstruct"],
            results=("reconstruction.npz", "run_report.json"),
        ),
        made(
            "compare-models", "--test_data", str(scan), "--arm", f"B={model}", *where["compare-models"],
            results=("reconstructions.npz", "comparison_metrics.csv", "run_report.json"),
        ),
        made(
            "ptycho-train", "--model", "baseline", "--train_data", str(scan), "--epochs", "3",
            "--n-filters-scale", "0.25", *where["ptycho-train"],
            results=("bundle.json", "network.weights.h5", "probe.npy"),
        ),
        made(
            "ptycho-refine", "--test_data", str(scan), "--sweeps", "3", *where["ptycho-refine"],
            results=("refined.npz", "run_report.json"),
        ),
        made(
            "ptycho-report", *map(str, saved), *where["ptycho-report"], results=("study.html", "study.csv"),
        ),
        made(
            "ptycho-inspect", str(scan), "--plot", str(out["ptycho-inspect"] / "scan.png"), results=("scan.png",),
        ),
    ]  # fmt: skip


def _fingerprints(place: Path, command: Command) -> dict[str, tuple[int, int, int]]:
    found = {}
    for name in command.results:
        told = (place / name).stat()
        found[name] = (told.st_ino, told.st_mtime_ns, told.st_size)
    return found


def _faults_of_files(place: Path, command: Command, before: dict, killed: bool) -> list[str]:
    missing = [name for name in command.results if not (place / name).is_file()]
    if missing:
        return [f"lost {', '.join(missing)}"]
    after = _fingerprints(place, command)
    changed = [name for name in command.results if after[name] != before[name]]
    # The report is written once more after the plots.
    faults = (
        []
        if len(changed) in (0, len(before)) or changed == ["run_report.json"]
        else [f"half: {', '.join(changed)}"]
    )
    faults += [f"cannot be read: {name}" for name in command.results if not _is_readable(place / name)]
    if (place / _USERS).read_text() != "the user's":
        faults.append("the user's file")
    hidden = [path.name for path in place.iterdir() if path.name.startswith(".")]
    return faults + ([f"left {', '.join(hidden)}"] if hidden and not killed else [])


def _is_readable(path: Path) -> bool:
    try:
        if path.suffix == ".npz":
            with np.load(path) as file:
                return all(file[name] is not None for name in file.files)
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                return "layers" in file
        if path.suffix == ".json":
            return isinstance(json.loads(path.read_text()), dict)
        return path.stat().st_size > 0
    except (OSError, ValueError):
        return False


def _ending(command: Command, number: signal.Signals, code: int, error: str) -> str:
    """Return how a run ended: finished, stopped as it should, while Python started or ended, or wrongly."""
    last = error.strip().splitlines()[-1] if error.strip() else ""
    if number is signal.SIGKILL:
        return "killed" if code == -number else "finished" if code == 0 else f"exit code {code}"
    said = f"{command.name}: error: stopped by" in error
    if code == 0 and "Traceback" not in error:
        return "finished"
    if code == 128 + number and said and "Traceback" not in error:
        return "stopped"
    # Before the command has set its handlers, and after it has put them back, the signal is Python's.
    if code in (-number, 128 + number) and not said:
        return "early or late"
    return f"exit code {code}: {last}"


def _try(command: Command, number: signal.Signals, delay: float, place: Path) -> list[str]:
    before = _fingerprints(place, command)
    with command.start() as process:
        time.sleep(delay)
        process.send_signal(number)
        try:
            _, error = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            return ["hang"]
    ending = _ending(command, number, process.returncode, error)
    return [ending, *_faults_of_files(place, command, before, number is signal.SIGKILL)]


def _whole_run(command: Command, place: Path) -> tuple[float, list[str]]:
    begun = time.perf_counter()
    with command.start() as process:
        _, error = process.communicate()
    faults = [] if process.returncode == 0 else [f"exit code {process.returncode}: {error[-300:]}"]
    hidden = [path.name for path in place.iterdir() if path.name.startswith(".")]
    return time.perf_counter() - begun, faults + ([f"left {', '.join(hidden)}"] if hidden else [])


def main() -> int:
    """Send the signals."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing.signals", description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=20, help="signals of each kind for each command (20)")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument(
        "--only", nargs="+", default=list(_MODULES), choices=list(_MODULES), metavar="COMMAND"
    )
    arguments = parser.parse_args()
    moments, n_faults = random.Random(arguments.seed), 0
    good = {"finished", "stopped", "early or late", "killed"}
    with tempfile.TemporaryDirectory() as name:
        for command in commands(Path(name)):
            place = Path(name) / command.name
            if command.name not in arguments.only:
                continue
            seconds, faults = _whole_run(command, place)
            seconds = min(seconds, _whole_run(command, place)[0])
            for number in SIGNALS:
                counted = Counter[str]()
                for _ in range(arguments.each):
                    counted.update(_try(command, number, moments.uniform(0.0, seconds), place))
                faults += [kind for kind in counted if kind not in good]
                told = ", ".join(f"{count} {kind}" for kind, count in sorted(counted.items()))
                print(f"{command.name:19} {number.name:8} in {seconds:.1f} s: {told}", flush=True)
            faults += _whole_run(command, place)[1]
            n_faults += len(faults)
            print(f"{command.name:19} and then a whole run: {'; '.join(faults) or 'all is well'}", flush=True)
    return 1 if n_faults else 0


if __name__ == "__main__":
    sys.exit(main())
