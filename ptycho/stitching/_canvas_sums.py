"""The sums of a canvas and how patches enter them: placed, staged, and committed all or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.stitching import _checks, _cpu
from ptycho.stitching._backend import PatchSums, make_sums
from ptycho.stitching._geometry import Placement, place
from ptycho.stitching.state import CanvasState

if TYPE_CHECKING:
    from typing_extensions import Self

_REMEMBERED_INDICES = 5


@dataclass(frozen=True)
class StagedPatches:
    """Patches ready to be added; adding them needs no more memory and cannot fail half-way."""

    payload: Any
    placement: Placement


@dataclass(frozen=True)
class BatchLimits:
    """What a batch of n patches takes: ``fixed_bytes + n bytes_per_patch``, and the largest sensible n."""

    bytes_per_patch: int
    fixed_bytes: int
    largest_batch: int | None


class CanvasSums:
    """The half of `Canvas` that drivers of batches use; the other half is for everybody.

    What can run out of memory is in `stage_placed`, so that a batch that fails leaves the sums as they were.
    """

    crop_size: int
    shape_yx: tuple[int, int]
    origin_yx: tuple[float, float]
    n_added: int
    n_rejected: int
    first_rejected: tuple[int, ...]
    _sums: PatchSums
    _dtype: np.dtype
    _corner_weights: np.ndarray
    _squares: np.ndarray | None
    _n_threads: int | None

    def place(self, patches: Any, positions_yx: np.ndarray, *, n_patches: int | None = None) -> Placement:
        """Find where each patch, or `n_patches` of them, lands, with all the refusals of `add`; nothing is added."""
        n_there, patch_size = _checks.check_patches(patches)
        _checks.check_crop_size(self.crop_size, patch_size)
        positions = _checks.check_positions(positions_yx)
        _checks.check_counts(n_there if n_patches is None else n_patches, len(positions))
        return place(positions, shape_yx=self.shape_yx, origin_yx=self.origin_yx, crop_size=self.crop_size)

    def stage_placed(self, patches: Any, placement: Placement) -> StagedPatches:
        """Do all of `add` that can run out of memory; the canvas stays as it is."""
        return StagedPatches(self._sums.stage(patches, placement), placement)

    def commit(self, staged: StagedPatches) -> None:
        """Add what `stage_placed` returned; call it once for each."""
        placement = staged.placement
        finite = self._sums.commit(staged.payload, self._corner_weights)
        if self._squares is not None:
            _cpu.add_squares(self._squares, staged.payload, finite, self.crop_size, self._n_threads)
        rejected = np.flatnonzero(~finite) + (self.n_added + self.n_rejected)
        room = _REMEMBERED_INDICES - len(self.first_rejected)
        self.first_rejected += tuple(rejected[: max(room, 0)].tolist())
        self.n_rejected += rejected.size
        self.n_added += len(placement) - rejected.size

    def sliceable(self, patches: Any) -> Any:
        """Return `patches` in the form that is cheapest to slice for staging; it shares their memory."""
        return self._sums.sliceable(patches)

    def batch_limits(self, patches: Any) -> BatchLimits:
        """Return what staging some of `patches` takes."""
        per_patch, fixed = self._sums.batch_bytes(patches)
        return BatchLimits(per_patch, fixed, self._sums.largest_batch(patches))

    @property
    def device(self) -> str | None:
        """Where the sums live, as `autobatch.run_in_batches` spells it."""
        return self._sums.device

    @classmethod
    def of_state(
        cls, state: CanvasState, *, backend: str | None = None, n_threads: int | None = None
    ) -> Self:
        """Return the canvas that a state was taken from.

        Parameters
        ----------
        state : CanvasState
            Its arrays become those of the canvas.
        backend : {None, "cpu", "tensorflow"}
            As for `Canvas`.
        n_threads : int, optional
            As for `Canvas`.

        Returns
        -------
        Canvas
        """
        # Not by the constructor, which asks for the memory of a canvas: this one is there already.
        canvas = cls.__new__(cls)
        height, width = state.values.shape
        canvas.crop_size, canvas.shape_yx, canvas.origin_yx = (
            state.crop_size,
            (height, width),
            state.origin_yx,
        )
        canvas._n_threads = _checks.check_threads(n_threads)
        canvas._make_sums(backend, state.values.dtype, overlap_variance=state.squares is not None)
        canvas._set_state(state)
        return canvas

    def state(self) -> CanvasState:
        """Return the sums and counts; the arrays are the canvas' own."""
        return CanvasState(
            crop_size=self.crop_size,
            origin_yx=self.origin_yx,
            values=self._sums.values,
            corner_weights=self._corner_weights,
            squares=self._squares,
            n_added=self.n_added,
            n_rejected=self.n_rejected,
            first_rejected=self.first_rejected,
        )

    def _make_sums(
        self, backend: str | None, dtype: np.dtype, *, overlap_variance: bool, jit_compile: bool = False
    ) -> None:
        if overlap_variance:
            # Second moments are kept on the CPU only.
            backend = _checks.check_choice(backend, (None, "cpu"), "backend") or "cpu"
        self._dtype = dtype
        self._sums = make_sums(
            backend,
            self.shape_yx,
            crop_size=self.crop_size,
            dtype=dtype,
            n_threads=self._n_threads,
            jit_compile=jit_compile,
        )

    def _set_state(self, state: CanvasState) -> None:
        self._sums.values = state.values
        self._corner_weights, self._squares = state.corner_weights, state.squares
        self.n_added, self.n_rejected = state.n_added, state.n_rejected
        self.first_rejected = state.first_rejected[:_REMEMBERED_INDICES]
