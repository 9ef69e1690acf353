"""What a comparison is asked for and what it returns; `ptycho.comparison` is the door to these names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ptycho.arms import BatchSize
from ptycho.evaluation import FrcCurves, ImageMetrics, MetricConvention, SelfConsistency
from ptycho.image.cropping import Rectangle
from ptycho.image.phase import PhaseAlignMethod
from ptycho.image.registration import Registration
from ptycho.inference import InferenceRun

Registered = Literal["all", "finished", "none"]

# The exact placement is known from the positions: what registration finds beyond this is not a residual of
# a network, it is a mismatch.
MAX_RESIDUAL_PX = 8.0


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """What decides the images and the figures of a comparison.

    Attributes
    ----------
    crop_size : int
        Side M of the central square of each patch that is stitched, 0 < M <= N.
    stitch_batch_size : "auto" or int
        Patches that enter the canvas at once; changes memory, and the image by rounding at most.
    register : {"all", "finished", "none"}
        Which arms are registered to the truth: all, only finished reconstructions, or none.
    max_shift_px : float
        Registration finding a longer shift has failed and is not applied.
    phase_align : {"plane", "mean"}
        What is removed from the phase before it is scored.
    ms_ssim_sigma, frc_sigma : float
        Gaussian smoothing of the amplitudes before MS-SSIM, in pixels, and of the FRC curve, in rings.
    metric_convention : {"standard", "ptychopinn"}
        Textbook metrics of the registered image on covered pixels, or PtychoPINN's own placement and
        definitions (docs/metrics.md), for figures to be put beside its older tables.
    self_consistency : bool
        Also tell how well the patches agree with each other, which needs no truth. No patch is predicted or
        stitched twice for it, but the canvas takes six times its memory.
    n_groups : int, optional
        Groups of frames to evaluate, drawn with `seed`; all by default.
    device : str, optional
        "CPU" or "GPU:0"; by default TensorFlow's own choice.
    batch_memo : str, optional
        File that remembers predicted batch sizes from run to run; none by default.
    seed : int
        Draws `n_groups`, and the neighbours of each group for models of gridsize above 1.
    """

    crop_size: int = 20
    stitch_batch_size: BatchSize = "auto"
    register: Registered = "all"
    max_shift_px: float = MAX_RESIDUAL_PX
    phase_align: PhaseAlignMethod = "plane"
    ms_ssim_sigma: float = 1.0
    frc_sigma: float = 0.0
    metric_convention: MetricConvention = "standard"
    self_consistency: bool = True
    n_groups: int | None = None
    device: str | None = None
    batch_memo: str | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class ArmResult:
    """The image of one arm in the common window, and its figures.

    Attributes
    ----------
    label : str
    image : (h, w) complex64
        As reconstructed, on the object's pixel grid; 0 where not covered.
    covered : (h, w) bool
        Pixels that hold a reconstruction.
    coverage : (h, w) float32
        How many patches lie on each pixel.
    aligned : (h, w) complex64
        `image` after registration; the same if there was none.
    aligned_covered : (h, w) bool
    registration : Registration or None
        The residual shift that was found; None if none was sought.
    metrics : ImageMetrics or None
        None without a truth.
    consistency : SelfConsistency or None
        How well the patches agree, before registration; None for a finished reconstruction or if not wanted.
    mean_centred : (S, S) complex64 or None
        The image as PtychoPINN places it, centred on the mean position; only for its metric convention.
    run : InferenceRun or None
        How the batches went; None for a finished reconstruction.
    collapsed : str or None
        Why the output looks like that of a collapsed network.
    assumptions : tuple of str
        What the file of a model left open and how it was taken, a sentence each.
    place_known : bool
        False if neither positions nor a plausible registration say where the image lies: it stands in the middle
        of the window, is not scored by the standard convention and takes no pixel from the others.
    seconds : dict of str to float
        Wall time per stage: ``reconstruct`` (of which ``predict`` and ``stitch``), ``consistency``,
        ``register``, ``score``.
    """

    label: str
    image: np.ndarray
    covered: np.ndarray
    coverage: np.ndarray
    aligned: np.ndarray
    aligned_covered: np.ndarray
    registration: Registration | None = None
    metrics: ImageMetrics | None = None
    consistency: SelfConsistency | None = None
    mean_centred: np.ndarray | None = None
    run: InferenceRun | None = None
    collapsed: str | None = None
    assumptions: tuple[str, ...] = ()
    place_known: bool = True
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def registration_failed(self) -> bool:
        """Whether a registration was sought and found nothing plausible."""
        return self.registration is not None and not self.registration.plausible

    @property
    def half_set_frc(self) -> FrcCurves | None:
        """Correlation of even with odd patches, where it is known."""
        return None if self.consistency is None else self.consistency.half_set_frc


@dataclass(frozen=True)
class ArmFailure:
    """An arm that could not be finished, and why."""

    label: str
    reason: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ComparisonResult:
    """All arms in one frame.

    Attributes
    ----------
    arms : tuple of ArmResult
        In the order given, failed ones left out.
    failures : tuple of ArmFailure
    window : Rectangle
        The common frame, in pixels of the object.
    truth : (h, w) complex64, optional
        The ground truth in the window.
    scored : (h, w) bool
        Pixels covered by every arm whose place is known: all arms are scored on these.
    n_frames : int
    settings : ComparisonSettings
    """

    arms: tuple[ArmResult, ...]
    failures: tuple[ArmFailure, ...]
    window: Rectangle
    truth: np.ndarray | None
    scored: np.ndarray
    n_frames: int
    settings: ComparisonSettings
