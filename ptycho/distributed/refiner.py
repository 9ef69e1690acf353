"""`ClusterRefiner`: a refinement on one worker of a Dask cluster, beside the frames.

A step adds up what the frames of a mini-batch want, and the next begins with the object that it leaves: split over
workers each step would wait for the network, which takes longer than the step does (docs/scaling.md).
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autobatch import NoProgress, Progress, Stage
from ptycho._error_wording import reason_of
from ptycho._io.manifest import MANIFEST
from ptycho.data import read_scan
from ptycho.data.fingerprint import scan_fingerprint
from ptycho.data.scan import ScanData
from ptycho.distributed.checking import check_workers
from ptycho.distributed.cluster import RETRIES, told_if_lost
from ptycho.distributed.watching import Watch, watching
from ptycho.errors import DataError
from ptycho.image.placed import PlacedImage
from ptycho.refinement import RefinementRun, RefinementSettings, SweepCheckpointing

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class ClusterRefiner:
    """Does what `ptycho.refinement.refine` does, on a worker of a Dask cluster, to the same bits.

    Attributes
    ----------
    client : distributed.Client
        Of a scheduler that is trusted, and trusts: its workers run what it sends.
    open_scan : callable
        Returns the scan on any worker, from storage that all share.
    paths : tuple of str
        Files that every worker has to see for it.
    """

    client: Client
    open_scan: Callable[[], ScanData]
    paths: tuple[str, ...] = ()

    def __call__(
        self,
        image: PlacedImage | None,
        scan: ScanData,
        settings: RefinementSettings | None = None,
        *,
        progress: Progress | None = None,
        label: str = "refinement",
        checkpoint: SweepCheckpointing | None = None,
    ) -> RefinementRun:
        """Improve an image of the object by the frames of `scan`.

        Parameters
        ----------
        image : PlacedImage or None
            Goes to the worker, by way of the scheduler.
        scan : ScanData
            Has to be what the worker opens; its frames stay where they are.
        settings, progress, label
            As for `ptycho.refinement.refine`.
        checkpoint : SweepCheckpointing, optional
            In a folder that every worker sees; one that goes on after another has died begins with its last sweep.

        Returns
        -------
        RefinementRun

        Raises
        ------
        SettingsError
            A flat object leaves no sweep for probe or positions.
        DataError
            A worker lacks something or opens another scan, or the refinement failed three times.
        """
        settings = settings or RefinementSettings()
        if image is None:
            settings.check_from_flat()
        if checkpoint is not None:
            checkpoint = _for_workers(checkpoint)
        check_workers(self.client, self.paths, None if checkpoint is None else str(checkpoint.folder))
        run, n_frames = uuid.uuid4().hex, settings.sweeps * scan.n_frames
        with (
            (progress or NoProgress()).stage(label, n_frames, "frames") as stage,
            watching(self.client, run, _Following(stage)),
            told_if_lost(self.client),
        ):
            return self._improved(run, image, scan, settings, checkpoint)

    def _improved(
        self,
        run: str,
        image: PlacedImage | None,
        scan: ScanData,
        settings: RefinementSettings,
        checkpoint: SweepCheckpointing | None,
    ) -> RefinementRun:
        import dask

        from ptycho.distributed._worker import SentRefinement, improve

        sent = SentRefinement(
            run=run,
            image=image,
            open_scan=self.open_scan,
            settings=settings,
            expected={"scan": scan_fingerprint(scan)},
            checkpoint=checkpoint,
        )
        # Part of the task, so that it is there again when the worker dies; scattered data would not be.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
            future = self.client.submit(improve, sent, pure=False, retries=RETRIES)
        try:
            error: Any = future.exception()
        except BaseException:
            future.cancel()
            raise
        if future.status == "cancelled":
            future.result()  # raises what cancelled it
        if error is not None:
            raise DataError(
                f"the refinement failed {RETRIES + 1} times on workers: {reason_of(error).rstrip('.')}; see their "
                "log, or refine without `scheduler`."
            ) from error
        return future.result()


def _for_workers(checkpoint: SweepCheckpointing) -> SweepCheckpointing:
    """Return the same for workers, of which a second one has to go on with what the first has begun."""
    checkpoint.refuse_unasked()
    folder = Path(checkpoint.folder).resolve()
    if checkpoint.resume and not (folder / MANIFEST).exists():
        logger.warning("%s holds nothing to go on with; the run begins afresh", folder)
    return SweepCheckpointing(folder, resume=True)


class _Following(Watch):
    """Counts on the stage itself too, and what is done again once."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._furthest = 0

    def _show(self, address: str, told: Mapping[str, Any]) -> None:
        super()._show(address, told)
        self._stage.advance(max(0, told["done"] - self._furthest))
        self._furthest = max(self._furthest, told["done"])


def refine_files(
    scan: str | os.PathLike[str],
    settings: RefinementSettings | None = None,
    *,
    client: Client,
    image: PlacedImage | None = None,
    progress: Progress | None = None,
    checkpoint: SweepCheckpointing | None = None,
) -> RefinementRun:
    """Improve an image by the frames of a file, on a worker of a Dask cluster that sees it under the same path.

    Parameters
    ----------
    scan : path
        As for `ptycho.read_scan`.
    settings : RefinementSettings, optional
    client : distributed.Client
        Such as `cluster_client` gives.
    image : PlacedImage, optional
        Where to begin; a flat object by default.
    progress : Progress, optional
    checkpoint : SweepCheckpointing, optional
        In a folder that every worker sees.

    Returns
    -------
    RefinementRun
        With the same bits as `ptycho.refinement.refine` makes here, on the same kind of device.

    Raises
    ------
    DataError
        A worker lacks something, or the refinement failed three times.
    """
    place = Path(scan).resolve()
    refine = ClusterRefiner(
        client=client, open_scan=partial(read_scan, place, labels=False), paths=(str(place),)
    )
    return refine(image, refine.open_scan(), settings, progress=progress, checkpoint=checkpoint)
