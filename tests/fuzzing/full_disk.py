"""``python -m fuzzing.full_disk [--limits 8] [--only NAME …]`` (``make full-disk``).

First every kind of file that is written here meets a disk that is full at any byte (``RLIMIT_FSIZE``): what was there
before is the same to the last bit, nothing lies beside it, and the error names the file. Then every command meets one:
exit code 1, one sentence, no result half new; and closed streams, a reader that has gone, a folder for reading only and
another user's. One line for each; exit code 1 if any fails.
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import made_results as made
import numpy as np
import saved_runs
from full_disks import disk_full_at
from fuzzing.commands import (
    MODULES,
    USERS,
    Command,
    be_ready_to_fork,
    commands,
    faults_of_files,
    fingerprints,
)
from known_scan import make_known_scan

from ptycho.data import (
    ImportSettings,
    Reconstruction,
    ScanData,
    ScanGeometry,
    export_reconstruction,
    write_npz,
    write_recipe,
    write_reconstruction,
)
from ptycho.models._checkpoint import Checkpoint
from ptycho.models._journal import write_losses
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.report import plot_loss_curve, plot_scan, write_artifacts, write_page, write_plots, write_study
from ptycho.report.patch_dump import dumping
from ptycho.stitching import Canvas

_NOBODY = 65534


@dataclass(frozen=True)
class Kind:
    """A kind of output.

    Attributes
    ----------
    write : callable
        Writes it into a folder.
    keeps_aside : bool
        Whether what fits is kept in a folder of its own.
    n_near : int
        So many places near the start and the end of each file are tried; pictures take long.
    """

    write: Callable[[Path], object]
    keeps_aside: bool = False
    n_near: int = 12


def _scan() -> ScanData:
    known = make_known_scan()
    return ScanData(
        amplitude=np.sqrt(known.clean),
        positions_yx=known.positions_yx,
        probe=known.modes[1],
        object_guess=known.image,
        mask=~known.bad,
    )


def _reconstruction() -> Reconstruction:
    known = make_known_scan()
    return Reconstruction(
        label="ePIE",
        object=known.image,
        probe=known.modes[1],
        positions_yx=known.positions_yx,
        coverage=np.ones(known.image.shape, np.float32),
    )


def _write_canvas(folder: Path) -> None:
    scan = _scan()
    canvas = Canvas.around(scan.positions_yx, crop_size=7)
    canvas.add(scan.amplitude.astype(np.complex64), scan.positions_yx)
    canvas.save(folder / "canvas.npz")


def _write_dump(folder: Path) -> None:
    scan = _scan()
    with dumping(folder) as dump:
        dump(scan.amplitude[..., None], scan.positions_yx, scan.amplitude.astype(np.complex64))


def _write_exports(folder: Path, form: str) -> None:
    geometry = ScanGeometry(object_pixel_m=6.2e-9, photon_energy_j=1.4e-15, detector_distance_m=2.0)
    export_reconstruction(folder / "image", _reconstruction(), [form], geometry=geometry)


def _write_state(folder: Path) -> None:
    numbers = tuple(np.random.default_rng(3).random((3, 40, 50)))
    state = Checkpoint(
        conditions={"seed": 3},
        history={"loss": [2.0, 1.0]},
        weights=numbers,
        best_weights=numbers,
        optimizer=(),
    )
    state.save(folder / "checkpoint.npz")


@functools.cache
def _model() -> PatchModel:
    architecture = Architecture(kind="baseline", patch_size=16, n_filters_scale=0.25)
    return PatchModel(
        build_network(architecture), architecture, np.full((1, 16, 16), 1 + 2j, np.complex64), {"seed": 7}
    )


_SETTINGS = ImportSettings(crop=64, values="amplitude", dc="corner")
_LOSSES = {"loss": [2.0, 1.5, 1.25], "learning_rate": [1e-3, 1e-3, 5e-4]}
KINDS = {
    "scan": Kind(lambda folder: write_npz(folder / "scan.npz", _scan())),
    "recipe": Kind(lambda folder: write_recipe(folder / "a.toml", _SETTINGS)),
    "reconstruction": Kind(lambda folder: write_reconstruction(folder / "image.npz", _reconstruction())),
    "canvas": Kind(_write_canvas),
    "product": Kind(lambda folder: _write_exports(folder, "product")),
    "CXI": Kind(lambda folder: _write_exports(folder, "cxi")),
    "TIFF": Kind(lambda folder: _write_exports(folder, "tiff")),
    "bundle": Kind(lambda folder: save_bundle(folder, _model())),
    "state of a training": Kind(_write_state),
    "table of losses": Kind(lambda folder: write_losses(folder / "loss_curve.csv", _LOSSES)),
    "curve of losses": Kind(lambda folder: plot_loss_curve(_LOSSES, folder / "loss_curve.png"), n_near=3),
    "picture of a scan": Kind(lambda folder: plot_scan(_scan(), folder / "scan.png"), n_near=3),
    "comparison": Kind(
        lambda folder: write_artifacts(saved_runs.two_arms(), folder, report=saved_runs.info()),
        keeps_aside=True,
    ),
    "pictures of a comparison": Kind(
        lambda folder: write_plots(made.comparison(made.model_arm()), folder), n_near=1
    ),
    "page": Kind(write_page),
    "study": Kind(lambda folder: write_study([folder / "run"], folder)),
    "dump": Kind(_write_dump),
}


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def places(sizes: Iterable[int], n_near: int) -> list[int]:
    """Return bytes at which a disk is full: near the start and the end of each file, and here and there between."""
    found: set[int] = set()
    for size in sizes:
        near = range(0, min(size, 7 * n_near), 7)
        found |= {*near, *(size - 1 - each for each in near), *range(0, size, max(1, size // n_near))}
    return sorted(each for each in found if 0 <= each < max(sizes))


def sweep(kind: Kind, folder: Path, older: dict[str, bytes], n_bytes: int) -> list[str]:
    """Write once with so much room; return what of what is asked does not hold."""
    try:
        with disk_full_at(n_bytes):
            kind.write(folder)
        found = ["no error"]
    except OSError as error:
        named = str(error.filename or "")
        found = [] if named.startswith(str(folder)) else [f"the error names {named or 'no file'}: {error}"]
    for kept in folder.glob("unfinished-results-*") if kind.keeps_aside else ():
        shutil.rmtree(kept)
    now = contents(folder)
    changed = sorted(name for name in now.keys() | older.keys() if now.get(name) != older.get(name))
    return found + ([f"changed {', '.join(changed)}"] if changed else [])


def run_kind(name: str) -> Counter[str]:
    """Sweep one kind and print a line."""
    kind, counted = KINDS[name], Counter[str]()
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        if name == "page":
            saved_runs.write(folder, saved_runs.two_arms())
        if name == "study":
            saved_runs.write(folder / "run", saved_runs.two_arms())
        before = contents(folder)
        kind.write(folder)
        older = contents(folder)
        sizes = [len(value) for path, value in older.items() if before.get(path) != value]
        tried = places(sizes, kind.n_near)
        for n_bytes in tried:
            counted.update(sweep(kind, folder, older, n_bytes))
    told = "; ".join(f"{count} {fault}" for fault, count in counted.items()) or "all is well"
    print(
        f"{name:25} {len(tried)} places, files of {', '.join(map(str, sorted(sizes)))} bytes: {told}",
        flush=True,
    )
    return counted


def _limit(n_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _into_a_full_device() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _into_a_pipe_that_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)


def _be_nobody() -> None:
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


STREAMS: dict[str, Callable[[], None]] = {
    "stdout closed": functools.partial(_close, 1),
    "stderr closed": functools.partial(_close, 2),
    "both closed": functools.partial(_close, 1, 2),
    "stdout full": _into_a_full_device,
    "reader gone": _into_a_pipe_that_nobody_reads,
}


def run_command(command: Command, place: Path, n_limits: int) -> Counter[str]:
    """Let one command meet full disks, streams and folders, and print a line."""
    counted = Counter[str]()
    code, error = command.run(cold=False)
    counted.update([] if code == 0 else [f"exit code {code} with room for all: {error[-300:]}"])
    sizes = {path.stat().st_size for path in place.rglob("*") if path.is_file() and path.name != USERS}
    limits = sorted({0, 200, *(size // 2 for size in sizes), *(size - 1 for size in sizes)})
    chosen = limits[:: max(1, len(limits) // n_limits)]
    for n_bytes in chosen:
        counted.update(f"at {n_bytes} bytes: {fault}" for fault in _at_limit(command, place, n_bytes))
    for name, prepare in STREAMS.items():
        before = fingerprints(place, command)
        code, error = command.run(cold=False, prepare=prepare)
        counted.update([] if code == 0 else [f"{name}: exit code {code}: {error[-300:]}"])
        counted.update(f"{name}: {fault}" for fault in faults_of_files(place, command, before, killed=False))
    if os.geteuid() == 0:
        counted.update(_in_folders_of_others(command, place))
    told = "; ".join(f"{count} {fault}" for fault, count in counted.items()) or "all is well"
    print(
        f"{command.name:20} full at {', '.join(map(str, chosen))}; {len(STREAMS)} streams; folders: {told}",
        flush=True,
    )
    return counted


def _at_limit(command: Command, place: Path, n_bytes: int) -> list[str]:
    before = fingerprints(place, command)
    code, error = command.run(cold=False, prepare=functools.partial(_limit, n_bytes))
    last = error.strip().splitlines()[-1] if error.strip() else ""
    found = ["traceback"] if "Traceback" in error else []
    # Where nothing but the log did not fit, the run is done.
    if code == 0 and "ends here: File too large" not in error:
        found.append("no error")
    elif code not in (0, 1) or (code == 1 and not last.startswith(f"{command.name}: error: ")):
        found.append(f"exit code {code}: {last}")
    for kept in place.glob("unfinished-results-*"):
        shutil.rmtree(kept)
    return found + faults_of_files(place, command, before, killed=False)


def _in_folders_of_others(command: Command, place: Path) -> list[str]:
    found = []
    for mode, what in ((0o755, "another user's folder"), (0o555, "folder for reading only")):
        place.chmod(mode)
        before = fingerprints(place, command)
        code, error = command.run(cold=False, prepare=_be_nobody)
        place.chmod(0o755)
        if code != 2 or "Traceback" in error or f"the folder {place} is not writable" not in error:
            found.append(f"{what}: exit code {code}: {error[-300:]}")
        found += [f"{what}: {fault}" for fault in faults_of_files(place, command, before, killed=False)]
        if fingerprints(place, command) != before:
            found.append(f"{what}: results replaced")
    return found


def main() -> int:
    """Sweep the kinds and commands that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing.full_disk", description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=int, default=8, help="full disks for each command (8)")
    parser.add_argument(
        "--only", nargs="+", default=[*KINDS, *MODULES], choices=[*KINDS, *MODULES], metavar="NAME"
    )
    arguments = parser.parse_args()
    be_ready_to_fork()
    n_faults = sum(sum(run_kind(name).values()) for name in arguments.only if name in KINDS)
    if any(name in MODULES for name in arguments.only):
        with tempfile.TemporaryDirectory() as folder_name:
            folder = Path(folder_name)
            # Others may look into it.
            folder.chmod(0o755)
            for command in commands(folder):
                if command.name in arguments.only:
                    n_faults += sum(
                        run_command(_with_more(command), folder / command.name, arguments.limits).values()
                    )
    return 1 if n_faults else 0


def _with_more(command: Command) -> Command:
    """Return the command with every kind of output that it knows."""
    more = {
        "ptycho-reconstruct": ("--export", "tiff"),
        "compare-models": ("--export", "tiff", "--save-debug-images"),
    }
    return replace(command, arguments=(*command.arguments, *more.get(command.name, ())))


if __name__ == "__main__":
    sys.exit(main())
