"""`PatchPredictor`: what inference asks of a model, whatever computes its patches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ptycho.errors import DataError
from ptycho.models.description import NetworkDescription
from ptycho.models.familiarity import FrameStatistics
from ptycho.models.networks import ModelKind
from ptycho.models.patch_parts import PatchNeeds, PatchParts

if TYPE_CHECKING:
    from autobatch import BatchCost

# Where no central square lies, PtychoPINN divides by this; elsewhere it is a rounding of the count.
SUPPORT_FLOOR = 1e-3


class PatchPredictor(ABC):
    """A model as inference sees it: diffraction frames in, object patches out.

    A child says what its network takes and gives and computes the images (`images_of`); how frames are scaled and
    how images become one patch a group is the same for all. One that computes in a graph may do the latter in it too
    (`predict_parts`).

    Attributes
    ----------
    description : NetworkDescription
        What the network takes and gives.
    name : str
        What messages call the model.
    probes : (K, N, N) complex64 or None
        Illuminations of the training scans, those that differ, where they are known.
    """

    description: NetworkDescription
    name: str
    probes: np.ndarray | None = None

    @abstractmethod
    def images_of(self, frames: np.ndarray) -> Sequence[np.ndarray]:
        """Return the images that the network makes of frames, one for each of ``description.outputs``.

        Parameters
        ----------
        frames : (B, N, N, C) float32
            As `inputs_of` gives them.

        Returns
        -------
        sequence of (B, N, N, C or 1) float32, or one complex64
            A patch for each frame or one for the group.
        """

    @property
    def kind(self) -> ModelKind | None:
        """Which of the two classic networks it is; None for one of the user's own."""
        return None

    @property
    def patch_size(self) -> int | None:
        """Side N of the frames that it takes, in pixels; None if any will do."""
        return self.description.patch_size

    @property
    def gridsize(self) -> int:
        """The network sees gridsize² frames at once."""
        return self.description.gridsize

    @property
    def trusted_crop_size(self) -> int | None:
        """Side in pixels of the largest central crop whose values mean the object; None if that is not known."""
        return self.description.trusted_crop_size or self.patch_size

    @property
    def support_size(self) -> int | None:
        """Side of the central square outside of which values are too large (`merge_patches`); None if there is none."""
        return None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What nobody said of the network and how it was taken, a sentence each."""
        return ()

    @property
    def memory_key(self) -> str | None:
        """Text that is the same for networks whose batches take the same memory; None where nothing can tell."""
        return None

    @property
    def training_frames(self) -> tuple[FrameStatistics, ...]:
        """Figures of the frames of each training scan; empty where its file says nothing of them."""
        return ()

    def weights_digest(self) -> str | None:
        """Return text that tells the weights of this network from all others.

        Returns
        -------
        str or None
            None where nothing can tell.
        """
        return None

    def batch_cost(self, frame_shape: tuple[int, int, int]) -> BatchCost | None:
        """Return an estimate of the memory that a batch takes, None to have the first batches measured.

        Parameters
        ----------
        frame_shape : (int, int, int)
            (N, N, C) of the frames to come.

        Returns
        -------
        BatchCost or None
        """
        return None

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether an error means a want of memory, beyond those that `autobatch` knows.

        Parameters
        ----------
        error : BaseException
            What computing a batch raised.

        Returns
        -------
        bool
        """
        return False

    def inputs_of(self, amplitude: np.ndarray, normalisation: float) -> np.ndarray:
        """Return what the network is given of diffraction amplitudes.

        Parameters
        ----------
        amplitude : (B, N, N, C) float32
            As in the scan, in its own unit.
        normalisation : float
            Factor that makes it normalised amplitude (`ScanData.normalisation`).

        Returns
        -------
        (B, N, N, C) float32
        """
        return self.description.scaled(amplitude, normalisation)

    @property
    def computes_on_card(self) -> bool:
        """Whether it pays to compute what follows the network beside it, in its graph, instead of on the host."""
        return False

    def predict_parts(
        self, frames: np.ndarray, offsets_yx: np.ndarray, needs: PatchNeeds, *, n_whole: int = 0
    ) -> PatchParts:
        """Return what is needed of the patches of a batch; where a graph computes them, the rest stays in it.

        Parameters
        ----------
        frames : (B, N, N, C) float32
            As for `predict_batch`.
        offsets_yx : (B, C, 2) float64
            As for `predict_batch`.
        needs : PatchNeeds
        n_whole : int
            Of so many patches, the first ones, all pixels are returned too.

        Returns
        -------
        PatchParts

        Raises
        ------
        DataError
            As `predict_batch`.
        """
        return PatchParts.of(self.predict_batch(frames, offsets_yx), needs, n_whole)

    def predict_batch(self, frames: np.ndarray, offsets_yx: np.ndarray | None = None) -> np.ndarray:
        """Return one object patch (B, N, N) complex64 for each group of frames.

        Parameters
        ----------
        frames : (B, N, N, C) float32
            As `inputs_of` gives them: for most networks normalised diffraction amplitude.
        offsets_yx : (B, C, 2) float64
            Position of each frame relative to the centre of its group, in pixels; only read if the network
            gives a patch for each of C > 1 frames: these are averaged on the N x N pixels about that centre.

        Returns
        -------
        (B, N, N) complex64
            Transmission of the object under the frame, or about the centre of the group.

        Raises
        ------
        DataError
            What the network gives is not a patch for each frame, or one for each group.
        """
        patches = joined(dict(zip(self.description.outputs, self.images_of(frames), strict=True)))
        if patches.shape[:-1] != frames.shape[:-1] or patches.shape[-1] not in (1, frames.shape[-1]):
            raise DataError(
                f"{self.name} made patches of shape {patches.shape} of frames of shape {frames.shape} but must make "
                f"them as large as the frames, one each or one a group; check its gridsize, and pad or crop its images."
            )
        if patches.shape[-1] == 1:
            alone = patches[..., 0]
            return (
                alone
                if self.support_size is None
                else alone * support_factor(patches.shape[1], self.support_size)
            )
        from ptycho.models.physics import merge_patches

        return merge_patches(patches, offsets_yx, patches.shape[1], support_size=self.support_size).numpy()


def joined(images: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the patches (B, N, N, C) complex64 that images, each called what it is, make together.

    ``complex`` is a patch already; ``amplitude`` and ``phase`` (radians) or ``real`` and ``imaginary`` make one.
    """
    if "complex" in images:
        return images["complex"].astype(np.complex64, copy=False)
    patches = np.empty(np.broadcast_shapes(*(image.shape for image in images.values())), np.complex64)
    if "phase" in images:
        np.multiply(images["amplitude"], np.cos(images["phase"]), out=patches.real)
        np.multiply(images["amplitude"], np.sin(images["phase"]), out=patches.imag)
    else:
        patches.real, patches.imag = images["real"], images["imaginary"]
    return patches


def support_factor(side: int, support_size: int) -> np.ndarray:
    """Return the factor (N, N) float32 of a patch of N = `side` pixels that is alone."""
    start = (side - support_size) // 2
    counts = np.zeros((side, side), np.float32)
    counts[start : side - start, start : side - start] = 1
    return 1 / (counts + np.float32(SUPPORT_FLOOR))
