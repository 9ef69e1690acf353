"""What is compared: an `Arm` is a trained model or a finished reconstruction."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autobatch import Progress
from ptycho._checks import fields
from ptycho._showing.one_line import OneLine
from ptycho.comparison.roles import ROLES
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.image.placed import PlacedImage
from ptycho.models.description import NetworkDescription
from ptycho.models.loading import ModelSource
from ptycho.models.networks import ModelKind
from ptycho.models.own_network import network_of_callable, network_of_keras
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction import (
    BatchObserver,
    BatchSize,
    Checkpointing,
    InferencePlan,
    InferenceRun,
    InferenceSettings,
    ShardRunner,
    check_fits,
    plan_inference,
    reconstruct,
)
from ptycho.refinement import Refine, RefinementRun, RefinementSettings

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

ArmKind = Literal["model", "reconstruction", "refined"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ArmImage(OneLine):
    """What an arm puts into the comparison.

    Attributes
    ----------
    image : PlacedImage
        On the object's pixel grid; with ``origin_yx=None`` it may lie anywhere.
    mean_centred : (S, S) complex64 or None
        The image as PtychoPINN places it; a finished one as it came.
    inference : InferenceRun or None
        How a model made it.
    refinement : RefinementRun or None
        How the frames improved it.
    seconds : dict of str to float
        Wall time: ``reconstruct``, and of a model ``predict`` and ``stitch``.
    probe : (N, N) complex64 or None
        The illumination that was reconstructed with the image; None if that of the scan belongs to it.
    """

    image: PlacedImage
    mean_centred: np.ndarray | None
    inference: InferenceRun | None = None
    refinement: RefinementRun | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    probe: np.ndarray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Arm(ABC):
    """One column of the comparison: a `ModelArm` to run, or a `FinishedArm`.

    Attributes
    ----------
    label : str
        Its name in every table, file and plot; what is no Unicode text in it, a lone surrogate, is kept escaped.
    role : {"pinn", "baseline"}, optional
        The classic arm that it is, which fixes how its files and arrays are called.
    """

    label: str
    role: ModelKind | None = None

    def __post_init__(self) -> None:
        """Check label and role."""
        fields.checked(self, label=fields.label(self.label, "label"))
        if self.role is not None:
            fields.choice(self.role, "role", tuple(ROLES))

    @staticmethod
    def from_callable(
        label: str,
        predict: Callable[[np.ndarray], Any],
        description: NetworkDescription | None = None,
        *,
        is_oom: Callable[[BaseException], bool] | None = None,
    ) -> ModelArm:
        """Return an arm of any function from frames to patches, such as a network of PyTorch's or JAX's.

        Parameters
        ----------
        label : str
        predict : callable
            Takes frames (B, N, N, C) float32 and returns patches (B, N, N) complex, or what `description` says. It is
            called again with fewer frames if memory runs out, and may be shown frames of zeros at the end of a batch.
        description : NetworkDescription, optional
            Default: complex patches of single frames, of any N, out of normalised amplitude.
        is_oom : callable, optional
            Says of an error of `predict` whether it means a want of memory; what NumPy, TensorFlow, JAX and PyTorch
            raise is known.

        Returns
        -------
        ModelArm
            Its first batches are measured where TensorFlow computes; elsewhere it begins with 32 frames.

        Raises
        ------
        TypeError
            `predict` cannot be called.
        """
        model = network_of_callable(predict, name=label, description=description, is_oom=is_oom)
        return ModelArm(label=label, model=model)

    @staticmethod
    def from_keras(label: str, model: keras.Model, description: NetworkDescription | None = None) -> ModelArm:
        """Return an arm of a Keras model that is in memory; `load_arm` opens a file.

        Parameters
        ----------
        label : str
        model : keras.Model
            Takes frames (B, N, N, C), (B, C, N, N) or (B, N, N) and gives complex patches, an image of two channels or
            two images.
        description : NetworkDescription, optional
            Default: what the names of its outputs say.

        Returns
        -------
        ModelArm

        Raises
        ------
        TypeError
            `model` is no Keras model that knows its inputs.
        DataError
            Nothing says what its outputs are, or what is said does not fit it.
        """
        return ModelArm(label=label, model=network_of_keras(model, name=label, description=description))

    @property
    @abstractmethod
    def kind(self) -> ArmKind:
        """How the run report tells the two apart."""

    @property
    def fills_canvases(self) -> bool:
        """Whether the image is stitched here, which takes memory."""
        return self.kind == "model"

    @property
    def is_finished(self) -> bool:
        """Whether the image came as it is, so that its place may be a little off."""
        return self.kind == "reconstruction"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the file of a model left open and how it was taken, a sentence each."""
        return ()

    @property
    def trained_model(self) -> PatchPredictor | None:
        """What predicts the patches; None for an image that came as it is."""
        return None

    def refinement_in(self, wanted: RefinementSettings | None) -> RefinementSettings | None:
        """Return how the image is to be improved by the frames: None, for an image that came as it is.

        Parameters
        ----------
        wanted : RefinementSettings or None
            Of the whole comparison; what an arm says itself goes before it.

        Returns
        -------
        RefinementSettings or None
        """
        return None

    @abstractmethod
    def check(self, scan: ScanData) -> None:
        """Raise `DataError` if this arm cannot be compared on `scan`; runs nothing.

        Parameters
        ----------
        scan : ScanData
            The scan to be compared on.

        Raises
        ------
        DataError
            Frames and model do not fit, or nothing says where a finished image lies.
        """

    @abstractmethod
    def plan(self, scan: ScanData, settings: InferenceSettings) -> InferencePlan | None:
        """Return what `make_image` would do; None if there is nothing to compute.

        Parameters
        ----------
        scan : ScanData
        settings : InferenceSettings
            Of the whole comparison; what an arm says itself goes before them.

        Returns
        -------
        InferencePlan or None

        Raises
        ------
        DataError
            The arm does not fit the scan.
        """

    @abstractmethod
    def make_image(self, scan: ScanData, settings: InferenceSettings, progress: Progress) -> ArmImage:
        """Return the image of `scan`, computed if need be.

        Parameters
        ----------
        scan : ScanData
        settings : InferenceSettings
            Of the whole comparison; what an arm says itself goes before them.
        progress : Progress
            Display that gets one stage of an arm that is computed.

        Returns
        -------
        ArmImage
            Image (H, W) complex64 on the object's pixel grid, and the seconds that it took.

        Raises
        ------
        DataError
            The arm does not fit the scan.
        autobatch.DoesNotFitError
            Not even one group of frames fits into memory.
        """


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelArm(Arm):
    """A trained model that is run on the scan.

    Attributes
    ----------
    model : PatchPredictor
    predict_batch_size, max_predict_batch_size, max_groups : optional
        In place of the fields of `InferenceSettings` of the same name, where they are given.
    refinement : RefinementSettings, optional
        In place of that of `ComparisonSettings`, where it is given.
    observer : callable, optional
        Called with what went into and came out of the model, batch by batch (`ptycho.report.patch_dump`).
    source : ModelSource, optional
        Where the model came from; workers of a cluster open it there.
    runner, checkpoint : optional
        As for `ptycho.reconstruction.reconstruct`.
    refine : callable, optional
        Improves its image, such as a `ptycho.distributed.ClusterRefiner`; by default `ptycho.refinement.refine`.

    Raises
    ------
    SettingsError
        A size is neither "auto" nor a whole number of at least 1.
    """

    model: PatchPredictor
    predict_batch_size: BatchSize | None = None
    max_predict_batch_size: int | None = None
    max_groups: int | None = None
    refinement: RefinementSettings | None = None
    observer: BatchObserver | None = None
    source: ModelSource | None = None
    runner: ShardRunner | None = None
    checkpoint: Checkpointing | None = None
    refine: Refine | None = None

    def __post_init__(self) -> None:
        """Check the sizes too."""
        super().__post_init__()
        if self.predict_batch_size is not None:
            fields.batch_size(self.predict_batch_size, "predict_batch_size")
        for name in ("max_predict_batch_size", "max_groups"):
            if getattr(self, name) is not None:
                fields.whole_number(getattr(self, name), name, at_least=1)

    @property
    def kind(self) -> ArmKind:
        """A model."""
        return "model"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the file of the model left open and how it was taken, a sentence each."""
        return self.model.assumptions

    @property
    def trained_model(self) -> PatchPredictor:
        """What predicts the patches."""
        return self.model

    def refinement_in(self, wanted: RefinementSettings | None) -> RefinementSettings | None:
        """Return how the image is to be improved by the frames, None if it is not."""
        return self.refinement or wanted

    def check(self, scan: ScanData) -> None:
        """Raise `DataError` if the frames of `scan` are not those that the model takes."""
        check_fits(self.model, scan)

    def plan(self, scan: ScanData, settings: InferenceSettings) -> InferencePlan:
        """Return what `make_image` would do; predicts nothing."""
        return plan_inference(self.model, scan, self._own(settings))

    def make_image(self, scan: ScanData, settings: InferenceSettings, progress: Progress) -> ArmImage:
        """Predict the patches of `scan` and stitch them."""
        run = reconstruct(
            self.model,
            scan,
            self._own(settings),
            observer=self.observer,
            progress=progress,
            label=self.label,
            runner=self.runner,
            checkpoint=self.checkpoint,
        )
        if run.collapsed is not None:
            logger.warning("%s has collapsed: %s; its figures mean nothing", self.label, run.collapsed)
        return ArmImage(
            image=run.image, mean_centred=run.mean_centred, inference=run, seconds=run.seconds_by_stage
        )

    def _own(self, settings: InferenceSettings) -> InferenceSettings:
        """Return the settings of the whole comparison with those of this arm in their place."""
        own = {
            name: getattr(self, name)
            for name in ("predict_batch_size", "max_predict_batch_size", "max_groups")
        }
        return replace(settings, **{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FinishedArm(OneLine, Arm):
    """An image that is finished.

    Attributes
    ----------
    image : PlacedImage
        One with ``origin_yx=None`` (it is not known where it lies) is registered over the whole range.
    seconds : float, optional
        How long it took, as its file says.
    probe : (N, N) complex64, optional
        The illumination that was reconstructed with it: object and probe explain the frames together.
    why_unplaced : str
        Why it is not known where the image lies, if it is not.
    """

    image: PlacedImage
    seconds: float | None = None
    probe: np.ndarray | None = None
    why_unplaced: str = "does not say where its image lies"

    @property
    def kind(self) -> ArmKind:
        """A finished reconstruction."""
        return "reconstruction"

    def check(self, scan: ScanData) -> None:
        """Raise `DataError` if nothing says where the image lies, nor has the scan a truth to register it to."""
        if self.image.origin_yx is None and scan.object_guess is None:
            raise DataError(
                f"{self.label} {self.why_unplaced}, and there is no objectGuess to register it to; "
                "leave it out, or give a reconstruction of these frames with their positions_yx."
            )

    def plan(self, scan: ScanData, settings: InferenceSettings) -> None:
        """Return None: nothing is left to compute."""

    def make_image(self, scan: ScanData, settings: InferenceSettings, progress: Progress) -> ArmImage:
        """Return the image as it came."""
        seconds = {} if self.seconds is None else {"reconstruct": self.seconds}
        return ArmImage(image=self.image, mean_centred=self.image.values, seconds=seconds, probe=self.probe)
