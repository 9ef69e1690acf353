"""Model × scan -> image: predict a batch, add it to the canvas, drop it.

No array of all patches ever exists, so memory is that of the frames, the canvas and one batch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from autobatch import BatchRun, Progress, keras_model_cost, run_in_batches
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.grouping import Groups, neighbour_groups
from ptycho.image.cropping import Rectangle
from ptycho.models.patch_model import PatchModel, collapse_reason
from ptycho.stitching import Canvas, add_in_batches

# Measured for both networks (docs/benchmarks.md): past this many frames a CPU gains nothing.
CPU_BATCH_LIMIT = 64


@dataclass(frozen=True, eq=False)
class ObjectImage:
    """An image of the object and where it lies.

    Attributes
    ----------
    image : (H, W) complex64
        The object, 0 where nothing was reconstructed.
    coverage : (H, W) float32
        How many patches lie on each pixel.
    origin_yx : (float, float), optional
        Pixel of the object's frame under ``image[0, 0]``; None if it is not known.
    """

    image: np.ndarray
    coverage: np.ndarray
    origin_yx: tuple[float, float] | None


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


def reconstruct(
    model: PatchModel,
    scan: ScanData,
    *,
    crop_size: int,
    predict_batch_size: int | str = "auto",
    stitch_batch_size: int | str = "auto",
    max_predict_batch_size: int | None = None,
    device: str | None = None,
    rng: np.random.Generator | None = None,
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
    device : str, optional
        "CPU" or "GPU:0"; by default TensorFlow's own choice.
    rng : numpy.random.Generator, optional
        Draws the neighbours of each group if the model's gridsize is above 1; seeded with 0 by default.

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
    check_fits(model, scan)
    groups = neighbour_groups(
        scan.positions_yx, gridsize=model.gridsize, rng=rng if rng is not None else np.random.default_rng(0)
    )
    window = object_window(groups.centres_yx, crop_size)
    canvas = Canvas(window.shape_yx, crop_size=crop_size, origin_yx=window.origin_yx)
    stream = _Stream(model, scan, groups, canvas, stitch_batch_size)
    prediction = run_in_batches(
        stream.predict,
        len(groups.indices),
        commit=stream.stitch,
        batch_size=predict_batch_size,
        cost=keras_model_cost(model.network),
        device=device,
        max_batch_size=max_predict_batch_size or _cpu_limit(device),
        progress=progress,
        label=label,
        unit="patches",
    )
    return stream.finished(prediction)


def check_fits(model: PatchModel, scan: ScanData) -> None:
    """Raise `DataError` if the frames of `scan` are not those that `model` takes."""
    if scan.patch_size != model.patch_size:
        raise DataError(
            f"the scan has frames of {scan.patch_size}x{scan.patch_size} pixels but the "
            f"{model.architecture.kind} was trained on {model.patch_size}x{model.patch_size}; "
            "use a model of the same size, or crop the frames."
        )
    if scan.n_frames < model.gridsize**2:
        raise DataError(
            f"the scan has {scan.n_frames} frames but the model takes groups of {model.gridsize**2}; "
            "choose a model of smaller gridsize."
        )


def object_window(centres_yx: np.ndarray, crop_size: int) -> Rectangle:
    """Return the pixels of the object under any central crop of patches at `centres_yx` (n, 2)."""
    low = np.floor(centres_yx.min(axis=0)).astype(int) - crop_size // 2
    high = np.floor(centres_yx.max(axis=0)).astype(int) - crop_size // 2 + crop_size + 1
    return Rectangle(int(low[0]), int(high[0]), int(low[1]), int(high[1]))


class _Stream:
    """The two steps of every batch: `predict` may be repeated, `stitch` happens once."""

    def __init__(
        self, model: PatchModel, scan: ScanData, groups: Groups, canvas: Canvas, stitch_batch_size: int | str
    ) -> None:
        self._model, self._scan, self._groups, self._canvas = model, scan, groups, canvas
        self._stitch_batch_size = stitch_batch_size
        self._factor = np.float32(scan.normalisation)
        self._first_stitching: BatchRun | None = None
        self._stitch_sizes: dict[int, None] = {}
        self._n_stitch_oom = self._size_in_use = 0
        self._predict_s = self._stitch_s = 0.0
        self._collapsed: str | None = None

    def predict(self, start: int, stop: int) -> np.ndarray:
        began = time.perf_counter()
        members = self._groups.indices[start:stop]
        frames = np.moveaxis(self._scan.amplitude[members], 1, -1) * self._factor
        patches = self._predict_padded(frames, -self._groups.relative_yx[start:stop])
        self._predict_s += time.perf_counter() - began
        return patches

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
        run = add_in_batches(
            self._canvas, patches, self._groups.centres_yx[start:stop], batch_size=self._stitch_batch_size
        )
        self._first_stitching = self._first_stitching or run
        self._stitch_sizes.update(dict.fromkeys(run.batch_sizes))
        self._n_stitch_oom += run.n_oom
        self._size_in_use = stop - start
        self._stitch_s += time.perf_counter() - began

    def finished(self, prediction: BatchRun) -> InferenceRun:
        canvas = self._canvas
        canvas.warn_of_rejected()
        origin_y, origin_x = canvas.origin_yx
        return InferenceRun(
            image=ObjectImage(canvas.image(), canvas.coverage(), (origin_y, origin_x)),
            prediction=prediction,
            stitching=self._first_stitching,
            stitch_batch_sizes=tuple(self._stitch_sizes),
            n_stitch_oom=self._n_stitch_oom,
            predict_s=self._predict_s,
            stitch_s=self._stitch_s,
            n_rejected=canvas.n_rejected,
            collapsed=self._collapsed,
        )


def _cpu_limit(device: str | None) -> int | None:
    import tensorflow as tf

    on_gpu = bool(tf.config.list_logical_devices("GPU")) if device is None else device.upper() != "CPU"
    return None if on_gpu else CPU_BATCH_LIMIT
