"""`PatchModel`: a trained network as inference sees it, frames in and object patches out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autobatch import keras_model_cost
from ptycho._showing.one_line import OneLine
from ptycho.models.description import NetworkDescription
from ptycho.models.devices import sees_card
from ptycho.models.familiarity import FrameStatistics
from ptycho.models.networks import Architecture, ModelKind
from ptycho.models.patch_parts import PatchNeeds, PatchParts
from ptycho.models.predictor import PatchPredictor

if TYPE_CHECKING:
    import keras

    from autobatch import BatchCost
    from ptycho.models._parts_graph import PartsGraph

COLLAPSED_BELOW = 0.01
_OUTPUTS = {"polar": ("amplitude", "phase"), "rectangular": ("real", "imaginary")}


@dataclass(frozen=True, kw_only=True)
class ForeignArchitecture:
    """A network that another program made: its layers come from its file, not from these few figures.

    Attributes
    ----------
    kind : "pinn" or "baseline"
    patch_size : int
        Side N of a frame in pixels.
    gridsize : int
        The network sees C = gridsize² neighbouring frames at once.
    n_weights : int
        Trained numbers.
    """

    kind: ModelKind
    patch_size: int
    gridsize: int
    n_weights: int


@dataclass(frozen=True, eq=False, repr=False)
class PatchModel(OneLine, PatchPredictor):
    """A PINN or baseline, of this project or of PtychoPINN, with what is known of its training.

    Attributes
    ----------
    network : keras.Model
        Maps normalised amplitude (B, N, N, C) to an amplitude and a phase image for each frame (B, N, N, C), one
        of which all frames may share (B, N, N, 1), or to one pair for the group, both (B, N, N, 1).
    architecture : Architecture or ForeignArchitecture
        The former where `ptycho.models.networks` builds the network.
    probes : (K, N, N) complex64, optional
        The normalised illuminations of its training, those that differ, to be compared with that of a test scan.
    training : dict
        Seeds, losses and data of the training, for the record; no patch is computed from it.
    combine : {"polar", "rectangular"}
        How the two images become a patch: ``amplitude * exp(i * phase)``, or ``amplitude + i * phase`` as
        in bundles of PtychoPINN's until 2026.
    support_size : int, optional
        Side of the central square of a patch that the training counted; None if it counted all of it.
        PtychoPINN counts N/2: a sum of patches is divided by the number of such squares on a pixel plus
        0.001, so that around them a patch is multiplied by 1000.
    assumptions : tuple of str
        What its file left open and how it was taken, a sentence each.
    """

    network: keras.Model
    architecture: Architecture | ForeignArchitecture
    probes: np.ndarray | None = None
    training: dict[str, Any] = field(default_factory=dict)
    combine: Literal["polar", "rectangular"] = "polar"
    support_size: int | None = None
    assumptions: tuple[str, ...] = ()

    @cached_property
    def description(self) -> NetworkDescription:
        """What the network takes and gives."""
        return NetworkDescription(
            outputs=_OUTPUTS[self.combine],
            patch_size=self.architecture.patch_size,
            gridsize=self.architecture.gridsize,
            trusted_crop_size=self.support_size,
        )

    @property
    def kind(self) -> ModelKind:
        """Which of the two classic networks it is."""
        return self.architecture.kind

    @property
    def name(self) -> str:
        """What messages call the model: its kind."""
        return self.architecture.kind

    @property
    def patch_size(self) -> int:
        """Side N of frames and patches in pixels."""
        return self.architecture.patch_size

    @property
    def training_frames(self) -> tuple[FrameStatistics, ...]:
        """Figures of the frames of each training scan; empty where the record says nothing of them."""
        try:
            return tuple(FrameStatistics.from_dict(each["frames"]) for each in self.training["scans"])
        except (KeyError, TypeError, ValueError):
            # An older record, or one that somebody wrote: it is no reason to refuse the model.
            return ()

    @property
    def trusted_crop_size(self) -> int:
        """Side in pixels of the largest central crop whose values mean the object."""
        return self.support_size or self.patch_size

    @property
    def memory_key(self) -> str:
        """The architecture, and the precision that it computes in."""
        return f"{self.architecture} {precisions_of(self.network)}"

    def weights_digest(self) -> str:
        """Return the digest of all weights, in Keras's order.

        Returns
        -------
        str
            In hexadecimal.
        """
        return digest_of_weights(self.network)

    def batch_cost(self, frame_shape: tuple[int, int, int]) -> BatchCost:
        """Return what the tensors of the network's graph take, the one that predicts.

        Parameters
        ----------
        frame_shape : (int, int, int)
            (N, N, C); the network knows it.

        Returns
        -------
        BatchCost
        """
        return keras_model_cost(
            self._graph, inputs=np.empty((0, *self.network.inputs[0].shape[1:]), np.float32)
        )

    def images_of(self, frames: np.ndarray) -> list[np.ndarray]:
        """Return the two images of frames (B, N, N, C), each (B, N, N, 1 or C) float32.

        Parameters
        ----------
        frames : (B, N, N, C) float32
            Normalised diffraction amplitude.

        Returns
        -------
        list of (B, N, N, 1 or C) float32
        """
        import tensorflow as tf

        return [image.numpy() for image in self._graph(tf.convert_to_tensor(frames, tf.float32))]

    @property
    def computes_on_card(self) -> bool:
        """Whether TensorFlow computes on a card."""
        return sees_card()

    def predict_parts(
        self, frames: np.ndarray, offsets_yx: np.ndarray, needs: PatchNeeds, *, n_whole: int = 0
    ) -> PatchParts:
        """Return what is needed of the patches of a batch; all of it is computed in the network's graph.

        Parameters
        ----------
        frames, offsets_yx, needs, n_whole
            As for `PatchPredictor.predict_parts`.

        Returns
        -------
        PatchParts
        """
        import tensorflow as tf

        return self._parts_graph(frames, tf.float32, offsets_yx, needs, n_whole)

    @cached_property
    def _parts_graph(self) -> PartsGraph:
        from ptycho.models._parts_graph import PartsGraph

        return PartsGraph(self._graph, self.description.outputs, self.support_size, can_halve=True)

    @cached_property
    def _graph(self) -> Any:
        """The network as one graph for every size of a batch, traced once; Keras traces each size anew."""
        import tensorflow as tf

        frames = tf.TensorSpec(self.network.inputs[0].shape, tf.float32)  # (None, N, N, C)
        return tf.function(lambda batch: self.network(batch, training=False)).get_concrete_function(frames)


def precisions_of(network: keras.Model) -> str:
    """Return in which precisions the layers of `network` compute, as a text for `BatchMemo`'s keys."""
    return "+".join(sorted({layer.compute_dtype for layer in network.layers}))


