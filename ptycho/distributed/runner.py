"""`ClusterRunner`: the shards of a run as tasks of Dask's, added up as a tree on its workers."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autobatch import Progress
from ptycho._error_wording import reason_of
from ptycho.data import read_scan
from ptycho.data.scan import ScanData
from ptycho.distributed.checking import check_workers
from ptycho.distributed.cluster import RETRIES, told_if_lost
from ptycho.distributed.watching import Watch, seconds_between, watching
from ptycho.errors import DataError
from ptycho.models.loading import load_model
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction import Checkpointing, InferenceRun, InferenceSettings, ShardingRecord, reconstruct
from ptycho.reconstruction.fingerprint import fingerprint_of
from ptycho.reconstruction.job import BatchObserver
from ptycho.reconstruction.shard_sums import ShardSums
from ptycho.reconstruction.sharding import ShardedWork, record_of
from ptycho.reconstruction.tree import merges_of

if TYPE_CHECKING:
    from distributed import Client, Future

    from ptycho.distributed._worker import Branch

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class ClusterRunner:
    """Does the shards of a run on the workers of a Dask cluster.

    Attributes
    ----------
    client : distributed.Client
        Of a scheduler that is trusted, and trusts: its workers run what it sends.
    open_model, open_scan : callable
        Return the model and the scan on any worker, from storage that all share; such as
        ``functools.partial(ptycho.load_model, "/data/pinn")``.
    paths : tuple of str
        Files and folders that every worker has to see for it.
    device : str, optional
        What a worker calls the device that it computes on; by default that of the settings.
    """

    client: Client
    open_model: Callable[[], PatchPredictor]
    open_scan: Callable[[], ScanData]
    paths: tuple[str, ...] = ()
    device: str | None = None

    def run(
        self, work: ShardedWork, *, observer: BatchObserver | None, progress: Progress, label: str
    ) -> tuple[ShardSums, ShardingRecord]:
        """Return the sums of all patches, and how they came about, as `ptycho.reconstruction.ShardRunner` says.

        Parameters
        ----------
        work : ShardedWork
        observer : callable, optional
            Must be None: patches do not leave the workers.
        progress : Progress
            Display that gets one stage called `label`, counting patches.
        label : str

        Returns
        -------
        ShardSums, ShardingRecord

        Raises
        ------
        DataError
            A worker lacks something, patches are to be looked at, or a shard failed three times.
        """
        if observer is not None:
            raise DataError("patches on workers cannot be looked at; drop `observer`, or `runner`.")
        run = uuid.uuid4().hex
        self._make_ready(run, work, progress, label)
        with (
            progress.stage(label, len(work.job), "patches") as stage,
            watching(self.client, run, Watch(stage)) as watch,
            told_if_lost(self.client),
        ):
            total = self._submitted(run, work, stage.advance)
            # From the worker that has it: through the scheduler it would be held and sent twice.
            branch: Branch = self.client.gather(total, direct=True)  # pyright: ignore[reportAssignmentType]
        self.client.unregister_worker_plugin(name=run)
        record = record_of(
            work,
            branch.origins,
            begun_again=[number for number, times in watch.begun.items() if times > 1],
            workers=sorted(branch.workers),
        )
        if record.redone:
            logger.warning("shards %s were done again", ", ".join(map(str, record.redone)))
        return branch.sums, record

    def _make_ready(self, run: str, work: ShardedWork, progress: Progress, label: str) -> None:
        """Check every worker, and let it open model and scan."""
        from ptycho.distributed._worker import SentWork, ShardWorker, open_work

        began = time.perf_counter()
        folder = None if work.store is None else str(work.store.folder)
        addresses = check_workers(self.client, self.paths, folder)
        whole: Mapping[str, Any] = fingerprint_of(work.job, shard_size=work.shards.size)
        scan = {name: value for name, value in whole["scan"].items() if name != "normalisation"}
        sent = SentWork(
            open_model=self.open_model,
            open_scan=self.open_scan,
            settings=replace(work.job.settings, device=self.device or work.job.settings.device),
            normalisation=work.job.normalisation,
            shards=work.shards,
            store=work.store,
            expected={"model": whole["model"], "scan": scan},
            report_every_s=seconds_between(len(addresses)),
        )
        self.client.register_plugin(ShardWorker(run, sent), name=run)
        submit = partial(self.client.submit, pure=False, retries=RETRIES)
        opened = {address: submit(open_work, run, workers=[address]) for address in addresses}
        with progress.stage(f"{label}: start", len(addresses), "workers") as stage:
            for address, future in opened.items():
                error = self._error_of_opening(address, future)
                if isinstance(error, DataError):
                    raise error
                if error is not None:
                    raise DataError(
                        f"the worker {address} could not open model and scan ({reason_of(error)}); see its log."
                    ) from error
                stage.advance(1)
        logger.info(
            "%s ready after %.1f s; dashboard: %s%s",
            "1 worker is" if len(addresses) == 1 else f"{len(addresses):,} workers are",
            time.perf_counter() - began,
            self.client.dashboard_link,
            "" if find_spec("bokeh") else ", for which its scheduler needs the package bokeh",
        )

    def _error_of_opening(self, address: str, future: Future) -> Any:
        """Return why a worker could not open its inputs: None if it did, or died, for others then do its shards."""
        while not future.done():
            workers: Any = self.client.nthreads()
            if address not in workers:
                logger.warning("the worker %s was lost while it opened model and scan", address)
                future.cancel()
                return None
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return future.exception()

    def _submitted(self, run: str, work: ShardedWork, advance: Callable[[int], None]) -> Future:
        """Submit shards and sums, wait for the shards, and return the sum of all."""
        from distributed import as_completed

        from ptycho.distributed._worker import add_up, do_shard

        shards, client = work.shards, self.client
        submit = partial(client.submit, pure=False, retries=RETRIES)
        # Those in front have priority, so that neighbours finish together and sums can be dropped.
        nodes = {
            (0, number): submit(do_shard, run, number, priority=-number) for number in range(len(shards))
        }
        numbers = {nodes[0, number].key: number for number in range(len(shards))}
        waiting = as_completed([nodes[0, number] for number in range(len(shards))])
        root = (0, 0)
        for root, left, right in merges_of(len(shards)):
            nodes[root] = submit(add_up, nodes[left], nodes[right], priority=1)
        total = nodes[root]
        # A future that nobody holds lets the workers drop the sums once their parent has them.
        nodes.clear()
        try:
            for future in waiting:
                number = numbers[future.key]
                start, stop = shards.bounds(number)
                if future.status == "cancelled":
                    future.result()  # raises what cancelled it
                if future.status != "finished":
                    raise DataError(_failure(number, start, stop, future)) from future.exception()
                advance(stop - start)
        except BaseException:
            client.cancel([total])
            raise
        return total


def _failure(number: int, start: int, stop: int, future: Future) -> str:
    error: Any = future.exception()
    return (
        f"shard {number} (patches {start:,} to {stop - 1:,}) failed {RETRIES + 1} times: "
        f"{reason_of(error).rstrip('.')}; see the log of the workers."
    )


def reconstruct_files(
    model: str | os.PathLike[str],
    scan: str | os.PathLike[str],
    settings: InferenceSettings | None = None,
    *,
    client: Client,
    checkpoint: Checkpointing | None = None,
    progress: Progress | None = None,
) -> InferenceRun:
    """Reconstruct a scan on the workers of a Dask cluster, which see its file and the model's under the same path.

    Parameters
    ----------
    model, scan : path
        As for `ptycho.load_model` and `ptycho.read_scan`.
    settings : InferenceSettings, optional
    client : distributed.Client
        Such as `cluster_client` gives.
    checkpoint : Checkpointing, optional
        In a folder that every worker sees.
    progress : Progress, optional

    Returns
    -------
    InferenceRun
        With the same bits as one with this `shard_size` and batch size anywhere else on the same kind of device.

    Raises
    ------
    DataError
        Model and scan do not fit, a worker lacks something, or a shard failed three times.
    """
    places = [Path(place).resolve() for place in (model, scan)]
    runner = ClusterRunner(
        client=client,
        open_model=partial(load_model, places[0]),
        open_scan=partial(read_scan, places[1], labels=False),
        paths=tuple(map(str, places)),
    )
    return reconstruct(
        runner.open_model(),
        runner.open_scan(),
        settings,
        runner=runner,
        checkpoint=checkpoint
        if checkpoint is None
        else replace(checkpoint, folder=Path(checkpoint.folder).resolve()),
        progress=progress,
    )
