"""Measures how shards scale over the workers of this machine, and what Dask costs; docs/scaling.md has the output.

Usage: python scripts/cluster_scaling.py FOLDER [weak|overhead|refinement ...]

Every figure is the median of runs that take turns, so that what else the machine does falls on all alike. Workers have
one thread each, in TensorFlow and in the compiled loops. Their start and the opening of model and scan are no part of a
run's time and are printed apart.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
import psutil
from cluster_cases import folder_and_cases
from distributed import Client

from autobatch import NoProgress, Stage
from ptycho.data import ScanData, SimulationSettings, read_scan, simulate, write_npz
from ptycho.demo import model_folder
from ptycho.distributed import ClusterRunner, cluster_client
from ptycho.models import NetworkDescription, load_model
from ptycho.models.own_network import network_of_callable
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction import InferenceSettings, reconstruct

_SIDE, _STEP_PX = 64, 5.0
_SHARDS_PER_WORKER = 16
PATCHES_PER_WORKER = 200_000
_N_FRAMES = 10_000
_TIMES = 5
_TIMES_OF_NETWORK = 3


@dataclass(frozen=True)
class Times:
    """Seconds of the start, of the work (shards, their sum and the image), and of all processors during the work."""

    start_s: float
    work_s: float
    processor_s: float


class _Clock(NoProgress):
    """Notes when the stage of the patches begins: what came before is the start."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self.processes = processes
        self.began_s = time.perf_counter()
        self.working_s = self.used_s = 0.0

    def processor_s(self) -> float:
        used = [process.cpu_times() for process in self.processes]
        return sum(each.user + each.system for each in used)

    def times(self) -> Times:
        now_s = time.perf_counter()
        return Times(self.working_s - self.began_s, now_s - self.working_s, self.processor_s() - self.used_s)

    def stage(self, label: str, total: int | None, unit: str = "items") -> Stage:
        return _Noted(self, unit)  # pyright: ignore[reportAbstractUsage]


class _Noted(type(NoProgress().stage("", 0))):  # pyright: ignore[reportGeneralTypeIssues]
    def __init__(self, clock: _Clock, unit: str) -> None:
        self._clock, self._unit = clock, unit

    def __enter__(self) -> Stage:
        if self._unit == "patches" and not self._clock.working_s:
            self._clock.working_s, self._clock.used_s = time.perf_counter(), self._clock.processor_s()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


def timed(
    model: PatchPredictor, scan: ScanData, settings: InferenceSettings, runner: ClusterRunner | None
) -> Times:
    """Reconstruct, with Dask or without."""
    pids: dict[str, int] = {} if runner is None else runner.client.run(os.getpid)  # pyright: ignore[reportAssignmentType]
    clock = _Clock([psutil.Process(pid) for pid in {os.getpid(), *pids.values()}])
    reconstruct(model, scan, settings, runner=runner, progress=clock)
    return clock.times()


def synthetic_scan(n_frames: int) -> ScanData:
    """Return a raster of frames that are one and the same in memory, so that no disk is measured."""
    side = int(np.ceil(np.sqrt(n_frames)))
    rows, columns = np.divmod(np.arange(n_frames), side)
    jitter = np.random.default_rng(1).uniform(-1, 1, (n_frames, 2))
    positions_yx = _SIDE + _STEP_PX * np.stack([rows, columns], axis=1) + jitter
    frame = np.random.default_rng(2).random((_SIDE, _SIDE), dtype=np.float32)
    return ScanData(
        amplitude=np.broadcast_to(frame, (n_frames, _SIDE, _SIDE)),
        positions_yx=positions_yx,
        probe=np.ones((_SIDE, _SIDE), np.complex64),
    )


def synthetic_model() -> PatchPredictor:
    """Return a function that gives patches at once."""
    rng = np.random.default_rng(3)
    patches = (rng.random((1024, _SIDE, _SIDE)) + 1j * rng.random((1024, _SIDE, _SIDE))).astype(np.complex64)
    description = NetworkDescription(patch_size=_SIDE)
    return network_of_callable(
        lambda frames: patches[: len(frames)], name="synthetic", description=description
    )


def weak(folder: Path) -> None:
    """Twice the patches on twice the workers: 1 means that the second costs nothing."""
    settings = InferenceSettings(crop_size=20, predict_batch_size=512)
    with cluster_client("local:1") as one, cluster_client("local:2") as two:
        for self_consistency in (False, True):
            settings = replace(settings, self_consistency=self_consistency)
            runs: dict[int, list[Times]] = {1: [], 2: []}
            for _ in range(_TIMES + 1):
                for n_workers, client in ((1, one), (2, two)):
                    runs[n_workers].append(_stitched(client, n_workers, settings))
            one_s, two_s = ([run.work_s for run in runs[n][1:]] for n in (1, 2))
            used_s = [statistics.median(run.processor_s for run in runs[n][1:]) for n in (1, 2)]
            print(
                f"weak scaling of the stitch, {PATCHES_PER_WORKER:,} patches a worker, half sets "
                f"{'on' if self_consistency else 'off'}: 1 worker {_told(one_s)}, 2 workers {_told(two_s)}, "
                f"efficiency {statistics.median(one_s) / statistics.median(two_s):.2f}; processors' time "
                f"{used_s[0]:.2f} and {used_s[1]:.2f} s, {2 * used_s[0] / used_s[1]:.2f}; start "
                f"{_told([run.start_s for run in runs[2][1:]])}",
                flush=True,
            )


