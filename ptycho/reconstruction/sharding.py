"""A run in shards: cut in a way that only the scan decides, done anywhere, added up as a tree of fixed shape."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Protocol

from autobatch import NoProgress, Progress
from autobatch import Stage as ProgressStage
from ptycho.errors import DataError
from ptycho.reconstruction.checkpoint import Checkpointing, ShardStore
from ptycho.reconstruction.fingerprint import fingerprint_of
from ptycho.reconstruction.job import BatchObserver, InferenceJob
from ptycho.reconstruction.results import InferenceRun, ShardingRecord
from ptycho.reconstruction.shard_sums import ShardSums
from ptycho.reconstruction.tree import TreeSum

# Whether a shard was done now, was kept by an earlier run, or was done anew because what was kept is damaged.
Origin = Literal["done", "kept", "redone"]

logger = logging.getLogger(__name__)

# A shard is what a lost worker costs and what a checkpoint is written after; many of them cost canvases.
_DEFAULT_SHARDS = 64
_SMALLEST_DEFAULT = 1024


@dataclass(frozen=True)
class Shards:
    """How many patches there are, and how many make a shard.

    Attributes
    ----------
    n_patches : int
    size : int
        Patches of each shard but the last.
    """

    n_patches: int
    size: int

    @classmethod
    def of(cls, n_patches: int, size: int | None = None) -> Shards:
        """Return the cut of a run, of a size that depends on the number of patches alone if none is given.

        Parameters
        ----------
        n_patches : int
        size : int, optional

        Returns
        -------
        Shards
        """
        default = max(_SMALLEST_DEFAULT, -(-n_patches // _DEFAULT_SHARDS))
        return cls(n_patches, min(size or default, n_patches))

    def __len__(self) -> int:
        """Number of shards."""
        return -(-self.n_patches // self.size)

    def bounds(self, number: int) -> tuple[int, int]:
        """Return the first patch of a shard and the one behind its last.

        Parameters
        ----------
        number : int

        Returns
        -------
        start, stop : int
        """
        return number * self.size, min((number + 1) * self.size, self.n_patches)


@dataclass(frozen=True, eq=False, kw_only=True)
class ShardedWork:
    """A run that is cut, with everything that decides its bits.

    Attributes
    ----------
    job : InferenceJob
        Its predicted batch size is a number.
    shards : Shards
    store : ShardStore, optional
        Where finished shards are kept.
    """

    job: InferenceJob
    shards: Shards
    store: ShardStore | None


class ShardRunner(Protocol):
    """Does the shards of a run, wherever, and adds them up as the tree of `ptycho.reconstruction`."""

    def run(
        self, work: ShardedWork, *, observer: BatchObserver | None, progress: Progress, label: str
    ) -> tuple[ShardSums, ShardingRecord]:
        """Return the sums of all patches, and how they came about.

        Parameters
        ----------
        work : ShardedWork
        observer : callable, optional
            Called with every finished batch.
        progress : Progress
            Display that gets one stage called `label`, counting patches.
        label : str

        Returns
        -------
        ShardSums, ShardingRecord
        """
        ...


def reconstruct_in_shards(
    job: InferenceJob,
    *,
    runner: ShardRunner | None = None,
    checkpoint: Checkpointing | None = None,
    observer: BatchObserver | None = None,
    progress: Progress | None = None,
    label: str = "patches",
) -> InferenceRun:
    """Do all shards of a job and put them together.

    Parameters
    ----------
    job : InferenceJob
    runner : ShardRunner, optional
        By default each shard is done in this process, one after the other.
    checkpoint : Checkpointing, optional
    observer, progress, label
        As for `reconstruct`.

    Returns
    -------
    InferenceRun

    Raises
    ------
    DataError
        The checkpoint is of another run, or may not be touched.
    """
    began = time.perf_counter()
    work = prepared(job, checkpoint)
    runner = runner or InThisProcess()
    sums, record = runner.run(work, observer=observer, progress=progress or NoProgress(), label=label)
    run = work.job.finished(sums, sharding=record)
    # The shards' own seconds add up over workers; what a person has waited is another number.
    return replace(run, prediction=replace(run.prediction, seconds=time.perf_counter() - began))


def prepared(job: InferenceJob, checkpoint: Checkpointing | None) -> ShardedWork:
    """Fix what decides the bits of the image: the shards and the predicted batch size.

    Parameters
    ----------
    job : InferenceJob
    checkpoint : Checkpointing, optional
        One that goes on keeps the batch size that it began with.

    Returns
    -------
    ShardedWork

    Raises
    ------
    DataError
        The checkpoint is of another run, or may not be touched.
    """
    shards = Shards.of(len(job), job.settings.shard_size)
    size = job.plan().batches.batch_size
    store = None
    if checkpoint is not None:
        fingerprint = fingerprint_of(job, shard_size=shards.size)
        if fingerprint["model"]["weights"] is None:
            logger.warning(
                "%s is a function, so the checkpoint in %s cannot tell whether it stays the same; see to that",
                job.model.name,
                checkpoint.folder,
            )
        store = checkpoint.opened(fingerprint, predict_batch_size=size)
        size = store.predict_batch_size
    settings = replace(job.settings, predict_batch_size=size, max_predict_batch_size=None)
    return ShardedWork(job=replace(job, settings=settings), shards=shards, store=store)


class InThisProcess:
    """Does one shard after the other here."""

    def run(
        self, work: ShardedWork, *, observer: BatchObserver | None, progress: Progress, label: str
    ) -> tuple[ShardSums, ShardingRecord]:
        """Return the sums of all patches, and how they came about; see `ShardRunner`."""
        job, shards = work.job, work.shards
        job.warm_up()
        tree = TreeSum[ShardSums](len(shards), ShardSums.plus)
        origins: dict[int, Origin] = {}
        with progress.stage(label, len(job), "patches") as stage:
            for number in range(len(shards)):
                sums, origins[number] = shard_of(
                    work, number, observer=observer, progress=_Within(stage), label=label
                )
                if origins[number] == "kept":
                    stage.advance(sums.stop - sums.start)
                tree.put(number, sums)
        return tree.result(), record_of(work, origins)


def shard_of(
    work: ShardedWork,
    number: int,
    *,
    observer: BatchObserver | None = None,
    progress: Progress | None = None,
    label: str = "patches",
) -> tuple[ShardSums, Origin]:
    """Return a shard that is kept, or do it and keep it.

    Parameters
    ----------
    work : ShardedWork
    number : int
        Of the shard.
    observer, progress, label
        As for `reconstruct`.

    Returns
    -------
    sums : ShardSums
    origin : {"done", "kept", "redone"}
        Whether it was done now, an earlier run had done it, or what that left was damaged and it was done anew.
    """
    origin: Origin = "done"
    if work.store is not None:
        try:
            kept = work.store.read(number)
        except DataError as error:
            logger.warning("%s That shard is done anew.", error)
            kept, origin = None, "redone"
        if kept is not None:
            return kept, "kept"
    start, stop = work.shards.bounds(number)
    sums = work.job.sums(start, stop, observer=observer, progress=progress, label=label)
    if work.store is not None:
        work.store.write(number, sums)
    return sums, origin


def record_of(
    work: ShardedWork,
    origins: Mapping[int, Origin],
    *,
    begun_again: Collection[int] = (),
    workers: Sequence[str] = (),
) -> ShardingRecord:
    """Return the record of a run.

    Parameters
    ----------
    work : ShardedWork
    origins : mapping of int to {"done", "kept", "redone"}
        Of each shard.
    begun_again : collection of int
        Shards that were lost and done again.
    workers : sequence of str
        Addresses.

    Returns
    -------
    ShardingRecord
    """
    size = work.job.settings.predict_batch_size
    assert size != "auto"  # `prepared` has fixed it
    return ShardingRecord(
        n_shards=len(work.shards),
        shard_size=work.shards.size,
        predict_batch_size=size,
        resumed=tuple(sorted(number for number, origin in origins.items() if origin == "kept")),
        redone=tuple(
            sorted({number for number in origins if origins[number] == "redone"} | set(begun_again))
        ),
        workers=tuple(sorted(workers)),
    )


class _Within:
    """A display whose stages count on as one that is open already."""

    def __init__(self, stage: ProgressStage) -> None:
        self._stage = stage

    def stage(self, label: str, total: int | None, unit: str = "items") -> ProgressStage:
        return _Continued(self._stage)


class _Continued:
    """A stage of `_Within`; leaving it does not end the open one."""

    def __init__(self, stage: ProgressStage) -> None:
        self.advance, self.batch_size = stage.advance, stage.batch_size
        self.memory, self.note, self.part = stage.memory, stage.note, stage.part

    def __enter__(self) -> ProgressStage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...
