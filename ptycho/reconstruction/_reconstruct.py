"""Model × scan -> image: predict a batch, add it to the canvas, drop it.

No array of all patches ever exists, so memory is that of the canvas and one batch, and of frames that are no file's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np

from autobatch import (
    BatchMemo,
    BatchRun,
    Progress,
    plan_batches,
    run_in_batches,
)
from ptycho._io.mapped import refuse_truncated
from ptycho.data.grouping import Groups, neighbour_groups
from ptycho.data.sampling import subsample_indices
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.models.patch_model import collapse_reason
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction._canvases import CanvasLayout, CanvasSet
from ptycho.reconstruction.judging import PatchJudge
from ptycho.reconstruction.results import InferencePlan, InferenceRun, StitchingRecord
from ptycho.reconstruction.settings import InferenceSettings

logger = logging.getLogger(__name__)

# Takes frames as the network saw them (B, N, N, C), where their patches lie (B, 2), and the patches (B, N, N).
BatchObserver = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
_REMEDY = (
    "pass a smaller --predict-batch-size (in compare-models: --pinn-predict-batch-size or "
    "--baseline-predict-batch-size), or --device cpu"
)


def reconstruct(
    model: PatchPredictor,
    scan: ScanData,
    settings: InferenceSettings | None = None,
    *,
    observer: BatchObserver | None = None,
    progress: Progress | None = None,
    label: str = "patches",
) -> InferenceRun:
    """Predict the patches of `scan` and stitch their central squares into an image of the object.

    Parameters
    ----------
    model : PatchPredictor
        Such as `ptycho.models.load_model` returns.
    scan : ScanData
        In any unit; frames are normalised batch by batch.
    settings : InferenceSettings, optional
        Crop, batch sizes, device, seed; the defaults if left out.
    observer : callable, optional
        Called with frames, centres and patches of every finished batch, once and in order.
    progress : Progress, optional
        Display that gets one stage called `label`, counting patches.
    label : str
        What the model is called in the display and in the log.

    Returns
    -------
    InferenceRun
        Its canvas lies on the pixel grid of the object, so placing it beside a truth needs no resampling.

    Raises
    ------
    DataError
        If the frames do not fit the model or the crop is larger than a frame.
    autobatch.DoesNotFitError
        If not even one item fits into memory.
    """
    settings = settings or InferenceSettings()
    _warn_of_untrusted_pixels(model, settings.crop_size, label)
    groups = _groups(model, scan, settings)
    canvases = CanvasSet(CanvasLayout.of(groups.centres_yx, settings))
    canvases.warm_up()
    stream = _Stream(model, scan, groups, canvases, settings, observer)
    prediction = run_in_batches(
        stream.predict,
        len(groups),
        commit=stream.stitch,
        batch_size=settings.predict_batch_size,
        cost=model.batch_cost((scan.patch_size, scan.patch_size, model.gridsize**2)),
        device=settings.device,
        max_batch_size=settings.max_predict_batch_size,
        memo=_memo(model, scan, settings),
        progress=progress,
        label=label,
        unit="patches",
        is_oom=model.is_out_of_memory,
        remedy=_REMEDY,
    )
    return stream.finished(prediction)


def plan_inference(
    model: PatchPredictor, scan: ScanData, settings: InferenceSettings | None = None
) -> InferencePlan:
    """Return what `reconstruct` would do with the same arguments; predicts nothing.

    Parameters
    ----------
    model : PatchPredictor
        Such as `ptycho.models.load_model` returns.
    scan : ScanData
    settings : InferenceSettings, optional

    Returns
    -------
    InferencePlan

    Raises
    ------
    DataError
        If the frames do not fit the model or the crop is larger than a frame.
    """
    settings = settings or InferenceSettings()
    groups = _groups(model, scan, settings)
    layout = CanvasLayout.of(groups.centres_yx, settings)
    layout.check_memory()
    batches = plan_batches(
        len(groups),
        batch_size=settings.predict_batch_size,
        cost=model.batch_cost((scan.patch_size, scan.patch_size, model.gridsize**2)),
        device=settings.device,
        max_batch_size=settings.max_predict_batch_size,
        memo=_memo(model, scan, settings),
    )
    return InferencePlan(
        batches=batches,
        n_patches=len(groups),
        canvas_shape_yx=layout.window.shape_yx,
        canvas_bytes=layout.n_bytes,
    )


def _warn_of_untrusted_pixels(model: PatchPredictor, crop_size: int, label: str) -> None:
    trusted = model.trusted_crop_size
    if trusted is not None and crop_size > trusted:
        logger.warning(
            "%s: M = %d stitches pixels outside the central %d of each patch, which this model's training left "
            "%s; pass --stitch-crop-size %d or less",
            label,
            crop_size,
            trusted,
            "without meaning" if model.support_size is None else "about 1000 times too bright",
            trusted,
        )


def _memo(model: PatchPredictor, scan: ScanData, settings: InferenceSettings) -> BatchMemo | None:
    """Name what a batch's memory depends on; device, precision by default and TensorFlow are the memo's own."""
    if settings.batch_memo is None or model.memory_key is None:
        return None
    key = f"{model.memory_key} M={settings.crop_size}"
    return BatchMemo(settings.batch_memo, key, items=[scan.amplitude])


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


def check_crop_fits(crop_size: int, patch_size: int) -> None:
    """Refuse a crop that is larger than the frames.

    Parameters
    ----------
    crop_size : int
        Side M in pixels.
    patch_size : int
        Side N of the frames in pixels.

    Raises
    ------
    DataError
        M > N.
    """
    if crop_size > patch_size:
        raise DataError(
            f"stitch_crop_size is {crop_size} but must satisfy 0 < M <= N = {patch_size}; "
            "pass another --stitch-crop-size."
        )


def check_fits(model: PatchPredictor, scan: ScanData) -> None:
    """Refuse a scan whose frames are not those that a model takes.

    Parameters
    ----------
    model : PatchPredictor
        Such as `ptycho.models.load_model` returns.
    scan : ScanData

    Raises
    ------
    DataError
        Frames have another size, or there are too few of them to form a group.
    """
    if model.patch_size not in (None, scan.patch_size):
        raise DataError(
            f"the scan has frames of {scan.patch_size}x{scan.patch_size} pixels but the "
            f"{model.name} was trained on {model.patch_size}x{model.patch_size}; "
            "use a model of the same size, or crop the frames."
        )
    # A group is drawn from the neighbours of a scan point, itself left out.
    n_needed = 1 if model.gridsize == 1 else model.gridsize**2 + 1
    if scan.n_frames < n_needed:
        raise DataError(
            f"the scan has {scan.n_frames} frames but the model groups {model.gridsize**2} neighbours of each, "
            f"which needs at least {n_needed}; pass more frames or choose a model of smaller gridsize."
        )


class _Stream:
    """The two steps of every batch: `predict` may be repeated, `stitch` happens once."""

    def __init__(
        self,
        model: PatchPredictor,
        scan: ScanData,
        groups: Groups,
        canvases: CanvasSet,
        settings: InferenceSettings,
        observer: BatchObserver | None,
    ) -> None:
        self._model, self._scan, self._groups, self._canvases = model, scan, groups, canvases
        self._settings, self._observer = settings, observer
        self._normalisation = scan.normalisation
        self._first_stitching: BatchRun | None = None
        self._stitch_sizes: dict[int, None] = {}
        self._n_stitch_oom = self._size_in_use = 0
        self._predict_s = self._stitch_s = self._judge_s = 0.0
        # The patch of a group lies between its frames.
        judging = settings.verdict and model.gridsize == 1
        trusted_size = model.trusted_crop_size or scan.patch_size
        self._judge = PatchJudge(scan, trusted_size=trusted_size) if judging else None
        self._collapsed: str | None = None

    def predict(self, start: int, stop: int) -> np.ndarray:
        began = time.perf_counter()
        patches = self._predict_padded(self._frames(start, stop), -self._groups.relative_yx[start:stop])
        self._predict_s += time.perf_counter() - began
        return patches

    def _frames(self, start: int, stop: int) -> np.ndarray:
        members = self._groups.indices[start:stop]
        refuse_truncated(self._scan.amplitude)
        return self._model.inputs_of(np.moveaxis(self._scan.amplitude[members], 1, -1), self._normalisation)

    def _predict_padded(self, frames: np.ndarray, offsets_yx: np.ndarray) -> np.ndarray:
        """Predict with zero frames added up to a size that has been seen, so that the same kernels run."""
        n_groups = len(frames)
        missing = max(0, min(1 << (n_groups - 1).bit_length(), self._size_in_use) - n_groups)
        if missing:
            frames = np.pad(frames, [(0, missing)] + [(0, 0)] * 3)
            offsets_yx = np.pad(offsets_yx, [(0, missing), (0, 0), (0, 0)])
        return self._model.predict_batch(frames, offsets_yx)[:n_groups]

    def stitch(self, start: int, stop: int, patches: np.ndarray) -> None:
        began = time.perf_counter()
        if start == 0:
            self._collapsed = collapse_reason(patches)
        for run in self._canvases.add(start, patches, batch_size=self._settings.stitch_batch_size):
            if self._first_stitching is None:
                self._first_stitching = run
                logger.debug("stitching: batch size %s: %s", f"{run.plan.batch_size:,}", run.plan.reason)
            self._stitch_sizes.update(dict.fromkeys(run.batch_sizes))
            self._n_stitch_oom += run.n_oom
        self._size_in_use = stop - start
        self._stitch_s += time.perf_counter() - began
        if self._judge is not None:
            began = time.perf_counter()
            self._judge.add(self._groups.indices[start:stop, 0], patches)
            self._judge_s += time.perf_counter() - began
        if self._observer is not None:
            self._observer(self._frames(start, stop), self._groups.centres_yx[start:stop], patches)

    def finished(self, prediction: BatchRun) -> InferenceRun:
        began = time.perf_counter()
        image, half_sets, n_rejected = self._canvases.finish()
        mean_centred = self._canvases.mean_centred_image()
        self._stitch_s += time.perf_counter() - began
        return InferenceRun(
            image=image,
            half_sets=half_sets,
            mean_centred=mean_centred,
            prediction=prediction,
            predict_s=self._predict_s,
            stitching=StitchingRecord(
                first_batch=self._first_stitching,
                batch_sizes=tuple(self._stitch_sizes),
                n_oom=self._n_stitch_oom,
                n_rejected=n_rejected,
                seconds=self._stitch_s,
            ),
            shares_frames=self._model.gridsize > 1,
            collapsed=self._collapsed,
            patch_misfit=None if self._judge is None else self._judge.result(),
            judge_s=self._judge_s,
        )
