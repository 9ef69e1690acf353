"""Every command in a process of its own, from nothing or forked, and what must hold of the files it leaves."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

import h5py
import numpy as np
import saved_runs

from ptycho.cli.main import VERBS
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.demo import model_folder

MODULES = {verb.older_name: verb.module for verb in VERBS}
USERS = "notes.txt"
_LONGEST_S = 900.0
_WARM = multiprocessing.get_context("forkserver")
# What the commands import on the way.
_IMPORTED = (
    "tensorflow", "keras", "numba", "h5py", "jinja2", "rich.progress", "skimage.metrics", "scipy.fft",
    "scipy.ndimage", "matplotlib.figure", "matplotlib.backends.backend_agg",
)  # fmt: skip


def be_ready_to_fork() -> None:
    """Let forks begin with all that the commands import."""
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    _WARM.set_forkserver_preload([*MODULES.values(), *_IMPORTED])


@dataclass(frozen=True)
class Command:
    """One command, its arguments, and the results that belong together."""

    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]

    def run(
        self,
        *,
        cold: bool = True,
        number: signal.Signals | None = None,
        delay_s: float = 0.0,
        prepare: Callable[[], object] = int,
    ) -> tuple[int | None, str]:
        """Run it, with a signal after a while; return its exit code, None if it did not end, and what it said.

        What is forked (not `cold`) calls `prepare` first.
        """
        with tempfile.TemporaryDirectory() as name:
            # A pipe: what is said to it counts to no full disk.
            said = Path(name) / "said"
            os.mkfifo(said)
            reader = os.open(said, os.O_RDONLY | os.O_NONBLOCK)
            process, wait = self._start(said) if cold else self._fork(said, prepare)
            if number is not None:
                time.sleep(delay_s)
                with suppress(ProcessLookupError):
                    os.kill(process, number)
            code = wait()
            with os.fdopen(reader, "rb") as file:
                return code, (file.read() or b"").decode(errors="replace")

    def _start(self, said: Path) -> tuple[int, Callable[[], int | None]]:
        with said.open("wb") as file:
            words = [sys.executable, "-c", _START, MODULES[self.name], *self.arguments]
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=file)

        def wait() -> int | None:
            try:
                return process.wait(_LONGEST_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return None

        return process.pid, wait

    def _fork(self, said: Path, prepare: Callable[[], object]) -> tuple[int, Callable[[], int | None]]:
        process = _WARM.Process(target=_be, args=(MODULES[self.name], self.arguments, said, prepare))
        process.start()
        # The fork itself is no part of the command.
        while not _begun(said).exists() and process.is_alive():
            time.sleep(0.001)

        def wait() -> int | None:
            process.join(_LONGEST_S)
            code = process.exitcode
            process.kill()
            process.join()
            return code

        assert process.pid is not None  # it was started
        return process.pid, wait


# The signals as a terminal leaves them, whatever this process inherited.
_START = """
import importlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
for each in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_DFL)
sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))
"""


def _begun(said: Path) -> Path:
    return said.with_name("begun")


def _stream(descriptor: int) -> TextIO | None:
    """Return what Python makes of a descriptor when it starts: nothing of a closed one."""
    try:
        os.fstat(descriptor)
    except OSError:
        return None
    return open(descriptor, "w", closefd=False, errors="backslashreplace")


def _be(module: str, arguments: tuple[str, ...], said: Path, prepare: Callable[[], object]) -> NoReturn:
    """Be, in a process that was forked, what `_START` is in one of its own, with its words in the file `said`."""
    code = 128 + signal.SIGINT
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for path, stream in ((os.devnull, 1), (said, 2)):
            os.dup2(os.open(path, os.O_WRONLY), stream)
        _begun(said).touch()
        prepare()
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        code = importlib.import_module(module).main(arguments)
    except KeyboardInterrupt:
        # Before the command had set its handlers, or after it had put them back.
        pass
    except BaseException:  # noqa: BLE001  # whatever it is, it is what the command ended by
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.flush()
        os._exit(code)


def commands(folder: Path) -> list[Command]:
    """Return the commands, on a scan that is made in `folder`, each with its output in a folder there."""
    scan = folder / "scan.npz"
    write_npz(scan, simulate(SimulationSettings(object_shape_yx=(120, 136), step_px=8.0, seed=3)))
    model, out = str(model_folder("baseline")), {name: folder / name for name in MODULES}
    for place in out.values():
        place.mkdir()
        (place / USERS).write_text("the user's")
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
            results=("bundle.json", "network.weights.h5", "probes.npy"),
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


def fingerprints(place: Path, command: Command) -> dict[str, tuple[int, int, int]]:
    found = {}
    for name in command.results:
        told = (place / name).stat()
        found[name] = (told.st_ino, told.st_mtime_ns, told.st_size)
    return found


def faults_of_files(place: Path, command: Command, before: dict, killed: bool) -> list[str]:
    missing = [name for name in command.results if not (place / name).is_file()]
    if missing:
        return [f"lost {', '.join(missing)}"]
    after = fingerprints(place, command)
    changed = [name for name in command.results if after[name] != before[name]]
    # The report is written once more after the plots.
    faults = (
        []
        if len(changed) in (0, len(before)) or changed == ["run_report.json"]
        else [f"half: {', '.join(changed)}"]
    )
    faults += [f"cannot be read: {name}" for name in command.results if not is_readable(place / name)]
    if (place / USERS).read_text() != "the user's":
        faults.append("the user's file")
    hidden = [path.name for path in place.iterdir() if path.name.startswith(".")]
    return faults + ([f"left {', '.join(hidden)}"] if hidden and not killed else [])


def is_readable(path: Path) -> bool:
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
