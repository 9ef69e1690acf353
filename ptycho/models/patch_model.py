"""`PatchModel`: a trained network as inference sees it, frames in and object patches out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ptycho.models.networks import Architecture, ModelKind

if TYPE_CHECKING:
    import keras

COLLAPSED_BELOW = 0.01
# Where no central square lies, PtychoPINN divides by this; elsewhere it is a rounding of the count.
SUPPORT_FLOOR = 1e-3


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


@dataclass(frozen=True, eq=False)
class PatchModel:
    """A trained network with what is known of its training.

    Attributes
    ----------
    network : keras.Model
        Maps normalised amplitude (B, N, N, C) to an amplitude and a phase image for each frame (B, N, N, C), one
        of which all frames may share (B, N, N, 1), or to one pair for the group, both (B, N, N, 1).
    architecture : Architecture or ForeignArchitecture
        The former where `ptycho.models.networks` builds the network.
    probe : (N, N) complex64, optional
        The normalised illumination of its training, to be compared with that of a test scan.
    training : dict
        Seeds, losses and data of the training, for the record; nothing is computed from it.
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
    probe: np.ndarray | None = None
    training: dict[str, Any] = field(default_factory=dict)
    combine: Literal["polar", "rectangular"] = "polar"
    support_size: int | None = None
    assumptions: tuple[str, ...] = ()

    @property
    def patch_size(self) -> int:
        """Side N of frames and patches in pixels."""
        return self.architecture.patch_size

    @property
    def gridsize(self) -> int:
        """The network sees gridsize² frames at once."""
        return self.architecture.gridsize

    @property
    def trusted_crop_size(self) -> int:
        """Side in pixels of the largest central crop whose values mean the object."""
        return self.support_size or self.patch_size

    def predict_batch(self, frames: np.ndarray, offsets_yx: np.ndarray | None = None) -> np.ndarray:
        """Return one object patch (B, N, N) complex64 for each group of frames.

        Parameters
        ----------
        frames : (B, N, N, C) float32
            Normalised diffraction amplitude.
        offsets_yx : (B, C, 2) float64
            Position of each frame relative to the centre of its group, in pixels; only read if the network
            gives a patch for each of C > 1 frames: these are averaged on the N x N pixels about that centre.

        Returns
        -------
        (B, N, N) complex64
            Transmission of the object under the frame, or about the centre of the group.
        """
        join = _polar if self.combine == "polar" else _rectangular
        patches = join(*self._predict(frames))
        if patches.shape[-1] == 1:
            alone = patches[..., 0]
            return alone if self.support_size is None else alone * self._support_factor()
        from ptycho.models.physics import merge_patches

        return merge_patches(patches, offsets_yx, self.patch_size, support_size=self.support_size).numpy()

    def _predict(self, frames: np.ndarray) -> list[np.ndarray]:
        """Return the two images of frames (B, N, N, C), each (B, N, N, 1 or C) float32."""
        import tensorflow as tf

        return [image.numpy() for image in self._graph(tf.convert_to_tensor(frames, tf.float32))]

    @cached_property
    def _graph(self) -> Any:
        """The network as one graph for every size of a batch, traced once; Keras traces each size anew."""
        import tensorflow as tf

        frames = tf.TensorSpec(self.network.inputs[0].shape, tf.float32)  # (None, N, N, C)
        return tf.function(lambda batch: self.network(batch, training=False)).get_concrete_function(frames)

    def _support_factor(self) -> np.ndarray:
        """Return the factor (N, N) float32 of a patch that is alone."""
        side = self.patch_size
        start = (side - self.trusted_crop_size) // 2
        counts = np.zeros((side, side), np.float32)
        counts[start : side - start, start : side - start] = 1
        return 1 / (counts + np.float32(SUPPORT_FLOOR))


def _polar(amplitude: np.ndarray, phase: np.ndarray) -> np.ndarray:
    patches = np.empty(np.broadcast_shapes(amplitude.shape, phase.shape), np.complex64)
    np.multiply(amplitude, np.cos(phase), out=patches.real)
    np.multiply(amplitude, np.sin(phase), out=patches.imag)
    return patches


def _rectangular(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    patches = np.empty(np.broadcast_shapes(real.shape, imaginary.shape), np.complex64)
    patches.real, patches.imag = real, imaginary
    return patches


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
