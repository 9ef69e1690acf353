"""What a refinement changes from step to step: object, probe and positions."""

from __future__ import annotations

import numpy as np

from ptycho.data.scan import ScanData, read_only
from ptycho.diffraction import SplineObject
from ptycho.diffraction.spline_object import MARGIN_PX
from ptycho.refinement._mini_batch import MiniBatch, Wishes
from ptycho.refinement.checkpoint import KeptSweeps
from ptycho.refinement.settings import RefinementSettings


class RefinementState:
    """Object, probe and positions as they are now, and the frames.

    Parameters
    ----------
    scan : ScanData
    image : (H, W) complex64
        The object to begin with; every frame lies inside it.
    origin_yx : (float, float)
        Pixel of the scan's object under ``image[0, 0]``.
    settings : RefinementSettings
    """

    def __init__(
        self, scan: ScanData, image: np.ndarray, origin_yx: tuple[float, float], settings: RefinementSettings
    ) -> None:
        side = scan.patch_size
        self.patch_size, self.origin_yx = side, origin_yx
        self._settings, self.object_alone = settings, False
        self._scan = scan
        self.counts = read_only(np.ones((side, side), bool) if scan.mask is None else scan.mask)
        self.coefficients = SplineObject.of(image).coefficients.copy()
        self.light = np.zeros(self.coefficients.shape, np.float32)
        self.misfit = np.zeros((scan.n_frames, 2))
        self.positions_yx = scan.positions_yx.copy()  # (n, 2) float64, in pixels of the scan's object
        self._first_positions_yx = scan.positions_yx
        self._set_probe(scan.probe)
        self._probe_sums = np.zeros((side, side), np.complex64)
        self._probe_weights = np.zeros((side, side), np.float32)

    @property
    def refines_probe(self) -> bool:
        """Whether the steps change the probe now."""
        return self._settings.refine_probe and not self.object_alone

    @property
    def refines_positions(self) -> bool:
        """Whether the steps move the frames now."""
        return self._settings.refine_positions and not self.object_alone

    def frames(self, indices: slice | np.ndarray) -> np.ndarray:
        """Return measured amplitudes, (…, N, N) float32.

        Compiled loops are compiled anew for every kind of array: all are read-only, whether they lie in a file or not.
        """
        return read_only(self._scan.frames(indices))

    def image(self) -> np.ndarray:
        """Return the object as it is now, (H, W) complex64."""
        return SplineObject(self.coefficients).image()

    def illumination(self) -> np.ndarray:
        """Return the light that the steps have put on each pixel, over the brightest of one frame: (H, W) float32."""
        inner = slice(MARGIN_PX, -MARGIN_PX)
        return self.light[inner, inner] / self.intensity.max()

    def restore(self, kept: KeptSweeps) -> None:
        """Go on with what an earlier run has kept."""
        self.coefficients[:], self.light[:], self.misfit[:] = kept.coefficients, kept.light, kept.misfit
        self.positions_yx[:] = kept.positions_yx
        self._set_probe(kept.probe)

    def mini_batch(self, frames: np.ndarray) -> MiniBatch:
        """Return `frames` (m,) where they lie now."""
        return MiniBatch.at(frames, self.positions_yx[frames] - self.origin_yx, self.patch_size)

    def take(self, batch: MiniBatch, wishes: Wishes) -> None:
        """Keep what the frames of `batch` said, add up what they want of the probe, and move them."""
        self.misfit[batch.frames] = wishes.misfit
        # One frame at a time, so that no bit depends on how many came at once.
        for patch, difference in zip(wishes.patches, wishes.differences, strict=True):
            self._probe_sums += patch.conj() * difference
            self._probe_weights += patch.real**2 + patch.imag**2
        if self.refines_positions:
            first, reach = self._first_positions_yx[batch.frames], self._settings.max_position_shift_px
            moved = self.positions_yx[batch.frames] + wishes.shifts_yx
            self.positions_yx[batch.frames] = np.clip(moved, first - reach, first + reach)

    def step(self) -> None:
        """Change the probe by what the frames of a mini-batch want of it."""
        if not self.refines_probe:
            return
        alpha = self._settings.alpha
        divisor = (1 - alpha) * self._probe_weights + alpha * self._probe_weights.max()
        self._set_probe(self.probe + self._probe_sums / np.maximum(divisor, np.finfo(np.float32).tiny))
        self._probe_sums[:] = 0
        self._probe_weights[:] = 0

    def _set_probe(self, probe: np.ndarray) -> None:
        self.probe = np.array(probe, np.complex64)  # (N, N)
        self.conjugate_probe = self.probe.conj()
        self.intensity = self.probe.real**2 + self.probe.imag**2
