"""What a reconstruction by a model returns, and what it would take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autobatch import BatchPlan, BatchRun
from ptycho._showing.one_line import OneLine
from ptycho.data.reconstruction import Reconstruction
from ptycho.data.scan import ScanData
from ptycho.evaluation import Misfit
from ptycho.image.cropping import Rectangle
from ptycho.image.placed import PlacedImage
from ptycho.reconstruction._half_sets import SPLITS


@dataclass(frozen=True, eq=False, repr=False)
class HalfSets(OneLine):
    """What one pass over the patches tells of their agreement, on the pixels of the whole image.

    Attributes
    ----------
    groups : tuple of 4 PlacedImage
        Each stitched from a quarter of the patches: of any four that lie together, one by lot.
    overlap_variance : (H, W) float32
        Variance of the complex value over the patches on a pixel; NaN where no more than one lies.
    """

    groups: tuple[PlacedImage, ...]
    overlap_variance: np.ndarray

    def splits(self, window: Rectangle) -> Iterator[tuple[PlacedImage, PlacedImage]]:
        """Give the three pairs of halves that the groups can be put together to.

        Parameters
        ----------
        window : Rectangle
            The pixels of the object that are wanted.

        Yields
        ------
        first, second : PlacedImage
            Two images in the window, each patch in one of them.
        """
        groups = [group.in_window(window) for group in self.groups]
        for first, second in SPLITS:
            yield _mean_of([groups[i] for i in first]), _mean_of([groups[i] for i in second])


def _mean_of(groups: Sequence[PlacedImage]) -> PlacedImage:
    """Return the image that the patches of all `groups` make: the mean of theirs, weighted by coverage."""
    depth = np.zeros(groups[0].shape_yx, np.float32)
    total = np.zeros(groups[0].shape_yx, np.complex64)
    for group in groups:
        assert group.coverage is not None  # it was stitched
        depth += group.coverage
        total += group.values * group.coverage
    values = np.divide(total, depth, out=total, where=depth > 0)
    return PlacedImage.of_coverage(values, depth, groups[0].origin_yx)


@dataclass(frozen=True, kw_only=True)
class StitchingRecord:
    """How the patches entered the canvases.

    Attributes
    ----------
    first_batch : BatchRun, optional
        The pieces in which the first predicted batch entered the canvas; later batches go alike.
    batch_sizes : tuple of int
        Every number of patches that entered at once, in order of first use.
    n_oom : int
        Out-of-memory errors met.
    n_rejected : int
        Patches left out because they were not finite.
    seconds : float
        Time on the canvases.
    """

    first_batch: BatchRun | None
    batch_sizes: tuple[int, ...]
    n_oom: int
    n_rejected: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ShardingRecord:
    """How the shards of a run were put together.

    Attributes
    ----------
    n_shards : int
        Their number.
    shard_size : int
        Patches of each but the last.
    predict_batch_size : int
        Frames predicted at once, fixed for the run.
    resumed : tuple of int
        Shards that an earlier run had finished.
    redone : tuple of int
        Shards that were begun more than once: a worker was lost, or what a checkpoint held was damaged.
    workers : tuple of str
        Addresses of the workers that did shards; empty for a run in this process.
    """

    n_shards: int
    shard_size: int
    predict_batch_size: int
    resumed: tuple[int, ...] = ()
    redone: tuple[int, ...] = ()
    workers: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class InferenceRun(OneLine):
    """A reconstruction by a model, and how its batches went.

    Attributes
    ----------
    image : PlacedImage
        On the pixel grid of the object, so placing it beside a truth needs no resampling.
    half_sets : HalfSets or None
        How well the patches agree; None unless `self_consistency` was asked for.
    mean_centred : (S, S) complex64 or None
        The image on the canvas of `reassemble_position`, centred on the mean position, whose pixels may lie
        between those of the object; None unless it was asked for.
    prediction : BatchRun
        The batches of the network.
    predict_s : float
        Seconds in the network.
    stitching : StitchingRecord
        How the patches entered the canvases.
    shares_frames : bool
        Whether patches share frames, as they do for groups of more than one; their agreement then flatters.
    collapsed : str or None
        Why the first batch looks like that of a collapsed network.
    patch_misfit : Misfit or None
        How well frames recomputed from their own patches explain the measured ones; None unless a `verdict` was
        asked for, and for groups, whose patches are not those of frames.
    judge_s : float
        Seconds that this took.
    sharding : ShardingRecord or None
        How the shards were put together; None for a run in one piece.
    """

    image: PlacedImage
    half_sets: HalfSets | None = None
    mean_centred: np.ndarray | None = None
    prediction: BatchRun
    predict_s: float
    stitching: StitchingRecord
    shares_frames: bool = False
    collapsed: str | None = None
    patch_misfit: Misfit | None = None
    judge_s: float = 0.0
    sharding: ShardingRecord | None = None

    @property
    def seconds_by_stage(self) -> dict[str, float]:
        """Seconds in the network and on the canvases, added up over workers, and of the whole run by the clock."""
        return {
            "predict": self.predict_s,
            "stitch": self.stitching.seconds,
            "reconstruct": self.prediction.seconds,
        }

    def as_reconstruction(self, scan: ScanData, *, label: str) -> Reconstruction:
        """Return the image of `scan` as a finished reconstruction, ready for a file or for `compare`.

        Parameters
        ----------
        scan : ScanData
            The scan that was reconstructed.
        label : str
            Name of the model.

        Returns
        -------
        Reconstruction
            With positions in the pixel frame of its image.
        """
        assert self.image.origin_yx is not None  # `reconstruct` always knows it
        return Reconstruction(
            label=label,
            object=self.image.values,
            probe=scan.probe,
            seconds=self.prediction.seconds,
            positions_yx=scan.positions_yx - self.image.origin_yx,
            coverage=self.image.coverage,
        )


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
