"""A model and a scan made ready: which patches there are, where they lie, and what any part of them comes to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from autobatch import BatchCost, BatchMemo, BatchRun, Progress, plan_batches, run_in_batches
from ptycho._io.read_ahead import ReadAhead
from ptycho._io.stored import as_range
from ptycho.data.grouping import Groups, neighbour_groups
from ptycho.data.sampling import subsample_indices
from ptycho.data.scan import ScanData
from ptycho.models.patch_model import collapse_reason
from ptycho.models.patch_parts import PatchLight, PatchNeeds, PatchParts
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction._canvases import (
    CanvasLayout,
    CanvasSet,
    PatchStitcher,
    finished_images,
    mean_centred_image,
    warm_up,
)
from ptycho.reconstruction._checks import check_crop_fits, check_fits
from ptycho.reconstruction.judging import PatchJudge, misfit_of
from ptycho.reconstruction.results import InferencePlan, InferenceRun, ShardingRecord, StitchingRecord
from ptycho.reconstruction.settings import InferenceSettings
from ptycho.reconstruction.shard_sums import ShardSums, StreamRecord

# Takes frames as the network saw them (B, N, N, C), where their patches lie (B, 2), and the patches (B, N, N).
BatchObserver = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
_REMEDY = "pass a smaller `predict_batch_size`, or `device='CPU'`"


@dataclass(frozen=True, eq=False, kw_only=True)
class InferenceJob:
    """Everything that a run needs, the same wherever a part of it is done.

    Attributes
    ----------
    model : PatchPredictor
    scan : ScanData
    settings : InferenceSettings
    groups : Groups
        The frames of each patch.
    layout : CanvasLayout
    normalisation : float
        Factor that makes the amplitudes of the scan normalised ones; all frames decide it.
    cost : BatchCost, optional
        What a batch of the network takes, where it can be told beforehand; a network's graph is made for it.
    """

    model: PatchPredictor
    scan: ScanData
    settings: InferenceSettings
    groups: Groups
    layout: CanvasLayout
    normalisation: float
    cost: BatchCost | None

    @classmethod
    def of(
        cls,
        model: PatchPredictor,
        scan: ScanData,
        settings: InferenceSettings,
        *,
        normalisation: float | None = None,
    ) -> InferenceJob:
        """Draw the groups and lay out the canvases.

        Parameters
        ----------
        model : PatchPredictor
        scan : ScanData
        settings : InferenceSettings
        normalisation : float, optional
            That of the scan, where it is known already: to find it every frame is read.

        Returns
        -------
        InferenceJob

        Raises
        ------
        DataError
            Frames, model and crop do not fit each other.
        """
        groups = _groups(model, scan, settings)
        job = cls(
            model=model,
            scan=scan,
            settings=settings,
            groups=groups,
            layout=CanvasLayout.of(groups.centres_yx, settings),
            normalisation=scan.normalisation if normalisation is None else normalisation,
            cost=model.batch_cost((scan.patch_size, scan.patch_size, model.gridsize**2)),
        )
        return job if job.cost is None else replace(job, cost=job.needs.added_to(job.cost, scan.patch_size))

    def __len__(self) -> int:
        """Number of patches."""
        return len(self.groups)

    def memo(self) -> BatchMemo | None:
        """Return the memo of batch sizes, if there is one; device and TensorFlow it names itself."""
        if self.settings.batch_memo is None or self.model.memory_key is None:
            return None
        key = f"{self.model.memory_key} M={self.settings.crop_size}"
        return BatchMemo(self.settings.batch_memo, key, items=[self.scan.amplitude])

    def plan(self) -> InferencePlan:
        """Return what all patches at once would take; predicts nothing."""
        batches = plan_batches(
            len(self),
            batch_size=self.settings.predict_batch_size,
            cost=self.cost,
            device=self.settings.device,
            max_batch_size=self.settings.max_predict_batch_size,
            memo=self.memo(),
        )
        return InferencePlan(
            batches=batches,
            n_patches=len(self),
            canvas_shape_yx=self.layout.window.shape_yx,
            canvas_bytes=self.layout.n_bytes,
        )

    def warm_up(self) -> None:
        """Load the compiled loops of the canvases, and of the verdict."""
        warm_up(self.layout)
        if self.judge_light is not None:
            PatchJudge(self.scan, self.judge_light).warm_up()

    def sums(
        self,
        start: int,
        stop: int,
        *,
        observer: BatchObserver | None = None,
        progress: Progress | None = None,
        label: str = "patches",
    ) -> ShardSums:
        """Predict and stitch some of the patches.

        Parameters
        ----------
        start, stop : int
            Numbers of the first patch and of the one behind the last.
        observer : callable, optional
            Called with frames, centres and patches of every finished batch, once and in order.
        progress : Progress, optional
            Display that gets one stage called `label`, counting patches.
        label : str
            What the model is called.

        Returns
        -------
        ShardSums

        Raises
        ------
        autobatch.DoesNotFitError
            Not even one item fits into memory.
        """
        with ReadAhead(self.read, stop) as frames:
            stitcher = PatchStitcher(CanvasSet(self.layout, start, stop), self.settings.stitch_batch_size)
            stream = _Stream(self, stitcher, frames, observer)
            prediction = run_in_batches(
                stream.predict,
                stop,
                commit=stream.stitch,
                batch_size=self.settings.predict_batch_size,
                cost=self.cost,
                device=self.settings.device,
                max_batch_size=self.settings.max_predict_batch_size,
                memo=self.memo(),
                start=start,
                is_oom=self.model.is_out_of_memory,
                progress=progress,
                label=label,
                unit="patches",
                remedy=_REMEDY,
            )
        return stream.sums(start, stop, prediction)

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the frames of some patches.

        Parameters
        ----------
        start, stop : int
            Numbers of the first patch and of the one behind the last.

        Returns
        -------
        entering : (B, N, N, C) float32
            As the network takes them.
        measured : (B, C, N, N) float32
            As they are in the scan.
        """
        members = self.groups.indices[start:stop]
        frames = self.scan.frames(as_range(members.ravel()))
        measured = frames.reshape(*members.shape, *frames.shape[1:])
        return self.entering(measured), measured

    def entering(self, measured: np.ndarray) -> np.ndarray:
        """Return frames (B, C, N, N) float32 of the scan as the network takes them, (B, N, N, C) float32."""
        return self.model.inputs_of(np.moveaxis(measured, 1, -1), self.normalisation)

    @cached_property
    def judge_light(self) -> PatchLight | None:
        """The light under which frames are recomputed from their patches; None if nobody wants to know."""
        # The patch of a group lies between its frames.
        if not self.settings.verdict or self.model.gridsize > 1:
            return None
        return PatchLight(self.scan.probe, self.model.trusted_crop_size or self.scan.patch_size)

    @cached_property
    def needs(self) -> PatchNeeds:
        """What has to leave the device of every patch."""
        # A card recomputes frames in no time; TensorFlow's transform on a CPU takes twice that of SciPy.
        on_card = self.model.computes_on_card and self.settings.device != "CPU"
        return PatchNeeds(self.settings.crop_size, self.judge_light if on_card else None, on_card)

    def finished(self, sums: ShardSums, *, sharding: ShardingRecord | None = None) -> InferenceRun:
        """Return the image that the sums of all patches make, and how it came about.

        Parameters
        ----------
        sums : ShardSums
            May be used up.
        sharding : ShardingRecord, optional
            How they were put together.

        Returns
        -------
        InferenceRun
        """
        began, record = time.perf_counter(), sums.record
        mean_centred = mean_centred_image(sums.canvases, self.layout)
        image, half_sets, n_rejected = finished_images(sums.canvases)
        return InferenceRun(
            image=image,
            half_sets=half_sets,
            mean_centred=mean_centred,
            prediction=record.prediction,
            predict_s=record.predict_s,
            stitching=StitchingRecord(
                first_batch=record.first_stitching,
                batch_sizes=record.stitch_sizes,
                n_oom=record.n_stitch_oom,
                n_rejected=n_rejected,
                seconds=record.stitch_s + time.perf_counter() - began,
            ),
            shares_frames=self.model.gridsize > 1,
            collapsed=record.collapsed,
            patch_misfit=None if sums.misfit is None else misfit_of(self.scan, sums.misfit),
            judge_s=record.judge_s,
            sharding=sharding,
        )


