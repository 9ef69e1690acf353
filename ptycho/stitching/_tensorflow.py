"""The stitching sum as a TensorFlow graph, for GPUs and XLA.

One scatter per batch, patch-major: on a CPU and under `enable_op_determinism` the additions into one pixel
happen in the order of the patches, so the sum has the same bits for every batch size.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho._compiled.handover import aligned_empty
from ptycho.stitching._cpu import add_corner_weights
from ptycho.stitching._geometry import Placement, crop_start
from ptycho.stitching._patch_reading import CropReader, is_tensor, sliceable

if TYPE_CHECKING:
    import tensorflow as tf

# Peak of the temporaries per patch pixel, by the bytes of a canvas pixel: the tensors take 33 and 44. With what the
# allocator's chunks have in excess, 45 and 59 were measured for complex64 and complex128, 40 and 69 under XLA.
_BYTES_PER_PIXEL = {8: 48, 16: 68}
# The whole canvas is part of the concatenated indices, int32.
_INDEX_BYTES = 4
# TensorFlow's allocator splits no chunk that exceeds a tensor by less than this and by less than the tensor.
_CHUNK_EXCESS = 2**27
# Larger batches were slower, for fresh memory has to be mapped in; smaller ones copy the canvas more often.
_WORTH_HAVING_BYTES = 2**30
_LARGEST_INDEX = 2**31 - 1


class TensorFlowSums:
    """Sums of bilinearly shifted crops in a tensor on TensorFlow's default device.

    A batch is computed into a new tensor that replaces the old one only when it is committed: running out of
    memory leaves the sums as they were.

    Parameters
    ----------
    jit_compile : bool
        Compile with XLA. Batches are then padded to powers of two, so that few shapes are compiled.
    """

    @property
    def device(self) -> str | None:
        """None, autobatch's word for the first GPU, else the host: TensorFlow's own choice."""
        return None

    def __init__(
        self, shape_yx: tuple[int, int], *, crop_size: int, dtype: np.dtype, jit_compile: bool = False
    ) -> None:
        """Make empty sums; `dtype` is complex64 or complex128."""
        import tensorflow as tf

        self._shape_yx, self._crop_size, self._jit_compile = shape_yx, crop_size, jit_compile
        # A crop flush with the lower right corner reaches, with weight zero, one row and one pixel further.
        n_pixels = shape_yx[0] * shape_yx[1] + shape_yx[1] + 1
        if n_pixels > _LARGEST_INDEX:
            raise ValueError(
                f"a canvas of {shape_yx[0]}x{shape_yx[1]} pixels has more than TensorFlow's 32-bit indices "
                "can address; stitch it with backend='cpu'."
            )
        self._flat = tf.zeros([n_pixels], tf.as_dtype(dtype))  # (H W + W + 1,)

    @property
    def values(self) -> np.ndarray:
        """The sums: (H, W) complex64 or complex128."""
        height, width = self._shape_yx
        return self._flat.numpy()[: height * width].reshape(height, width)

    @values.setter
    def values(self, values: np.ndarray) -> None:
        import tensorflow as tf

        scratch = np.zeros(self._flat.shape[0] - values.size, values.dtype)
        self._flat = tf.convert_to_tensor(np.concatenate([values.ravel(), scratch]))

    def sliceable(self, patches: Any) -> Any:
        """Return `patches` as they are, a file as a reader of crops: tensors are sliced where they live."""
        return sliceable(patches, self._crop_size)

    def batch_bytes(self, patches: Any) -> tuple[int, int]:
        """Device memory for a batch: bytes per patch, and bytes whatever the number of patches."""
        value_bytes = self._flat.dtype.size
        per_patch = _BYTES_PER_PIXEL[value_bytes] * (self._crop_size + 1) ** 2
        # Padding to a power of two at most doubles a batch.
        padding = 2 if self._jit_compile else 1
        # The canvas in front of the updates, the same of the indices, and the new canvas. Each batch finds other
        # chunks for them than the one before; the three together were measured to take up to half as much again.
        tensors = self._flat.shape[0] * (2 * value_bytes + _INDEX_BYTES)
        return padding * per_patch, tensors + min(tensors // 2, 2 * _CHUNK_EXCESS)

    def largest_batch(self, patches: Any) -> int:
        """Patches whose indices fit into 32 bits and whose temporaries outweigh the copy of the canvas."""
        per_patch, fixed_bytes = self.batch_bytes(patches)
        # The fixed bytes are three to four copies of the canvas.
        worth_having = max(_WORTH_HAVING_BYTES, 4 * fixed_bytes)
        return max(1, min(worth_having // per_patch, _LARGEST_INDEX // (self._crop_size + 1) ** 2))

    def stage(self, patches: Any, placement: Placement) -> tuple[tf.Tensor, tf.Tensor, Placement]:
        """Compute the sums with these patches in; returns them and which patches were finite."""
        n_patches, given = len(placement), placement
        patches = self._loaded(patches)
        if self._jit_compile:
            patches, placement = _padded(patches, placement, bucket(n_patches))
        graph = added_graph(int(patches.shape[1]), self._crop_size, self._jit_compile)
        flat, finite = graph(
            self._flat,
            patches,
            placement.top_left.astype(np.int32),
            placement.fraction,
            np.int32(self._shape_yx[1]),
        )
        return flat, finite[:n_patches], given

    def _loaded(self, patches: Any) -> Any:
        """Return a tensor as it is, anything else as its crops alone in an array that can be handed over."""
        crops = self.sliceable(patches)
        if is_tensor(crops):
            return crops
        if not isinstance(crops, CropReader):
            crops = CropReader(crops, self._crop_size)
        loaded = aligned_empty(crops.shape, np.complex64)
        loaded[...] = crops[:]
        return loaded

    def commit(
        self, staged: tuple[tf.Tensor, tf.Tensor, Placement], corner_weights: np.ndarray
    ) -> np.ndarray:
        """Replace the sums by the staged ones and add the weights to `corner_weights`; returns which were finite."""
        self._flat, finite_tensor, placement = staged
        finite = finite_tensor.numpy()
        add_corner_weights(corner_weights, placement, finite)
        return finite


def bucket(n_patches: int) -> int:
    """Smallest power of two that holds `n_patches`."""
    return 1 << max(0, n_patches - 1).bit_length()


@functools.lru_cache(maxsize=16)
def added_graph(patch_size: int, crop_size: int, jit_compile: bool) -> Any:
    """Return the traced form of `added`; it is kept, so that a second canvas does not trace again."""
    import tensorflow as tf

    return tf.function(
        functools.partial(added, crop_size=crop_size),
        jit_compile=jit_compile,
        reduce_retracing=not jit_compile,
    )


def added(
    flat: tf.Tensor,
    patches: tf.Tensor,
    top_left: tf.Tensor,
    fraction: tf.Tensor,
    width: tf.Tensor,
    *,
    crop_size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Add shifted crops to a canvas, in any kind of TensorFlow graph.

    Parameters
    ----------
    flat : (H W + W + 1,) complex64 or complex128
        Rows of the canvas one after the other; the rest is scratch.
    patches : (n, N, N) complex64
    top_left : (n, 2) int32
        Canvas (row, column) of the first crop pixel.
    fraction : (n, 2) float64
        Sub-pixel part of the position, in [0, 1).
    width : () int32
        W.
    crop_size : int
        M.

    Returns
    -------
    flat : as given, with the patches in
    finite : (n,) bool
        Which patches were added; the others hold an infinity or a NaN.
    """
    import tensorflow as tf

    first = crop_start(int(patches.shape[1]), crop_size)  # pyright: ignore[reportArgumentType]
    crop = patches[:, first : first + crop_size, first : first + crop_size]  # (n, M, M)
    finite = tf.reduce_all(
        tf.math.is_finite(tf.math.real(crop)) & tf.math.is_finite(tf.math.imag(crop)), axis=[1, 2]
    )
    accepted = tf.cast(finite, fraction.dtype)  # (n,) 0 or 1
    blended = _shifted(crop, fraction[:, 0], accepted, axis=1)  # (n, M + 1, M)
    blended = _shifted(blended, fraction[:, 1], tf.ones_like(accepted), axis=2)  # (n, M + 1, M + 1)
    updates = tf.reshape(tf.cast(blended, flat.dtype), [-1])  # (n (M + 1)²,)
    # The canvas goes in front of the updates: each pixel is then the old sum plus its patches in their order,
    # which a separate sum per batch would not be. This op is four times as fast as a scatter on a CPU.
    # Made one after the other: side by side, blended patches, indices and values would raise the peak.
    with tf.control_dependencies([updates]):
        pixels = tf.concat([tf.range(tf.size(flat)), _pixel_indices(top_left, width, crop_size)], axis=0)
    with tf.control_dependencies([pixels]):
        values = tf.concat([flat, updates], axis=0)  # as long as `pixels`: canvas, then patches
    return tf.math.unsorted_segment_sum(values, pixels, tf.size(flat)), finite


