"""From patches to an image in one call, in batches that fit into memory."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ptycho._compiled.handover import Handover
from ptycho.stitching import _checks
from ptycho.stitching._patch_reading import CropReader, as_array_like, is_tensor
from ptycho.stitching.canvas import Canvas
from ptycho.stitching.several import add_to_several

if TYPE_CHECKING:
    import tensorflow as tf

    from autobatch import BatchRun, Progress

# Up to this many patches a batch size is not worth planning.
_ONE_BATCH = 1000

BatchSize = int | Literal["auto"] | None


def add_in_batches(
    canvas: Canvas,
    patches: Any,
    positions_yx: np.ndarray,
    *,
    batch_size: BatchSize = "auto",
    progress: Progress | None = None,
    label: str = "stitching",
    warn: bool = True,
) -> BatchRun:
    """Add patches to a canvas, as many at once as fit into memory.

    Every patch is added exactly once and in order, whatever happens to the batch size; the bits of the
    result do not depend on it.

    Parameters
    ----------
    canvas : Canvas
        Changed in place.
    patches : (n, N, N) complex64
        NumPy array, memory map, HDF5 data set or tensor. Only one batch of it is read at a time.
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object, (y, x).
    batch_size : int, "auto" or None
        "auto" is planned from the free memory; an integer is the first size and the upper limit, halved
        when memory runs out; None is one batch up to 1,000 patches, else "auto".
    progress : Progress, optional
        Display that gets one stage called `label`, counting patches.
    label : str
        What the stage is called.
    warn : bool
        Log a warning if patches were left out as not finite. Pass False where a stream of such calls ends
        with one `Canvas.warn_of_rejected`.

    Returns
    -------
    BatchRun
        The sizes used and why.

    Raises
    ------
    TypeError, ValueError
        As `Canvas.add`, before anything is added.
    autobatch.DoesNotFitError
        If one patch alone does not fit.
    """
    rejected_before, size = canvas.n_rejected, _first_size(batch_size, len(positions_yx))
    run = add_to_several(
        [(canvas, None)], patches, positions_yx, batch_size=size, progress=progress, label=label
    )
    if warn:
        canvas.warn_of_rejected(since=rejected_before)
    return run


def stitch_patches(
    patches: Any,
    offsets_xy: Any,
    *,
    crop_size: int,
    batch_size: BatchSize = None,
    backend: str | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Stitch the central squares of patches into one image.

    Parameters
    ----------
    patches : (n, N, N) or (n, N, N, 1) complex64
        Patches in any order. NumPy array, memory map, HDF5 data set or TensorFlow tensor; lists, and arrays of
        PyTorch or JAX that lie in host memory, are taken as NumPy sees them.
    offsets_xy : (n, 2), (n, 1, 2, 1) or (n, 1, 1, 2) float64
        Patch centres in pixels, **x before y**, x to the right and y down.
    crop_size : int
        Side M of the central square that is used, 0 < M <= N.
    batch_size : int, "auto" or None
        Patches that enter the canvas at once; changes memory, never the result.
    backend : {None, "cpu", "tensorflow"}
        None is a GPU if TensorFlow is imported and sees one, else the CPU.
    progress : Progress, optional
        Display that gets one stage.

    Returns
    -------
    (S, S) complex64
        The canvas centred on the mean position, ``S = M + 2 pad`` with `pad` the largest distance from the
        mean along either axis rounded up to an even number. Pixels that no patch covers are 0.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape, count, crop size or batch size, a position that is not finite, or a canvas
        that would not fit into memory; all before any work is done.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.stitching import stitch_patches
    >>> patches = np.full((3, 16, 16), 2 + 1j, np.complex64)
    >>> offsets_xy = np.array([[0.0, 0.0], [4.5, 0.0], [0.0, 3.0]])
    >>> image = stitch_patches(patches, offsets_xy, crop_size=8)
    >>> image.shape
    (16, 16)
    >>> complex(image[7, 7].round(3))
    (2+1j)
    """
    _checks.check_eager(patches, offsets_xy)
    flat = _without_channel(as_array_like(patches, "patches"))
    n_patches, patch_size = _checks.check_patches(flat)
    side = _checks.check_crop_size(crop_size, patch_size)
    positions = _checks.check_offsets(as_array_like(offsets_xy, "offsets"))
    _checks.check_counts(n_patches, len(positions))
    size = _first_size(batch_size, n_patches)
    canvas = Canvas.around(positions, crop_size=side, backend=backend)
    add_in_batches(canvas, flat, positions, batch_size=size, progress=progress)
    return canvas.image()


def reassemble_position(
    obj_tensor: Any,
    global_offsets: Any,
    M: int = 10,
    batch_size: BatchSize = None,
    *,
    chunk_size: int | None = None,
    backend: str | None = None,
    progress: Progress | None = None,
) -> tf.Tensor:
    """Stitch the central M x M pixels of patches into one image, as a tensor.

    Parameters
    ----------
    obj_tensor : (n, N, N, 1) complex64
        Patches, tensor or array.
    global_offsets : (n, 1, 2, 1) or (n, 1, 1, 2) float64
        Patch centres in pixels, **x before y**, x to the right and y down.
    M : int
        Side of the central square that is used, 0 < M <= N; odd sizes are welcome.
    batch_size : int, "auto" or None
        Patches that enter the canvas at once. None: one batch up to 1,000 patches, else "auto".
    chunk_size : int, optional
        Older spelling of `batch_size`.
    backend : {None, "cpu", "tensorflow"}
        None is the GPU if there is one, else the CPU.
    progress : Progress, optional
        Display that gets one stage.

    Returns
    -------
    tf.Tensor (S, S, 1) complex64
        See `stitch_patches`, which returns the same image as an array without importing TensorFlow.

    Raises
    ------
    TypeError, ValueError
        As `stitch_patches`.
    """
    import tensorflow as tf

    image = stitch_patches(
        obj_tensor,
        global_offsets,
        crop_size=M,
        batch_size=_merged_spellings(batch_size, chunk_size),
        backend=backend,
        progress=progress,
    )
    return tf.convert_to_tensor(Handover(image[..., np.newaxis]))  # pyright: ignore[reportArgumentType]


def _first_size(batch_size: BatchSize, n_patches: int) -> int | Literal["auto"]:
    if batch_size is None:
        return max(1, n_patches) if n_patches <= _ONE_BATCH else "auto"
    if isinstance(batch_size, str):
        if batch_size != "auto":
            raise ValueError(f"batch_size is {batch_size!r} but must be 'auto', None or a positive integer.")
        return "auto"
    size = _checks.check_integer(batch_size, "batch_size")
    if size < 1:
        raise ValueError(f"batch_size is {size} but must be at least 1; pass 'auto' to have it planned.")
    return size


def _merged_spellings(batch_size: BatchSize, chunk_size: int | None) -> BatchSize:
    if chunk_size is None:
        return batch_size
    if batch_size is not None:
        raise ValueError(
            f"batch_size={batch_size!r} and its older spelling chunk_size={chunk_size!r} were both given; "
            "pass batch_size alone."
        )
    warnings.warn("chunk_size is now called batch_size; pass batch_size.", FutureWarning, stacklevel=3)
    return chunk_size


def _without_channel(patches: Any) -> Any:
    """Drop the last axis of (n, N, N, 1) without copying or reading."""
    shape = tuple(patches.shape)
    if len(shape) != 4 or shape[-1] != 1:
        return patches
    if is_tensor(patches):
        import tensorflow as tf

        return tf.squeeze(patches, axis=-1)
    return patches[..., 0] if isinstance(patches, np.ndarray) else CropReader(patches)
