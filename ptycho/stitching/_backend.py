"""Which of the two implementations of the sum to use; both have the same methods."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from autobatch import imported_tensorflow
from ptycho.stitching._checks import check_choice
from ptycho.stitching._cpu import CpuSums
from ptycho.stitching._geometry import Placement


class PatchSums(Protocol):
    """Sums of bilinearly shifted crops, wherever they live."""

    @property
    def device(self) -> str | None:
        """Where the sums live, as `autobatch.run_in_batches` spells it."""
        ...

    @property
    def values(self) -> np.ndarray:
        """The sums: (H, W) complex64 or complex128 in host memory."""
        ...

    @values.setter
    def values(self, values: np.ndarray) -> None: ...

    def sliceable(self, patches: Any) -> Any:
        """Return patches in the form that is cheapest to slice; it shares their memory."""
        ...

    def batch_bytes(self, patches: Any) -> tuple[int, int]:
        """Temporary memory of a batch: bytes per patch, and bytes whatever the number of patches."""
        ...

    def largest_batch(self, patches: Any) -> int | None:
        """Number of patches beyond which a batch only costs memory, or cannot be indexed."""
        ...

    def stage(self, patches: Any, placement: Placement) -> Any:
        """Do all that can fail, without a change to the sums."""
        ...

    def commit(self, staged: Any, corner_weights: np.ndarray) -> np.ndarray:
        """Add what was staged, and its weights to the point map `corner_weights`; returns which were finite, (n,)."""
        ...


def make_sums(
    backend: str | None,
    shape_yx: tuple[int, int],
    *,
    crop_size: int,
    dtype: np.dtype,
    n_threads: int | None,
    jit_compile: bool,
) -> PatchSums:
    """Make empty sums for a backend's name; None is the GPU where there is one, else the CPU."""
    check_choice(backend, (None, "cpu", "tensorflow"), "backend")
    if backend == "tensorflow" or (backend is None and _sees_gpu()):
        from ptycho.stitching._tensorflow import TensorFlowSums

        return TensorFlowSums(shape_yx, crop_size=crop_size, dtype=dtype, jit_compile=jit_compile)
    if jit_compile:
        raise ValueError(
            "jit_compile is True but the sums are on the CPU; pass backend='tensorflow' with it."
        )
    return CpuSums(shape_yx, crop_size=crop_size, dtype=dtype, n_threads=n_threads)


def _sees_gpu() -> bool:
    """True if TensorFlow is imported already and sees a GPU; importing it just to ask would take seconds.

    Physical devices are asked for: listing the logical ones would start them all and take their memory.
    """
    tensorflow = imported_tensorflow()
    return tensorflow is not None and bool(tensorflow.config.get_visible_devices("GPU"))