class _Stream:
    """The two steps of every batch: `predict` may be repeated, `stitch` happens once."""

    def __init__(
        self, job: InferenceJob, stitcher: PatchStitcher, frames: ReadAhead, observer: BatchObserver | None
    ) -> None:
        self._job, self._stitcher, self._ahead, self._observer = job, stitcher, frames, observer
        self._size_in_use = 0
        self._predict_s = self._stitch_s = self._judge_s = 0.0
        self._judge = None if job.judge_light is None else PatchJudge(job.scan, job.judge_light)
        self._collapsed: str | None = None

    def predict(self, start: int, stop: int) -> tuple[PatchParts, np.ndarray]:
        began = time.perf_counter()
        entering, measured = self._ahead.take(start, stop)
        offsets_yx = -self._job.groups.relative_yx[start:stop]
        parts = self._predict_padded(entering, offsets_yx, stop - start if self._needs_whole(start) else 0)
        self._predict_s += time.perf_counter() - began
        return parts, measured

    def _needs_whole(self, start: int) -> bool:
        """Return whether a batch is looked at beyond what is stitched of it."""
        recomputes_here = self._judge is not None and self._job.needs.light is None
        return start == 0 or recomputes_here or self._observer is not None

    def _predict_padded(self, frames: np.ndarray, offsets_yx: np.ndarray, n_whole: int) -> PatchParts:
        """Predict with zero frames added up to a size that has been seen, so that the same kernels run."""
        n_groups = len(frames)
        missing = max(0, min(1 << (n_groups - 1).bit_length(), self._size_in_use) - n_groups)
        if missing:
            frames = np.pad(frames, [(0, missing)] + [(0, 0)] * 3)
            offsets_yx = np.pad(offsets_yx, [(0, missing), (0, 0), (0, 0)])
        model, needs = self._job.model, self._job.needs
        return model.predict_parts(frames, offsets_yx, needs, n_whole=n_whole).first(n_groups)

    def stitch(self, start: int, stop: int, predicted: tuple[PatchParts, np.ndarray]) -> None:
        parts, measured = predicted
        began = time.perf_counter()
        if start == 0:
            self._collapsed = collapse_reason(parts.whole)
        self._stitcher.add(start, parts.crops)
        self._size_in_use = stop - start
        self._stitch_s += time.perf_counter() - began
        if self._judge is not None:
            began = time.perf_counter()
            self._judge.add(self._job.groups.indices[start:stop, 0], measured[:, 0], parts)
            self._judge_s += time.perf_counter() - began
        if self._observer is not None:
            entering = self._job.entering(measured)
            self._observer(entering, self._job.groups.centres_yx[start:stop], parts.whole)

    def sums(self, start: int, stop: int, prediction: BatchRun) -> ShardSums:
        began = time.perf_counter()
        canvases = self._stitcher.sums()
        self._stitch_s += time.perf_counter() - began
        return ShardSums(
            start=start,
            stop=stop,
            canvases=canvases,
            misfit=None if self._judge is None else self._judge.totals(),
            record=StreamRecord(
                prediction=prediction,
                first_stitching=self._stitcher.first_run,
                stitch_sizes=self._stitcher.sizes,
                n_stitch_oom=self._stitcher.n_oom,
                predict_s=self._predict_s,
                stitch_s=self._stitch_s,
                judge_s=self._judge_s,
                collapsed=self._collapsed,
            ),
        )


def _groups(model: PatchPredictor, scan: ScanData, settings: InferenceSettings) -> Groups:
    check_crop_fits(settings.crop_size, scan.patch_size)
    check_fits(model, scan)
    rng = np.random.default_rng(settings.seed)
    groups = neighbour_groups(scan.positions_yx, gridsize=model.gridsize, rng=rng)
    if settings.n_groups is not None and settings.n_groups != len(groups):
        groups = groups.select(subsample_indices(len(groups), settings.n_groups, seed=settings.seed))
    if settings.max_groups is not None and settings.max_groups < len(groups):
        groups = groups.select(np.arange(settings.max_groups))
    return groups
