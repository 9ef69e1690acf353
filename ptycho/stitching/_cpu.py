"""The stitching sum on the CPU: compiled loops, one thread per band of canvas rows."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho._compiled.announcing import announce_compilation
from ptycho._compiled.bands import available_threads, even_bands, run_bands
from ptycho._compiled.handover import aligned_empty
from ptycho.stitching._geometry import Placement, crop_start
from ptycho.stitching._patch_reading import (
    CropReader,
    is_tensor,
    mapped_file,
    release_pages,
    sliceable,
)

if TYPE_CHECKING:
    from types import ModuleType

# Weights up to this value count as "not covered"; the image is sum / (1e-9 + weight).
WEIGHT_FLOOR = 1e-9
# Starting a thread costs about as much as adding this many pixels.
_PIXELS_PER_THREAD = 200_000
# Larger pieces only take memory: the loops are as fast on a few hundred patches.
_COPY_BYTES = 16 * 2**20


class CpuSums:
    """Sums of bilinearly shifted crops in host memory; patches are read where they lie, never copied.

    Plain Python threads run the compiled loops (which release the interpreter's lock): unlike numba's own
    thread pools they survive a fork and may be used from several threads at once.
    """

    @property
    def device(self) -> str | None:
        """Main memory, as autobatch spells it."""
        return "cpu"

    def __init__(
        self, shape_yx: tuple[int, int], *, crop_size: int, dtype: np.dtype, n_threads: int | None
    ) -> None:
        """Make empty sums; `dtype` is complex64 or complex128."""
        self._crop_size = crop_size
        self._n_threads = n_threads
        self.values = np.zeros(shape_yx, dtype=dtype)  # (H, W); zero pages cost nothing until touched

    def sliceable(self, patches: Any) -> Any:
        """Return an eager tensor as the NumPy array that shares its memory, a file as a reader of crops."""
        return np.asarray(patches) if is_tensor(patches) else sliceable(patches, self._crop_size)

    def batch_bytes(self, patches: Any) -> tuple[int, int]:
        """Temporary bytes per patch: a copy of the crop, unless the kernel can read the patches in place."""
        return (0 if _in_place(patches) else 8 * self._crop_size**2), 0

    def largest_batch(self, patches: Any) -> int | None:
        """Patches that are worth copying, or mapping, at a time; None where they lie in memory."""
        per_patch, _ = self.batch_bytes(patches)
        if mapped_file(patches) is not None:
            per_patch = 8 * patches.shape[1] * patches.shape[2]
        return max(1, _COPY_BYTES // per_patch) if per_patch else None

    def stage(self, patches: Any, placement: Placement) -> tuple[np.ndarray, Placement]:
        """Bring the patches into the form that the kernel reads; nothing is added yet."""
        crops = self.sliceable(patches)
        if _in_place(crops):
            return crops, placement
        if not isinstance(crops, CropReader):
            crops = CropReader(crops, self._crop_size)
        return np.ascontiguousarray(crops[:]), placement  # (n, M, M) complex64

    def commit(self, staged: tuple[np.ndarray, Placement], corner_weights: np.ndarray) -> np.ndarray:
        """Add staged patches here and their weights to `corner_weights`; returns (n,) bool, False if not finite."""
        patches, placement = staged
        status = np.zeros(len(placement), np.uint8)  # (n,), UNSEEN
        if len(placement) == 0:
            return status.astype(bool)
        kernels = load_kernels()
        reals = self.values.view(_real_of(self.values.dtype)).reshape(-1)  # (2 H W,)
        floats = _read_only(patches, np.float32).reshape(-1)  # (2 n N N,)
        first = crop_start(patches.shape[1], self._crop_size)

        def add_band(begin: int, end: int) -> None:
            kernels.add_band(
                reals,
                corner_weights,
                floats,
                patches.shape[1],
                first,
                self._crop_size,
                placement.top_left,
                placement.fraction,
                status,
                begin,
                end,
            )

        run_bands(add_band, _patch_bands(placement, self.values.shape[0], self._crop_size, self._n_threads))
        release_pages(patches)
        return status == kernels.FINITE


def add_corner_weights(corner_weights: np.ndarray, placement: Placement, finite: np.ndarray) -> None:
    """Add the bilinear weights of finite patches to their point map (H - M + 1, W - M + 1) float64."""
    load_kernels().add_corner_weights(corner_weights, placement.top_left, placement.fraction, finite)


def add_squares(
    squares: np.ndarray,
    staged: tuple[np.ndarray, Placement],
    finite: np.ndarray,
    crop_size: int,
    n_threads: int | None,
) -> None:
    """Add |shifted crop|² over its weight to `squares`, (H, W) float64, for the finite patches."""
    patches, placement = staged
    kernels = load_kernels()
    floats = _read_only(patches, np.float32)  # (n, N, 2 N)
    first = crop_start(patches.shape[1], crop_size)

    def add_band(begin: int, end: int) -> None:
        kernels.square_band(
            squares,
            floats,
            first,
            crop_size,
            placement.top_left,
            placement.fraction,
            finite,
            begin,
            end,
        )

    if len(placement):
        run_bands(add_band, _patch_bands(placement, squares.shape[0], crop_size, n_threads))


def box_sum(
    corner_weights: np.ndarray, shape_yx: tuple[int, int], crop_size: int, n_threads: int | None
) -> np.ndarray:
    """Return the weight of every canvas pixel: (H, W) float64, the M x M box sum of the point map."""
    weights = np.empty(shape_yx)  # (H, W) float64, every row written by one band
    nothing = np.empty((0, shape_yx[1]), np.complex64)
    _box_blocks(weights, nothing, nothing, corner_weights, crop_size, n_threads)
    return weights


def weighted_mean(
    values: np.ndarray, corner_weights: np.ndarray, crop_size: int, n_threads: int | None
) -> np.ndarray:
    """Return ``values / (1e-9 + weight)``, 0 where the weight is at most 1e-9: (H, W) complex64."""
    image = aligned_empty(values.shape, np.complex64)
    _box_blocks(np.empty((0, values.shape[1])), image, values, corner_weights, crop_size, n_threads)
    return image


def _box_blocks(
    weights: np.ndarray,
    image: np.ndarray,
    values: np.ndarray,
    corner_weights: np.ndarray,
    crop_size: int,
    n_threads: int | None,
) -> None:
    kernels = load_kernels()
    reals, value_reals = image.view(np.float32), _read_only(values, _real_of(values.dtype))  # (H, 2 W)
    n_blocks = -(-(corner_weights.shape[0] + crop_size - 1) // crop_size)  # H / M, rounded up

    def box_blocks(begin: int, end: int) -> None:
        kernels.box_blocks(weights, reals, value_reals, WEIGHT_FLOOR, corner_weights, crop_size, begin, end)

    run_bands(box_blocks, even_bands(n_blocks, min(n_blocks, _n_bands(corner_weights.size, n_threads))))


def extract(image: np.ndarray, placement: Placement, crop_size: int) -> np.ndarray:
    """Interpolate an image (H, W) complex128 at every crop's pixels: (n, M, M) complex128."""
    crops = np.empty((len(placement), crop_size, crop_size), np.complex128)
    load_kernels().extract(crops, image, placement.top_left, placement.fraction)
    return crops


@functools.lru_cache(maxsize=1)
def load_kernels() -> ModuleType:
    """Import the compiled loops; the import of numba is put off until something is stitched."""
    from ptycho.stitching import _loops

    announce_compilation(__package__ or "", "the stitching kernel")
    return _loops


def _n_bands(n_pixels: int, n_threads: int | None) -> int:
    return max(1, min(n_threads or available_threads(), n_pixels // _PIXELS_PER_THREAD))


def _patch_bands(placement: Placement, height: int, crop_size: int, n_threads: int | None) -> list[int]:
    """Edges of bands of rows that hold about equally many patches each; they need not be equally high."""
    n_bands = _n_bands(len(placement) * crop_size**2, n_threads)
    if n_bands == 1:
        return [0, height]
    # Bands of equal height would leave threads idle where a scan is dense in one place.
    middles = np.sort(placement.top_left[:, 0]) + crop_size // 2  # (n,) canvas rows
    return [0, *middles[even_bands(len(placement), n_bands)[1:-1]].tolist(), height]


def _in_place(patches: Any) -> bool:
    return isinstance(patches, np.ndarray) and patches.flags.c_contiguous and patches.flags.aligned


def _read_only(patches: np.ndarray, dtype: type) -> np.ndarray:
    # To numba, arrays that may not be written are a type of their own, with a second kernel to compile; memory
    # maps are of that type, so all are made to be.
    view = patches.view(dtype)
    view.flags.writeable = False
    return view


def _real_of(dtype: np.dtype) -> type:
    return np.float64 if dtype == np.complex128 else np.float32
