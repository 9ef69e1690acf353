"""What a run needs of the patches of a batch: no more than that leaves the device on which they are computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autobatch import BatchCost
from ptycho.diffraction import far_field_intensity

# Their intermediate arrays stay in a processor's cache.
_FRAMES_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class PatchLight:
    """The light under which frames are recomputed from patches.

    Attributes
    ----------
    probe : (N, N) complex64
        Illumination, in the units of the frames.
    trusted_size : int
        Side in pixels of the central square in which patches mean the object; around it they count as constant.
    """

    probe: np.ndarray
    trusted_size: int

    @property
    def trusted(self) -> slice:
        """Rows, and columns, of the trusted square."""
        border = (len(self.probe) - self.trusted_size) // 2
        return slice(border, len(self.probe) - border)

    @property
    def weights(self) -> np.ndarray:
        """What each pixel of that square counts in the mean that stands around it, float32; they add up to 1."""
        energy = np.abs(self.probe[self.trusted, self.trusted]) ** 2
        return (energy / max(float(energy.sum()), np.finfo(float).tiny)).astype(np.float32)

    def frames_of(self, patches: np.ndarray) -> np.ndarray:
        """Return the amplitudes that patches diffract to.

        Parameters
        ----------
        patches : (b, N, N) complex64

        Returns
        -------
        (b, N, N) float32
            DC term at pixel (N/2, N/2).
        """
        frames = np.empty(patches.shape, np.float32)
        for start in range(0, len(patches), _FRAMES_AT_ONCE):
            batch = slice(start, start + _FRAMES_AT_ONCE)
            np.sqrt(far_field_intensity(self._filled(patches[batch]) * self.probe), out=frames[batch])
        return frames

    def _filled(self, patches: np.ndarray) -> np.ndarray:
        """Return patches whose pixels outside the trusted square have the mean of those within, as lit by the probe."""
        inside = patches[:, self.trusted, self.trusted]
        if inside.shape == patches.shape:
            return patches
        means = np.einsum("bij,ij->b", inside, self.weights)
        filled = np.broadcast_to(means[:, None, None], patches.shape).astype(np.complex64)
        filled[:, self.trusted, self.trusted] = inside
        return filled


@dataclass(frozen=True)
class PatchNeeds:
    """What a run needs of every patch; equal if the light is the same object.

    Attributes
    ----------
    crop_size : int
        Side M of the central square that is stitched.
    light : PatchLight, optional
        Recompute the frame of each patch under it.
    on_card : bool
        The network computes on a card.
    """

    crop_size: int
    light: PatchLight | None = None
    on_card: bool = False

    def added_to(self, cost: BatchCost, patch_size: int) -> BatchCost:
        """Return what a batch of the network costs together with what follows it on its device.

        Parameters
        ----------
        cost : BatchCost
            Of the network alone.
        patch_size : int
            Side N in pixels.

        Returns
        -------
        BatchCost
        """
        if self.light is None:
            # The central squares are small beside a network's own images.
            return cost
        # Patch, exit wave and far field are complex64, the frame is float32.
        return replace(cost, bytes_per_item=cost.bytes_per_item + (3 * 8 + 4) * patch_size**2)

    def central(self, patch_size: int) -> slice:
        """Return the rows, and columns, that are stitched of a patch of `patch_size` pixels."""
        first = patch_size // 2 - self.crop_size // 2
        return slice(first, first + self.crop_size)


@dataclass(frozen=True, eq=False)
class PatchParts:
    """What `PatchNeeds` asks for of the patches of a batch.

    Attributes
    ----------
    crops : (B, M, M) complex64
        The central squares.
    whole : (b, N, N) complex64
        The first patches whole, as many as were asked for.
    frames : (B, N, N) float32, optional
        Recomputed amplitudes, if there is a light for them.
    """

    crops: np.ndarray
    whole: np.ndarray
    frames: np.ndarray | None

    @classmethod
    def of(cls, patches: np.ndarray, needs: PatchNeeds, n_whole: int) -> PatchParts:
        """Return the parts of patches that are on the host.

        Parameters
        ----------
        patches : (B, N, N) complex64
        needs : PatchNeeds
        n_whole : int

        Returns
        -------
        PatchParts
            The whole ones as views of the patches.
        """
        central = needs.central(patches.shape[-1])
        frames = None if needs.light is None else needs.light.frames_of(patches)
        # In one piece they are stitched where they lie: otherwise each batch is planned and copied there.
        return cls(np.ascontiguousarray(patches[:, central, central]), patches[:n_whole], frames)

    def first(self, n_patches: int) -> PatchParts:
        """Return those of the first `n_patches` patches."""
        frames = None if self.frames is None else self.frames[:n_patches]
        return PatchParts(self.crops[:n_patches], self.whole[:n_patches], frames)
