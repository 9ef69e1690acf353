"""Model × scan -> image: predict a batch, add it to the canvas, drop it.

No array of all patches ever exists, so memory is that of the canvas and one batch, and of frames that are no file's.
"""

from __future__ import annotations

import logging

from autobatch import Progress
from ptycho.data.scan import ScanData
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction.checkpoint import Checkpointing
from ptycho.reconstruction.job import BatchObserver, InferenceJob
from ptycho.reconstruction.results import InferencePlan, InferenceRun
from ptycho.reconstruction.settings import InferenceSettings
from ptycho.reconstruction.sharding import ShardRunner, reconstruct_in_shards

logger = logging.getLogger(__name__)


def reconstruct(
    model: PatchPredictor,
    scan: ScanData,
    settings: InferenceSettings | None = None,
    *,
    observer: BatchObserver | None = None,
    progress: Progress | None = None,
    label: str = "patches",
    runner: ShardRunner | None = None,
    checkpoint: Checkpointing | None = None,
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
    runner : ShardRunner, optional
        Where the shards are done, such as `ptycho.distributed.ClusterRunner`; by default here, one after the other.
    checkpoint : Checkpointing, optional
        Where each finished shard is kept, so that a run that was killed goes on. A run with a runner or a
        checkpoint is cut into shards, if need be of a size chosen for it (`InferenceSettings.shard_size`).

    Returns
    -------
    InferenceRun
        Its canvas lies on the pixel grid of the object, so placing it beside a truth needs no resampling.

    Raises
    ------
    DataError
        If the frames do not fit the model or the crop is larger than a frame, or a checkpoint is of another run.
    autobatch.DoesNotFitError
        If not even one item fits into memory.
    """
    settings = settings or InferenceSettings()
    _warn_of_untrusted_pixels(model, settings.crop_size, label)
    job = InferenceJob.of(model, scan, settings)
    job.layout.check_memory()
    if settings.shard_size is not None or runner is not None or checkpoint is not None:
        return reconstruct_in_shards(
            job, runner=runner, checkpoint=checkpoint, observer=observer, progress=progress, label=label
        )
    job.warm_up()
    return job.finished(job.sums(0, len(job), observer=observer, progress=progress, label=label))


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
    job = InferenceJob.of(model, scan, settings, normalisation=1.0)
    job.layout.check_memory()
    return job.plan()


def _warn_of_untrusted_pixels(model: PatchPredictor, crop_size: int, label: str) -> None:
    trusted = model.trusted_crop_size
    if trusted is not None and crop_size > trusted:
        logger.warning(
            "%s: M = %d stitches pixels outside the central %d of each patch, which this model's training left "
            "%s; pass `crop_size=%d` or less",
            label,
            crop_size,
            trusted,
            "without meaning" if model.support_size is None else "about 1000 times too bright",
            trusted,
        )
