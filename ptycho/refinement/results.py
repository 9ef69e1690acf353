"""What a refinement returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho._showing.one_line import OneLine
from ptycho.data.reconstruction import Reconstruction
from ptycho.image.placed import PlacedImage
from ptycho.refinement.settings import RefinementSettings


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """How one sweep over the frames went.

    Attributes
    ----------
    r_factor : float
        Σ |modulus - amplitude| / Σ amplitude of all frames, each as the sweep met it: in the first sweep, of an
        image that is partly improved already.
    change : float
        Root mean square of what the sweep changed in the image, over that of the image, on the covered pixels.
    seconds : float
        Wall time.
    batch_sizes : tuple of int
        Every number of frames that was computed at once, in order of first use.
    n_oom : int
        Out-of-memory errors met.
    """

    r_factor: float
    change: float
    seconds: float
    batch_sizes: tuple[int, ...]
    n_oom: int


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RefinementRun(OneLine):
    """An image improved by the frames, and how far they disagreed with it.

    Attributes
    ----------
    image : PlacedImage
        On the pixel grid that it began on, on all pixels that any frame saw. Its coverage is the intensity that fell
        on each pixel in all, over the largest of a single frame.
    change : (H, W) float32
        What the first sweep changed of each pixel, |after - before| over the root mean square of the image: where
        the frames distrusted what it was given. 0 where it was given nothing.
    sweeps : tuple of SweepRecord
    scale : float
        Real factor by which the image was multiplied at the beginning, so that its frames are as bright as those
        that were measured.
    probe : (N, N) complex64
        That of the scan, or the refined one.
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object, those of the scan or refined.
    settings : RefinementSettings
    """

    image: PlacedImage
    change: np.ndarray
    sweeps: tuple[SweepRecord, ...]
    scale: float
    probe: np.ndarray
    positions_yx: np.ndarray
    settings: RefinementSettings

    @property
    def distrust(self) -> float:
        """What the first sweep changed, as one number: `SweepRecord.change` of it."""
        return self.sweeps[0].change

    @property
    def seconds(self) -> float:
        """Wall time of all sweeps."""
        return sum(sweep.seconds for sweep in self.sweeps)

    def as_reconstruction(self, *, label: str) -> Reconstruction:
        """Return the image as a finished reconstruction, ready for a file or for `ptycho.compare`.

        Parameters
        ----------
        label : str
            Its name.

        Returns
        -------
        Reconstruction
            With positions in the pixel frame of its image.
        """
        assert self.image.origin_yx is not None  # `refine` refuses an image of unknown place
        return Reconstruction(
            label=label,
            object=self.image.values,
            probe=self.probe,
            seconds=self.seconds,
            positions_yx=self.positions_yx - self.image.origin_yx,
            coverage=self.image.coverage,
        )
