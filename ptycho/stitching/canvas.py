"""`Canvas`: patches and their positions in, an image and its coverage out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptycho.stitching import _checks, _cpu
from ptycho.stitching._geometry import Placement, canvas_around, place

logger = logging.getLogger(__name__)

# Weights up to this value count as "not covered"; the quotient is sum / (1e-9 + weight).
WEIGHT_FLOOR = 1e-9
_REMEMBERED_INDICES = 5


@dataclass(frozen=True)
class StagedPatches:
    """Patches ready to be added; adding them needs no more memory and cannot fail half-way."""

    payload: Any
    placement: Placement


class Canvas:
    """Running sums of sub-pixel shifted patches and of their weights.

    A patch adds its central M x M pixels, shifted by a bilinear kernel, to the (M + 1) x (M + 1) canvas
    pixels under it; its weight is the same shift of an array of ones. Time grows with the pixels added and
    memory is that of the canvas, whatever the number of patches. Canvases merge by addition.

    Parameters
    ----------
    shape_yx : (rows, columns)
        Size in pixels.
    crop_size : int
        Side M of the central square of each patch that is used.
    origin_yx : (float, float)
        Object (row, column) of canvas pixel (0, 0); may be fractional. Canvas pixel (i, j) is object pixel
        ``(i + origin_y, j + origin_x)``.
    backend : {None, "cpu", "tensorflow"}
        Where the sums live. None takes the GPU if TensorFlow is already imported and sees one, else the CPU.
    accumulate : {"float32", "float64"}
        Precision of the sums. "float64" keeps a pixel exact to 1e-7 under a million overlapping patches, for
        twice the memory.
    n_threads : int, optional
        Upper limit on CPU threads; the result does not depend on it. Default: every processor allowed.
    """

    def __init__(
        self,
        shape_yx: Sequence[int],
        *,
        crop_size: int,
        origin_yx: Sequence[float] = (0.0, 0.0),
        backend: str | None = None,
        accumulate: str = "float32",
        n_threads: int | None = None,
    ) -> None:
        """Make an empty canvas; see the class for the arguments."""
        self.crop_size = _checks.check_integer(crop_size, "crop_size M")
        if self.crop_size < 1:
            raise ValueError(f"crop_size M is {crop_size} but must be at least 1; pass a positive size.")
        self.shape_yx = _checks.check_shape(shape_yx, self.crop_size)
        self.origin_yx = _checks.check_origin(origin_yx)
        self.accumulate = _checks.check_choice(accumulate, ("float32", "float64"), "accumulate")
        self.n_added = 0
        self.n_rejected = 0
        self.first_rejected: list[int] = []
        self._n_threads = n_threads
        dtype = np.dtype(np.complex64 if accumulate == "float32" else np.complex128)
        _checks.check_canvas_fits(self.shape_yx, dtype.itemsize + 8)
        self._sums = _cpu.CpuSums(self.shape_yx, crop_size=self.crop_size, dtype=dtype, n_threads=n_threads)
        height, width = self.shape_yx
        self._splats = np.zeros((height - self.crop_size + 1, width - self.crop_size + 1))

    @property
    def device(self) -> str:
        """Name of the device that holds the sums, as autobatch spells it."""
        return self._sums.device

    @classmethod
    def around(
        cls,
        positions_yx: np.ndarray,
        *,
        crop_size: int,
        square: bool = True,
        backend: str | None = None,
        accumulate: str = "float32",
        n_threads: int | None = None,
    ) -> Canvas:
        """Make the canvas that holds every patch of a scan, centred on the mean position.

        Parameters
        ----------
        positions_yx : (n, 2) float64
            Patch centres in pixels of the object, (y, x), n >= 1.
        square : bool
            Use the padding of the wider axis on both; False keeps each axis as narrow as the scan allows.

        Raises
        ------
        ValueError
            If there is no position, one is not finite, or the canvas would not fit into memory.
        """
        positions = _checks.check_positions(positions_yx)
        if len(positions) == 0:
            raise ValueError("there are 0 positions but a canvas needs at least one; pass the scan's.")
        side = _checks.check_integer(crop_size, "crop_size M")
        shape_yx, origin_yx = canvas_around(positions, crop_size=side, square=square)
        _checks.check_canvas_fits(shape_yx, 16 if accumulate == "float32" else 24, positions)
        return cls(
            shape_yx,
            crop_size=side,
            origin_yx=origin_yx,
            backend=backend,
            accumulate=accumulate,
            n_threads=n_threads,
        )

    def add(self, patches: Any, positions_yx: np.ndarray) -> None:
        """Add patches, all or none of them.

        A patch with an infinity or a NaN inside its crop is left out whole, counted in `n_rejected` and named
        in a log warning (a matter of the data, not of the calling code, hence logged).

        Parameters
        ----------
        patches : (n, N, N) complex64
            NumPy array, memory map, HDF5 data set or tensor, N >= M. Read in place where it is contiguous.
        positions_yx : (n, 2) float64
            Patch centres in pixels of the object, (y, x).

        Raises
        ------
        TypeError
            If a dtype is another one.
        ValueError
            If counts differ, M exceeds N, a position is not finite or a crop leaves the canvas.
        """
        before = self.n_rejected
        self.commit(self.stage(patches, positions_yx))
        self.warn_of_rejected(since=before)

    def stage(self, patches: Any, positions_yx: np.ndarray) -> StagedPatches:
        """Do everything of `add` that can fail or run out of memory, leaving the canvas as it is."""
        return self.stage_placed(patches, self.place(patches, positions_yx))

    def place(self, patches: Any, positions_yx: np.ndarray) -> Placement:
        """Check patches against their positions, all of `add`'s refusals, and find where each one lands."""
        n_patches, patch_size = _checks.check_patches(patches)
        _checks.check_crop_size(self.crop_size, patch_size)
        positions = _checks.check_positions(positions_yx)
        _checks.check_counts(n_patches, len(positions))
        return place(positions, shape_yx=self.shape_yx, origin_yx=self.origin_yx, crop_size=self.crop_size)

    def stage_placed(self, patches: Any, placement: Placement) -> StagedPatches:
        """Stage patches whose placement `place` has found, so that a long scan is checked only once."""
        return StagedPatches(self._sums.stage(patches, placement), placement)

    def source(self, patches: Any) -> Any:
        """Return `patches` in the form that is cheapest to slice for `stage`; it shares their memory."""
        return self._sums.source(patches)

    def bytes_per_patch(self, patches: Any) -> int:
        """Return the temporary memory that staging one of `patches` takes."""
        return self._sums.bytes_per_patch(patches)

    def commit(self, staged: StagedPatches) -> None:
        """Add what `stage` returned; call it once for each."""
        kernels = _cpu.load_kernels()
        placement = staged.placement
        status = self._sums.commit(staged.payload)
        kernels.add_splats(self._splats, placement.top_left, placement.fraction, status)
        rejected = np.flatnonzero(status == kernels.REJECTED)
        room = _REMEMBERED_INDICES - len(self.first_rejected)
        offered = self.n_added + self.n_rejected
        self.first_rejected += [offered + int(i) for i in rejected[:room]]
        self.n_rejected += rejected.size
        self.n_added += len(placement) - rejected.size

    def image(self) -> np.ndarray:
        """Return the weighted mean of the patches: (H, W) complex64, 0 where no patch lies."""
        weights = self._weights()
        uncovered = weights <= WEIGHT_FLOOR
        weights += WEIGHT_FLOOR
        image = (self._sums.values / weights).astype(np.complex64)
        image[uncovered] = 0
        return image

    def coverage(self) -> np.ndarray:
        """Return the sum of the weights, that is how many patches lie on a pixel: (H, W) float32."""
        return self._weights().astype(np.float32)

    def warn_of_rejected(self, *, since: int = 0) -> None:
        """Log a warning if more than `since` patches have been left out as not finite."""
        if self.n_rejected > since:
            indices = ", ".join(map(str, self.first_rejected))
            logger.warning(
                "%d of %d patches hold an infinity or a NaN inside the crop and were left out "
                "(first indices: %s); pixels that no other patch covers stay 0.",
                self.n_rejected,
                self.n_added + self.n_rejected,
                indices,
            )

    def _weights(self) -> np.ndarray:
        kernels = _cpu.load_kernels()
        weights = np.empty(self.shape_yx)
        side = self.crop_size
        n_blocks = -(-self.shape_yx[0] // side)
        kernels.add_weights(weights, self._splats, side, 0, n_blocks)
        return weights