def _stitched(client: Client, n_workers: int, settings: InferenceSettings) -> Times:
    n_frames = PATCHES_PER_WORKER * n_workers
    open_scan = partial(synthetic_scan, n_frames)
    runner = ClusterRunner(client=client, open_model=synthetic_model, open_scan=open_scan)
    settings = replace(settings, shard_size=PATCHES_PER_WORKER // _SHARDS_PER_WORKER)
    return timed(synthetic_model(), open_scan(), settings, runner)


def overhead(folder: Path) -> None:
    """The same shards in one process without Dask, and as tasks of it; both in the same worker process."""
    scan, model = folder / "scan-10000.npz", model_folder("pinn")
    if not scan.exists():
        side = round(np.sqrt(_N_FRAMES))
        shape = (round((side - 1) * _STEP_PX + _SIDE + 2),) * 2
        simulated = simulate(SimulationSettings(object_shape_yx=shape, step_px=_STEP_PX, seed=7))
        write_npz(scan, replace(simulated, object_guess=None, labels=None))
    settings = InferenceSettings(
        crop_size=24, predict_batch_size=64, shard_size=625, self_consistency=True, verdict=True
    )
    read = read_scan(scan)
    with cluster_client("local:1") as client:
        open_scan = partial(read_scan, scan, labels=False)
        runner = ClusterRunner(client=client, open_model=partial(load_model, model), open_scan=open_scan)
        without, by_dask = [], []
        client.submit(_without_dask, model, scan, replace(settings, max_groups=256)).result()  # warms it up
        for _ in range(_TIMES_OF_NETWORK):
            without.append(client.submit(_without_dask, model, scan, settings, pure=False).result())
            by_dask.append(timed(load_model(model), read, settings, runner))
    without_s, by_dask_s = ([run.work_s for run in runs] for runs in (without, by_dask))
    more = statistics.median(by_dask_s) / statistics.median(without_s) - 1
    used_s = [statistics.median(run.processor_s for run in runs) for runs in (without, by_dask)]
    print(
        f"{read.n_frames:,} frames on one warm worker: {_told(without_s)} without Dask, {_told(by_dask_s)} with it, "
        f"{100 * more:+.1f} %; processors' time {used_s[0]:.2f} and {used_s[1]:.2f} s, "
        f"{100 * (used_s[1] / used_s[0] - 1):+.1f} %; start {_told([run.start_s for run in by_dask])}"
    )


def _without_dask(model: Path, scan: Path, settings: InferenceSettings) -> Times:
    return timed(load_model(model), read_scan(scan, labels=False), settings, None)


def refinement(folder: Path) -> None:
    """What a step of a sweep takes here, and what workers would need to tell each other of it."""
    from ptycho.refinement import RefinementSettings, refine

    mini_batch = RefinementSettings().mini_batch
    with cluster_client("local:2") as client:
        first, second = client.nthreads()  # pyright: ignore[reportGeneralTypeIssues]
        for side in (64, 256):
            across = side + 12 * side // 8
            shape, step_px = (across, across), side / 16
            scan = simulate(
                SimulationSettings(object_shape_yx=shape, patch_size=side, step_px=step_px, seed=5)
            )
            refine(None, scan)
            steps = [refine(None, scan).seconds / -(-scan.n_frames // mini_batch) for _ in range(_TIMES)]
            # What the frames of half a mini-batch want: a complex image each, there and back.
            rounds = [_exchanged(client, first, second, mini_batch // 2 * side**2 * 8) for _ in range(20)]
            print(
                f"a step of {mini_batch} frames of {side}x{side}: {1e3 * statistics.median(steps):.1f} ms in one "
                f"process; handing half of what they want to another worker: {1e3 * statistics.median(rounds):.1f} ms"
            )


def _exchanged(client: Client, first: str, second: str, n_bytes: int) -> float:
    began = time.perf_counter()
    wishes = client.submit(np.ones, n_bytes // 8, pure=False, workers=[first])
    client.submit(_seen, wishes, pure=False, workers=[second]).result()
    return time.perf_counter() - began


def _seen(wishes: np.ndarray) -> int:
    return wishes.size


def _told(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


CASES: dict[str, Callable[[Path], None]] = {"weak": weak, "overhead": overhead, "refinement": refinement}


def main() -> int:
    """Measure what is asked for."""
    folder, names = folder_and_cases(main.__doc__, CASES)
    for name in names:
        began = time.perf_counter()
        print(f"== {name}", flush=True)
        CASES[name](folder)
        print(f"   ({time.perf_counter() - began:.0f} s in all)", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
