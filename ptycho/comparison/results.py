"""What a comparison returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from ptycho._checks import fields
from ptycho._showing.one_line import OneLine
from ptycho.comparison.arms import ArmKind
from ptycho.comparison.settings import ComparisonSettings
from ptycho.data.reconstruction import Reconstruction
from ptycho.data.scan import ScanData
from ptycho.evaluation import FrcCurves, ImageMetrics, SelfConsistency, Verdict
from ptycho.image.cropping import Rectangle
from ptycho.image.placed import PlacedImage
from ptycho.image.registration import Registration
from ptycho.models.familiarity import Familiarity
from ptycho.models.networks import ModelKind
from ptycho.reconstruction import InferenceRun
from ptycho.refinement import RefinementRun

FailureKind = Literal["failed", "stopped", "not_scored", "unreliable"]


@dataclass(frozen=True)
class Failure:
    """Something that could not be finished: an arm, or a part of the output.

    Attributes
    ----------
    what : str
        The label of the arm, or what it is, such as "the plots".
    reason : str
        Why, in words.
    kind : {"failed", "stopped", "not_scored", "unreliable"}
        An error; Ctrl-C before it was finished; Ctrl-C between its image and its figures; an input that changed
        while it was used, so that all results may be wrong.
    """

    what: str
    reason: str
    kind: FailureKind = "failed"

    def __post_init__(self) -> None:
        """Refuse another kind: exit codes follow from it."""
        fields.choice(self.kind, "kind", get_args(FailureKind))

    @classmethod
    def stopped(cls, what: str) -> Failure:
        """Return that of something that Ctrl-C kept from being finished.

        Parameters
        ----------
        what : str
            The label of the arm, or what it is.

        Returns
        -------
        Failure
            Of kind "stopped".
        """
        return cls(what, "stopped by Ctrl-C", "stopped")

    @classmethod
    def not_scored(cls, what: str) -> Failure:
        """Return that of an arm that Ctrl-C kept from being scored.

        Parameters
        ----------
        what : str
            The label of the arm.

        Returns
        -------
        Failure
            Of kind "not_scored".
        """
        return cls(what, "not scored: stopped by Ctrl-C", "not_scored")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ArmResult(OneLine):
    """The image of one arm in the common window, and its figures.

    Attributes
    ----------
    label : str
    role : {"pinn", "baseline"} or None
        As in `Arm`.
    kind : {"model", "reconstruction", "refined"}
        A model that was run, an image that was finished, or a model's image that the frames have improved.
    image : PlacedImage
        As reconstructed, on the object's pixel grid, in the window.
    aligned : PlacedImage
        `image` after registration; the same if there was none.
    registration : Registration or None
        The residual shift that was found; None if none was sought.
    metrics : ImageMetrics or None
        None without a truth, where nothing says where the image lies, and for an arm that could not be scored.
    consistency : SelfConsistency or None
        How well the patches agree, before registration; None for a finished reconstruction or if not wanted.
    verdict : Verdict or None
        How well image and patches explain the measured frames; None if not wanted.
    mean_centred : (S, S) complex64 or None
        The image as PtychoPINN places it, centred on the mean position; only for its metric convention.
    inference : InferenceRun or None
        How a model's batches went.
    familiarity : Familiarity or None
        How like the scan is to what the model was trained on; None for an image that came as it is, and a refined one.
    refinement : RefinementRun or None
        How the frames improved an image; None for one as it was made.
    assumptions : tuple of str
        What the file of a model left open and how it was taken, a sentence each.
    place_known : bool
        False if neither positions nor a plausible registration say where the image lies: it stands in the middle
        of the window, is not scored by the standard convention and takes no pixel from the others.
    seconds : dict of str to float
        Wall time per stage: ``reconstruct`` (of which ``predict`` and ``stitch``), ``consistency``,
        ``register``, ``score``, ``verdict`` (the patches' part within ``reconstruct``).
    """

    label: str
    role: ModelKind | None = None
    kind: ArmKind
    image: PlacedImage
    aligned: PlacedImage
    registration: Registration | None = None
    metrics: ImageMetrics | None = None
    consistency: SelfConsistency | None = None
    verdict: Verdict | None = None
    mean_centred: np.ndarray | None = None
    inference: InferenceRun | None = None
    familiarity: Familiarity | None = None
    refinement: RefinementRun | None = None
    assumptions: tuple[str, ...] = ()
    place_known: bool = True
    seconds: dict[str, float] = field(default_factory=dict)

    def as_reconstruction(self, scan: ScanData) -> Reconstruction | None:
        """Return the image, whole and as it was made or refined, as a finished reconstruction.

        Parameters
        ----------
        scan : ScanData
            The scan that was compared on.

        Returns
        -------
        Reconstruction or None
            None for an image that came finished.
        """
        if self.refinement is not None:
            return self.refinement.as_reconstruction(label=self.label)
        return None if self.inference is None else self.inference.as_reconstruction(scan, label=self.label)

    @property
    def registration_failed(self) -> bool:
        """Whether a registration was sought and found nothing plausible."""
        return self.registration is not None and not self.registration.plausible

    @property
    def half_set_frc(self) -> FrcCurves | None:
        """Correlation of halves of the patches, where it is known."""
        return None if self.consistency is None else self.consistency.half_set_frc

    @property
    def probe_overlap(self) -> float | None:
        """How far the scan's probe is one that the model was trained with, 1 for the same; None if none is known."""
        return None if self.familiarity is None else self.familiarity.probe_overlap

    @property
    def collapsed(self) -> str | None:
        """Why the output looks like that of a collapsed network."""
        return None if self.inference is None else self.inference.collapsed

    @property
    def n_rejected(self) -> int:
        """Patches left out because they were not finite."""
        return 0 if self.inference is None else self.inference.stitching.n_rejected


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ComparisonResult:
    """All arms in one frame.

    Attributes
    ----------
    arms : tuple of ArmResult
        In the order given, without those that have no image. One that could not be scored is here and in `failures`.
    failures : tuple of Failure
    window : Rectangle
        The common frame, in pixels of the object.
    truth : (h, w) complex64, optional
        The ground truth in the window.
    scored : (h, w) bool
        Pixels covered by every arm whose place is known and that registration has not refused: all arms are scored
        on these, a refused one on those of them that it covers.
    n_frames : int
    settings : ComparisonSettings
    object_pixel_m : float, optional
        Side of a pixel of the object in metres, where the scan's geometry is known.
    """

    arms: tuple[ArmResult, ...]
    failures: tuple[Failure, ...]
    window: Rectangle
    truth: np.ndarray | None
    scored: np.ndarray
    n_frames: int
    settings: ComparisonSettings
    object_pixel_m: float | None = None

    def __repr__(self) -> str:
        """Return arms and figures in one line."""
        from ptycho.comparison._showing import in_one_line

        return in_one_line(self)

    def _repr_html_(self) -> str:
        """Return a row an arm with pictures, for notebooks."""
        from ptycho.comparison._showing import as_html

        return as_html(self)
