"""What runs on a worker: it opens model and scan once, does shards, and adds neighbours up.

Dask sends these functions by name; the package has to be installed where they run.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from distributed import Worker, WorkerPlugin, get_worker

from ptycho._io.believing import believing_files
from ptycho._io.manifest import differences, versions
from ptycho.data.fingerprint import scan_fingerprint
from ptycho.data.scan import ScanData
from ptycho.distributed._telling import Telling
from ptycho.distributed.watching import topic_of
from ptycho.errors import DataError
from ptycho.image.placed import PlacedImage
from ptycho.models.devices import computing_on, placed_on
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction.checkpoint import ShardStore
from ptycho.reconstruction.fingerprint import PACKAGES, model_fingerprint
from ptycho.reconstruction.job import InferenceJob
from ptycho.reconstruction.settings import InferenceSettings
from ptycho.reconstruction.shard_sums import ShardSums
from ptycho.reconstruction.sharding import Origin, ShardedWork, Shards, shard_of
from ptycho.refinement import RefinementRun, RefinementSettings, SweepCheckpointing, refine

logger = logging.getLogger(__name__)

# Dask pauses a worker at 80 % of its memory and ends it at 95 %; a canvas and its copies need some too.
_SHARE_FOR_BATCHES = 0.6


@dataclass(frozen=True, eq=False, kw_only=True)
class SentWork:
    """What a worker is told of a run: everything but the frames and the weights.

    Attributes
    ----------
    open_model, open_scan : callable
        Return the model and the scan from storage that the worker sees.
    settings : InferenceSettings
        Their predicted batch size is a number.
    normalisation : float
        Of the scan.
    shards : Shards
    store : ShardStore, optional
    expected : mapping
        Fingerprints of ``scan`` and ``model``.
    report_every_s : float
        How often a worker tells how far it is.
    """

    open_model: Callable[[], PatchPredictor]
    open_scan: Callable[[], ScanData]
    settings: InferenceSettings
    normalisation: float
    shards: Shards
    store: ShardStore | None
    expected: Mapping[str, Any]
    report_every_s: float = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Branch:
    """The sums of some neighbouring shards, and how these came about.

    Attributes
    ----------
    sums : ShardSums
    origins : mapping of int to Origin
    workers : frozenset of str
        Addresses.
    """

    sums: ShardSums
    origins: Mapping[int, Origin]
    workers: frozenset[str]

    def __sizeof__(self) -> int:
        """Bytes of the canvases, by which Dask decides where sums meet and when a worker has too many."""
        return self.sums.canvases.n_bytes


@dataclass(frozen=True, eq=False, kw_only=True)
class SentRefinement:
    """What a worker is told of a refinement: everything but the frames.

    Attributes
    ----------
    run : str
        Name of the run.
    image : PlacedImage, optional
        Where to begin.
    open_scan : callable
        Returns the scan from storage that the worker sees.
    settings : RefinementSettings
    expected : mapping
        Fingerprint of the ``scan``.
    checkpoint : SweepCheckpointing, optional
        Of which a worker that begins again goes on.
    report_every_s : float
        How often the worker tells how far it is.
    """

    run: str
    image: PlacedImage | None
    open_scan: Callable[[], ScanData]
    settings: RefinementSettings
    expected: Mapping[str, Any]
    checkpoint: SweepCheckpointing | None
    report_every_s: float = 1.0


class ShardWorker(WorkerPlugin):
    """Keeps the model and the scan of one run on a worker, opened when they are first needed.

    Parameters
    ----------
    run : str
        Name of the run, and of this plugin.
    sent : SentWork
    """

    # While TensorFlow starts, standard error is elsewhere: one worker of a process after the other.
    _starting: ClassVar = threading.Lock()

    def __init__(self, run: str, sent: SentWork) -> None:
        """Open nothing yet."""
        self.name, self._sent = run, sent

    def setup(self, worker: Worker) -> None:
        """Note the worker; Dask calls it on each, those that come later too."""
        self._worker, self._lock = worker, threading.Lock()
        self.telling = Telling(worker, topic_of(self.name), every_s=self._sent.report_every_s)

    def work(self) -> ShardedWork:
        """Return the run as this worker has opened it."""
        with self._lock:
            return self._opened

    @cached_property
    def _opened(self) -> ShardedWork:
        sent = self._sent
        with self._starting, computing_on(sent.settings.device):
            model = sent.open_model()
            # The client has read every frame, and whether these are the same the fingerprint tells by some of them.
            with believing_files():
                scan = sent.open_scan()
            here = {"model": model_fingerprint(model), "scan": scan_fingerprint(scan)}
            _refuse_others(self._worker, here, sent.expected)
            settings = replace(sent.settings, batch_memo=None)
            job = InferenceJob.of(model, scan, settings, normalisation=sent.normalisation)
            job = _within_memory(job, _memory_limit(self._worker))
            job.warm_up()
        return ShardedWork(job=job, shards=sent.shards, store=sent.store)


def _refuse_others(worker: Worker, here: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    found = [name for name, _, _ in differences(here, expected)]
    if found:
        raise DataError(
            f"the worker {worker.address} opened another {' or '.join(sorted(here))}, which differs in "
            f"{', '.join(found)}; let its paths lead to the same files."
        )


def _memory_limit(worker: Worker) -> int | None:
    """Return the bytes at which Dask ends this worker; None if it never does."""
    return worker.memory_manager.memory_limit


def _within_memory(job: InferenceJob, memory_limit: int | None) -> InferenceJob:
    """Return the job with fewer frames at once if this worker's memory asks for it."""
    fixed = job.settings.predict_batch_size
    assert fixed != "auto"  # `prepared` has fixed it
    auto = replace(job.settings, predict_batch_size="auto", max_predict_batch_size=fixed)
    plan = replace(job, settings=auto).plan().batches
    if job.cost is None or plan.memory is None:
        return job
    size = plan.batch_size
    if memory_limit is not None and plan.memory.is_host:
        import psutil

        free = _SHARE_FOR_BATCHES * memory_limit - psutil.Process().memory_info().rss
        size = min(size, int(max(free - job.cost.fixed_bytes, 0) // max(job.cost.bytes_per_item, 1)))
    size = max(1, size)
    if size >= fixed:
        return job
    logger.warning(
        "this worker has memory for %d frames at once, not %d; its patches may differ by rounding",
        size,
        fixed,
    )
    return replace(job, settings=replace(job.settings, predict_batch_size=size))


def open_work(run: str) -> str:
    """Open model and scan on this worker, and return its address."""
    worker = get_worker()
    plugin: Any = worker.plugins[run]
    plugin.work()
    return worker.address


def do_shard(run: str, number: int) -> Branch:
    """Do a shard, or read it from the checkpoint."""
    worker = get_worker()
    plugin: Any = worker.plugins[run]
    plugin.telling.begin(number)
    work = plugin.work()
    with placed_on(work.job.settings.device):
        sums, origin = shard_of(work, number, progress=plugin.telling)
    return Branch(sums=sums, origins={number: origin}, workers=frozenset({worker.address}))


def improve(sent: SentRefinement) -> RefinementRun:
    """Improve an image here, by the frames as this worker reads them."""
    worker, settings = get_worker(), sent.settings
    telling = Telling(worker, topic_of(sent.run), every_s=sent.report_every_s)
    telling.begin(0)
    with believing_files():
        scan = sent.open_scan()
    _refuse_others(worker, {"scan": scan_fingerprint(scan)}, sent.expected)
    # The CPU does without TensorFlow.
    with computing_on(settings.device) if settings.on_card else nullcontext():
        return refine(sent.image, scan, settings, progress=telling, checkpoint=sent.checkpoint)


def add_up(left: Branch, right: Branch) -> Branch:
    """Return the sum of two neighbours, in this order."""
    return Branch(
        sums=left.sums.plus(right.sums),
        origins={**left.origins, **right.origins},
        workers=left.workers | right.workers,
    )


def facts_of_worker(paths: Sequence[str], folder: str | None) -> dict[str, Any]:
    """Return what a worker has and lacks: versions, the paths it does not see, whether it may write to a folder."""
    return {
        "versions": versions(PACKAGES),
        "missing": [path for path in paths if not Path(path).exists()],
        "writes": folder is None or os.access(_existing(Path(folder)), os.W_OK | os.X_OK),
    }


def _existing(path: Path) -> Path:
    """Return the folder that is there, in which the one at `path` would be made."""
    return next(each for each in (path, *path.parents) if each.exists())
