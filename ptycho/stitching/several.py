"""Patches into several canvases at once, each patch into those that want it, in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autobatch import BatchCost, run_in_batches
from ptycho.stitching._canvas_sums import StagedPatches
from ptycho.stitching._geometry import Placement
from ptycho.stitching._patch_reading import as_array_like
from ptycho.stitching.canvas import Canvas

if TYPE_CHECKING:
    from autobatch import BatchRun, Progress

_REMEDY = "pass another `crop_size`, a smaller one, or stitch on the CPU, by `backend='cpu'`"


def add_to_several(
    wanted: Sequence[tuple[Canvas, np.ndarray | None]],
    patches: Any,
    positions_yx: np.ndarray,
    *,
    batch_size: int | Literal["auto"] = "auto",
    progress: Progress | None = None,
    label: str = "stitching",
) -> BatchRun:
    """Add patches to canvases, as many at once as fit into memory; see `ptycho.stitching.add_in_batches`.

    Parameters
    ----------
    wanted : sequence of (Canvas, numbers)
        Each canvas, changed in place, with the patches (k,) int that enter it, rising; None is all.
    patches : (n, N, N) complex64
        As `add_in_batches` takes them.
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object, (y, x).
    batch_size : int or "auto"
    progress : Progress, optional
    label : str

    Returns
    -------
    BatchRun
        The sizes used and why.
    """
    patches = as_array_like(patches, "patches")
    shares = [_Share.of(canvas, numbers, patches, positions_yx) for canvas, numbers in wanted]
    limits = [share.canvas.batch_limits(share.patches) for share in shares]
    largest = [limit.largest_batch for limit in limits if limit.largest_batch is not None]
    return run_in_batches(
        lambda start, stop: [share.staged(start, stop) for share in shares],
        len(positions_yx),
        commit=lambda _start, _stop, staged: _commit(shares, staged),
        batch_size=batch_size,
        cost=BatchCost(
            bytes_per_item=max(limit.bytes_per_patch for limit in limits),
            fixed_bytes=max(limit.fixed_bytes for limit in limits),
        ),
        device=shares[0].canvas.device,
        max_batch_size=min(largest, default=None),
        progress=progress,
        label=label,
        unit="patches",
        remedy=_REMEDY,
        # What is staged has a row for each patch of its canvas, not of the batch.
        check_length=False,
    )


def _commit(shares: Sequence[_Share], staged: Sequence[StagedPatches | None]) -> None:
    for share, part in zip(shares, staged, strict=True):
        if part is not None:
            share.canvas.commit(part)


@dataclass(frozen=True, eq=False)
class _Share:
    """The patches that one canvas wants, and where they land on it."""

    canvas: Canvas
    numbers: np.ndarray | None
    patches: Any
    placement: Placement

    @classmethod
    def of(cls, canvas: Canvas, numbers: np.ndarray | None, patches: Any, positions_yx: np.ndarray) -> _Share:
        # The placement is of the patches that the canvas wants alone: it need not hold the others.
        positions = positions_yx if numbers is None else positions_yx[numbers]
        n_patches = None if numbers is None else len(numbers)
        placement = canvas.place(patches, positions, n_patches=n_patches)
        return cls(canvas, numbers, canvas.sliceable(patches), placement)

    def staged(self, start: int, stop: int) -> StagedPatches | None:
        """Return those of patches ``[start, stop)`` that the canvas wants, ready to be added; None without any."""
        if self.numbers is None:
            return self.canvas.stage_placed(self.patches[start:stop], self.placement[start:stop])
        first, last = np.searchsorted(self.numbers, (start, stop))
        if first == last:
            return None
        return self.canvas.stage_placed(self.patches[self.numbers[first:last]], self.placement[first:last])
