"""Model × scan -> image: predict a batch, add it to the canvas, drop it.

No array of all patches ever exists, so memory is that of the canvas and one batch, and of frames that are no file's.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autobatch import (
    BatchMemo,
    BatchPlan,
    BatchRun,
    Progress,
    keras_model_cost,
    plan_batches,
    run_in_batches,
)
from ptycho._canvas_set import CanvasSet, HalfSets
from ptycho._canvas_set import ObjectImage as ObjectImage
from ptycho._canvas_set import object_window as object_window
from ptycho.data.reconstruction import Reconstruction
from ptycho.data.sampling import subsample_indices
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.grouping import Groups, neighbour_groups
from ptycho.models.patch_model import PatchModel, collapse_reason

logger = logging.getLogger(__name__)

BatchSize = int | Literal["auto"]
# Takes frames as the network saw them (B, N, N, C), where their patches lie (B, 2), and the patches (B, N, N).
BatchObserver = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
_REMEDY = "pass a smaller --pinn-predict-batch-size or --baseline-predict-batch-size, or --device cpu"


@dataclass(frozen=True, eq=False)
class InferenceRun:
    """A reconstruction by a model, and how its batches went.

    Attributes
    ----------
    image : ObjectImage
    prediction : BatchRun
        The batches of the network.
    stitching : BatchRun, optional
        The pieces in which the first batch entered the canvas; later batches go alike.
    stitch_batch_sizes : tuple of int
        Every number of patches that entered the canvas at once, in order of first use.
    n_stitch_oom : int
        Out-of-memory errors while stitching.
    predict_s, stitch_s : float
        Seconds in the network and on the canvas.
    n_rejected : int
        Patches left out because they were not finite.
    collapsed : str or None
        Why the first batch looks like that of a collapsed network.
    half_sets : HalfSets or None
        How well the patches agree; None unless `self_consistency` was asked for.
    mean_centred : (S, S) complex64 or None
        The image on the canvas of `reassemble_position`, centred on the mean position, whose pixels may lie
        between those of the object; None unless it was asked for.
    """

    image: ObjectImage
    prediction: BatchRun
    stitching: BatchRun | None
    stitch_batch_sizes: tuple[int, ...]
    n_stitch_oom: int
    predict_s: float
    stitch_s: float
    n_rejected: int
    collapsed: str | None
    half_sets: HalfSets | None = None
    mean_centred: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class InferencePlan:
    """What `reconstruct` would do and the memory it would take.

    Attributes
    ----------
    batches : BatchPlan
        Predicted groups per batch, and why.
    n_patches : int
        Patches to predict and to stitch.
    canvas_shape_yx : (int, int)
        Pixels.
    canvas_bytes : int
        Memory of the sums and weights, of half sets and other extra canvases too.
    """

    batches: BatchPlan
    n_patches: int
    canvas_shape_yx: tuple[int, int]
    canvas_bytes: int


def reconstruct(
    model: PatchModel,
    scan: ScanData,
    *,
    crop_size: int,
    predict_batch_size: BatchSize = "auto",
    stitch_batch_size: BatchSize = "auto",
    max_predict_batch_size: int | None = None,
    n_groups: int | None = None,
    max_groups: int | None = None,
    device: str | None = None,
    batch_memo: str | os.PathLike[str] | None = None,
    seed: int = 0,
    self_consistency: bool = False,
    mean_centred: bool = False,
    observer: BatchObserver | None = None,
    progress: Progress | None = None,
    label: str = "patches",
) -> InferenceRun:
    """Predict the patches of `scan` and stitch their central `crop_size` pixels.

    Parameters
    ----------
    model : PatchModel
    scan : ScanData
        In any unit; frames are normalised batch by batch.
    crop_size : int
        Side M of the central square of each patch that is stitched, 0 < M <= N.
    predict_batch_size, stitch_batch_size : "auto" or int
        Groups of frames predicted at once and patches entering the canvas at once. A number is the first
        size and the upper limit, halved when memory runs out; it never changes the image beyond rounding.
    max_predict_batch_size : int, optional
        Upper limit of a planned size.
    n_groups : int, optional
        Evaluate that many groups, drawn with `seed`; all by default.
    max_groups : int, optional
        Evaluate no more than the first so many of these.
    device : str, optional
        The device whose memory is planned with, "CPU" or "GPU:0"; by default TensorFlow's own choice.
    batch_memo : path, optional
        File that remembers predicted batch sizes from run to run, by network, crop and device.
    seed : int
        Draws the neighbours of each group if the model's gridsize is above 1.
    self_consistency : bool
        Keep even and odd patches apart, and how much patches disagree: `InferenceRun.half_sets`. The image
        is the sum of both halves, in double precision.
    mean_centred : bool
        Stitch every patch a second time, for `InferenceRun.mean_centred`.
    observer : callable, optional
        Called with frames, centres and patches of every finished batch, once and in order.
    progress : Progress, optional
        Display that gets one stage called `label`, counting patches.

    Returns
    -------
    InferenceRun
        Its canvas lies on the pixel grid of the object, so placing it beside a truth needs no resampling.

    Raises
    ------
    DataError
        If the frames do not fit the model.
    autobatch.DoesNotFitError
        If not even one item fits into memory.
    """
    if crop_size > model.trusted_crop_size:
        logger.warning(
            "%s: M = %d stitches pixels outside the central %d of each patch, which this model's training left "
            "about 1000 times too bright; pass --stitch-crop-size %d or less",
            label,
            crop_size,
            model.trusted_crop_size,
            model.trusted_crop_size,
        )
    groups = _groups(model, scan, n_groups, max_groups, seed)
    canvases = CanvasSet(
        groups.centres_yx, crop_size, self_consistency=self_consistency, mean_centred=mean_centred
    )
    canvases.warm_up()
    stream = _Stream(model, scan, groups, canvases, stitch_batch_size, observer)
    prediction = run_in_batches(
        stream.predict,
        len(groups),
        commit=stream.stitch,
        batch_size=predict_batch_size,
        cost=keras_model_cost(model.network),
        device=device,
        max_batch_size=max_predict_batch_size,
        memo=_memo(batch_memo, model, scan, crop_size),
        progress=progress,
        label=label,
        unit="patches",
        remedy=_REMEDY,
    )
    return stream.finished(prediction)


def as_reconstruction(run: InferenceRun, scan: ScanData, *, label: str) -> Reconstruction:
    """Return the image of `run` on `scan` as a finished reconstruction, ready for a file or for `compare`."""
    assert run.image.origin_yx is not None  # `reconstruct` always knows it
    return Reconstruction(
        label=label,
        object=run.image.image,
        probe=scan.probe,
        seconds=run.prediction.seconds,
        positions_yx=scan.positions_yx - run.image.origin_yx,
        coverage=run.image.coverage,
    )


def plan_inference(
    model: PatchModel,
    scan: ScanData,
    *,
    crop_size: int,
    predict_batch_size: BatchSize = "auto",
    max_predict_batch_size: int | None = None,
    n_groups: int | None = None,
    max_groups: int | None = None,
    device: str | None = None,
    batch_memo: str | os.PathLike[str] | None = None,
    seed: int = 0,
    self_consistency: bool = False,
    mean_centred: bool = False,
) -> InferencePlan:
    """Return what `reconstruct` would do with the same arguments; predicts nothing."""
    groups = _groups(model, scan, n_groups, max_groups, seed)
    canvases = CanvasSet(
        groups.centres_yx, crop_size, self_consistency=self_consistency, mean_centred=mean_centred
    )
    batches = plan_batches(
        len(groups),
        batch_size=predict_batch_size,
        cost=keras_model_cost(model.network),
        device=device,
        max_batch_size=max_predict_batch_size,
        memo=_memo(batch_memo, model, scan, crop_size),
    )
    return InferencePlan(
        batches=batches,
        n_patches=len(groups),
        canvas_shape_yx=canvases.shape_yx,
        canvas_bytes=canvases.n_bytes,
    )


def _memo(
    path: str | os.PathLike[str] | None, model: PatchModel, scan: ScanData, crop_size: int
) -> BatchMemo | None:
    """Name what a batch's memory depends on; device, precision by default and TensorFlow are the memo's own."""
    if path is None:
        return None
    precisions = sorted({layer.compute_dtype for layer in model.network.layers})
    key = f"{model.architecture} M={crop_size} {'+'.join(precisions)}"
    return BatchMemo(path, key, items=[scan.amplitude])


def _groups(
    model: PatchModel, scan: ScanData, n_groups: int | None, max_groups: int | None, seed: int
) -> Groups:
    check_fits(model, scan)
    rng = np.random.default_rng(seed)
    groups = neighbour_groups(scan.positions_yx, gridsize=model.gridsize, rng=rng)
    if n_groups is not None and n_groups != len(groups):
        groups = groups.select(subsample_indices(len(groups), n_groups, seed=seed))
    if max_groups is not None and max_groups < len(groups):
        groups = groups.select(np.arange(max_groups))
    return groups


def check_fits(model: PatchModel, scan: ScanData) -> None:
    """Raise `DataError` if the frames of `scan` are not those that `model` takes."""
    if scan.patch_size != model.patch_size:
        raise DataError(
            f"the scan has frames of {scan.patch_size}x{scan.patch_size} pixels but the "
            f"{model.architecture.kind} was trained on {model.patch_size}x{model.patch_size}; "
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
        model: PatchModel,
        scan: ScanData,
        groups: Groups,
        canvases: CanvasSet,
        stitch_batch_size: BatchSize,
        observer: BatchObserver | None,
    ) -> None:
        self._model, self._scan, self._groups, self._canvases = model, scan, groups, canvases
        self._stitch_batch_size: BatchSize = stitch_batch_size
        self._observer = observer
        self._factor = np.float32(scan.normalisation)
        self._first_stitching: BatchRun | None = None
        self._stitch_sizes: dict[int, None] = {}
        self._n_stitch_oom = self._size_in_use = 0
        self._predict_s = self._stitch_s = 0.0
        self._collapsed: str | None = None

    def predict(self, start: int, stop: int) -> np.ndarray:
        began = time.perf_counter()
        patches = self._predict_padded(self._frames(start, stop), -self._groups.relative_yx[start:stop])
        self._predict_s += time.perf_counter() - began
        return patches

    def _frames(self, start: int, stop: int) -> np.ndarray:
        members = self._groups.indices[start:stop]
        return np.moveaxis(self._scan.amplitude[members], 1, -1) * self._factor

    def _predict_padded(self, frames: np.ndarray, offsets_yx: np.ndarray) -> np.ndarray:
        """Predict with zero frames added up to a size that has been seen, so that nothing is traced anew."""
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
        for run in self._canvases.add(start, patches, batch_size=self._stitch_batch_size):
            self._first_stitching = self._first_stitching or run
            self._stitch_sizes.update(dict.fromkeys(run.batch_sizes))
            self._n_stitch_oom += run.n_oom
        self._size_in_use = stop - start
        self._stitch_s += time.perf_counter() - began
        if self._observer is not None:
            self._observer(self._frames(start, stop), self._groups.centres_yx[start:stop], patches)

    def finished(self, prediction: BatchRun) -> InferenceRun:
        began = time.perf_counter()
        stitched = self._canvases.finished()
        self._stitch_s += time.perf_counter() - began
        return InferenceRun(
            image=stitched.image,
            prediction=prediction,
            stitching=self._first_stitching,
            stitch_batch_sizes=tuple(self._stitch_sizes),
            n_stitch_oom=self._n_stitch_oom,
            predict_s=self._predict_s,
            stitch_s=self._stitch_s,
            n_rejected=stitched.n_rejected,
            collapsed=self._collapsed,
            half_sets=stitched.half_sets,
            mean_centred=stitched.mean_centred,
        )
