"""`PatchModel`: a trained network as inference sees it, frames in and object patches out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.models.networks import Architecture

if TYPE_CHECKING:
    import keras

COLLAPSED_BELOW = 0.01


@dataclass(frozen=True, eq=False)
class PatchModel:
    """A trained network with what is known of its training.

    Attributes
    ----------
    network : keras.Model
        Maps normalised amplitude (B, N, N, C) to amplitude and phase images (B, N, N, C).
    architecture : Architecture
    probe : (N, N) complex64, optional
        The normalised illumination of its training, to be compared with that of a test scan.
    training : dict
        Seeds, losses and data of the training, for the record; nothing is computed from it.
    """

    network: keras.Model
    architecture: Architecture
    probe: np.ndarray | None = None
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def patch_size(self) -> int:
        """Side N of frames and patches in pixels."""
        return self.architecture.patch_size

    @property
    def gridsize(self) -> int:
        """The network sees gridsize² frames at once."""
        return self.architecture.gridsize

    def predict_batch(self, frames: np.ndarray, offsets_yx: np.ndarray | None = None) -> np.ndarray:
        """Return one object patch (B, N, N) complex64 for each group of frames.

        Parameters
        ----------
        frames : (B, N, N, C) float32
            Normalised diffraction amplitude.
        offsets_yx : (B, C, 2) float64
            Position of each frame relative to the centre of its group, in pixels; only read if C > 1, where
            the C predicted patches are averaged on the central N x N pixels about that centre.
        """
        amplitude, phase = self.network.predict_on_batch(frames)
        if self.gridsize == 1:
            return _polar(amplitude[..., 0], phase[..., 0])
        from ptycho.models.physics import merge_patches

        merged = merge_patches(_polar(amplitude, phase), offsets_yx, self.patch_size)
        return merged.numpy()


def _polar(amplitude: np.ndarray, phase: np.ndarray) -> np.ndarray:
    patches = np.empty(amplitude.shape, np.complex64)
    np.multiply(amplitude, np.cos(phase), out=patches.real)
    np.multiply(amplitude, np.sin(phase), out=patches.imag)
    return patches


def collapse_reason(patches: np.ndarray) -> str | None:
    """Return in words why `patches` (B, N, N) complex64 look like those of a collapsed network, else None.

    A collapsed network puts out nearly the same constant whatever it is shown; it happens without an error.
    Looks at the central half of each patch: spread within patches and between them, against the mean modulus.
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