def collapse_reason(patches: np.ndarray) -> str | None:
    """Say in words why patches look like those of a collapsed network.

    A collapsed network puts out nearly the same constant whatever it is shown; it happens without an error.
    Looks at the central half of each patch: spread within patches and between them, against the mean modulus.

    Parameters
    ----------
    patches : (B, N, N) complex64
        A batch of what the network put out.

    Returns
    -------
    str or None
        None for patches that look alive.
    """
    quarter = patches.shape[1] // 4
    centre = patches[:, quarter:-quarter, quarter:-quarter]
    modulus = float(np.abs(centre).mean())
    if not modulus > 0:
        return "its patches are zero everywhere"
    within = float(np.sqrt(centre.var(axis=(1, 2)).mean())) / modulus
    if within < COLLAPSED_BELOW:
        return f"its patches are nearly constant (spread {within:.2%} of their modulus)"
    between = float(np.sqrt(centre.var(axis=0).mean())) / modulus
    if len(patches) > 1 and between < COLLAPSED_BELOW:
        return f"it puts out the same patch for every frame (spread {between:.2%} of the modulus)"
    return None


def digest_of_weights(network: keras.Model) -> str:
    """Return the SHA-256 of all weights of a network, with their shapes and types.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    str
        In hexadecimal.
    """
    hasher = hashlib.sha256()
    for weights in network.get_weights():
        hasher.update(repr((weights.shape, weights.dtype.str)).encode())
        hasher.update(np.ascontiguousarray(weights).data)
    return hasher.hexdigest()
