"""`InferenceSettings`: everything that decides how a model's patches become an image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from ptycho._checks import fields

BatchSize = int | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class InferenceSettings:
    """How `reconstruct` makes an image; every field is checked when the settings are made.

    Attributes
    ----------
    crop_size : int
        Side M of the central square of each patch that is stitched, 0 < M <= N.
    predict_batch_size : "auto" or int
        Groups of frames that the network predicts at once. A number is the first size and the upper limit,
        halved when memory runs out; it never changes the image beyond rounding.
    max_predict_batch_size : int, optional
        Upper limit of a planned size.
    stitch_batch_size : "auto" or int
        Patches that enter the canvas at once; changes memory, never the image.
    n_groups : int, optional
        Groups of frames to evaluate, drawn with `seed`; all by default.
    max_groups : int, optional
        Evaluate no more than the first so many of these.
    device : str, optional
        The device whose memory is planned with, "CPU" or "GPU:0"; by default TensorFlow's own choice.
    batch_memo : path, optional
        File that remembers predicted batch sizes from run to run, by network, frames, precision, crop, device and
        TensorFlow's version.
    seed : int
        Draws `n_groups`, the neighbours of each group for models of gridsize above 1, and half sets.
    self_consistency : bool
        Keep four groups of patches apart, and how much patches disagree: `InferenceRun.half_sets`. No patch is
        predicted or stitched twice for it, but the canvas takes ten times its memory.
    verdict : bool
        Recompute each frame from its own patch and compare the two: `InferenceRun.patch_misfit`.
    shard_size : int, optional
        Groups of frames whose sums are made on their own and then added up, as a tree of fixed shape: the image has
        the same bits wherever and in whatever order the shards are done. None is one shard, or, on a cluster and
        with a checkpoint, a size that depends on the number of groups alone.
    mean_centred : bool
        Stitch every patch a second time, onto the canvas of `reassemble_position`: `InferenceRun.mean_centred`.

    Raises
    ------
    SettingsError
        A field is of another type or out of its range.
    """

    crop_size: int = 20
    predict_batch_size: BatchSize = "auto"
    max_predict_batch_size: int | None = None
    stitch_batch_size: BatchSize = "auto"
    n_groups: int | None = None
    max_groups: int | None = None
    device: str | None = None
    batch_memo: str | os.PathLike[str] | None = None
    seed: int = 0
    self_consistency: bool = False
    verdict: bool = False
    shard_size: int | None = None
    mean_centred: bool = False

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            crop_size=fields.whole_number(self.crop_size, "crop_size", at_least=1),
            predict_batch_size=fields.batch_size(self.predict_batch_size, "predict_batch_size"),
            stitch_batch_size=fields.batch_size(self.stitch_batch_size, "stitch_batch_size"),
            device=fields.device(self.device, "device"),
            batch_memo=fields.path(self.batch_memo, "batch_memo"),
            seed=fields.seed(self.seed, "seed"),
            self_consistency=fields.flag(self.self_consistency, "self_consistency"),
            verdict=fields.flag(self.verdict, "verdict"),
            mean_centred=fields.flag(self.mean_centred, "mean_centred"),
            **{
                name: fields.whole_number(value, name, at_least=1)
                for name in ("max_predict_batch_size", "n_groups", "max_groups", "shard_size")
                if (value := getattr(self, name)) is not None
            },
        )