def _shifted(crop: tf.Tensor, fraction: tf.Tensor, weight: tf.Tensor, *, axis: int) -> tf.Tensor:
    """Shift each crop by a fraction of a pixel along one axis, which grows by one; weight 0 drops a crop."""
    import tensorflow as tf

    after, before = [[0, 0], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]]
    after[axis], before[axis] = [0, 1], [1, 0]
    # out[r] = (1 - f) crop[r] + f crop[r - 1], with zeros beside the crop.
    kept = tf.cast((1 - fraction) * weight, crop.dtype)[:, tf.newaxis, tf.newaxis]
    moved = tf.cast(fraction * weight, crop.dtype)[:, tf.newaxis, tf.newaxis]
    # multiply_no_nan: infinity times a weight of zero has to be zero here.
    return tf.math.multiply_no_nan(tf.pad(crop, after), kept) + tf.math.multiply_no_nan(
        tf.pad(crop, before), moved
    )


def _pixel_indices(top_left: tf.Tensor, width: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Flat canvas indices of every footprint pixel, patch by patch: (n (M + 1)²,) int32."""
    import tensorflow as tf

    corner = top_left[:, 0] * width + top_left[:, 1]  # (n,)
    side = tf.range(crop_size + 1)
    footprint = side[:, tf.newaxis] * width + side[tf.newaxis, :]  # (M + 1, M + 1)
    return tf.reshape(corner[:, tf.newaxis, tf.newaxis] + footprint, [-1])


def _padded(patches: Any, placement: Placement, size: int) -> tuple[Any, Placement]:
    """Fill a batch up with patches of zeros at the canvas' corner: they add nothing."""
    import tensorflow as tf

    extra = size - len(placement)
    if extra == 0:
        return patches, placement
    return tf.pad(patches, [[0, extra], [0, 0], [0, 0]]), Placement(
        np.pad(placement.top_left, [(0, extra), (0, 0)]), np.pad(placement.fraction, [(0, extra), (0, 0)])
    )
