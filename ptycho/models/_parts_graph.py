"""From frames to what is needed of their patches as one graph of TensorFlow: the rest never leaves the device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ptycho._compiled.handover import Handover
from ptycho.models.patch_parts import PatchLight, PatchNeeds, PatchParts
from ptycho.models.physics import merge_patches, polar
from ptycho.models.predictor import support_factor

logger = logging.getLogger(__name__)


class _Asked(NamedTuple):
    """What a graph is traced for, apart from the size of a batch."""

    frame_shape: tuple[int, ...]
    dtype: tf.DType
    n_channels: int
    needs: PatchNeeds


class PartsGraph:
    """A network and what follows it, each traced once for every size of a batch.

    Parameters
    ----------
    network : callable
        Takes frames as a tensor and returns the images of the patches as tensors (B, N, N, 1 or C), in the order of
        `outputs`.
    outputs : tuple of str
        What the images are, as in `NetworkDescription`.
    support_size : int, optional
        As for `ptycho.models.physics.merge_patches`.
    can_halve : bool
        Whether the network takes any number of frames, so that on a processor a batch may be taken in halves, side by
        side. At the end of each layer all cores wait for the last one; with two halves they go on with the other
        (docs/benchmarks.md). A card is busy with a whole batch.
    """

    def __init__(
        self,
        network: Callable[[Any], Sequence[Any]],
        outputs: tuple[str, ...],
        support_size: int | None = None,
        *,
        can_halve: bool = False,
    ) -> None:
        self._network, self._outputs, self._support_size = network, outputs, support_size
        self._can_halve = can_halve
        self._asked: _Asked | None = None
        # Of a whole batch, and of one in halves, which a single frame does not make.
        self._traced: dict[bool, Any] = {}

    def can_take(
        self, frame_shape: tuple[int, ...], dtype: tf.DType, n_channels: int, needs: PatchNeeds
    ) -> bool:
        """Return whether the graph can be traced: it knows then that its images are patches of the frames' size.

        Parameters
        ----------
        frame_shape : tuple of int
            Of an item of the tensor that the network takes.
        dtype : tf.DType
            Of that tensor.
        n_channels : int
            Number C of frames of a group.
        needs : PatchNeeds
        """
        return self._traced_for(_Asked(frame_shape, dtype, n_channels, needs), halves=False) is not None

    def __call__(
        self, frames: np.ndarray, dtype: tf.DType, offsets_yx: np.ndarray, needs: PatchNeeds, n_whole: int
    ) -> PatchParts:
        """Return the parts of the patches of frames that it can take, on the host; `n_whole` patches are whole."""
        halves = self._can_halve and not needs.on_card and len(frames) > 1
        graph = self._traced_for(_Asked(frames.shape[1:], dtype, offsets_yx.shape[1], needs), halves=halves)
        assert graph is not None  # the caller has asked, or built the network
        crops, whole, recomputed = graph(
            tf.convert_to_tensor(Handover(frames), dtype),  # pyright: ignore[reportArgumentType]
            tf.constant(offsets_yx, tf.float32),
            tf.constant(n_whole, tf.int32),
        )
        return PatchParts(crops.numpy(), whole.numpy(), None if needs.light is None else recomputed.numpy())

    def _traced_for(self, asked: _Asked, *, halves: bool) -> Any:
        if self._asked != asked:
            # What an earlier run needed goes with its graphs.
            self._asked, self._traced = asked, {}
        if halves not in self._traced:
            self._traced[halves] = self._trace(asked, halves=halves)
        return self._traced[halves]

    def _trace(self, asked: _Asked, *, halves: bool) -> Any | None:
        frames, count = tf.TensorSpec((None, *asked.frame_shape), asked.dtype), tf.TensorSpec((), tf.int32)
        offsets = tf.TensorSpec((None, asked.n_channels, 2), tf.float32)

        def parts(frames: Any, offsets_yx: Any, n_whole: Any) -> tuple[Any, Any, Any]:
            return self._parts(frames, offsets_yx, n_whole, asked.needs)

        try:
            function = in_halves(parts) if halves else parts
            return tf.function(function, autograph=False).get_concrete_function(frames, offsets, count)
        except (ValueError, TypeError) as error:
            # On the host the same is said in words, or it is found to do after all.
            logger.debug("what follows the network is computed on the host: %s", error)
            return None

    def _parts(self, frames: Any, offsets_yx: Any, n_whole: Any, needs: PatchNeeds) -> tuple[Any, Any, Any]:
        images = dict(zip(self._outputs, self._network(frames), strict=True))
        side = _common_side(images, n_channels=offsets_yx.shape[1])
        central, everything = needs.central(side), slice(None)
        cut = self._cutter(images, offsets_yx, side)
        recomputed = (
            tf.zeros((0,))
            if needs.light is None
            else recomputed_frames(cut(everything, everything), needs.light)
        )
        return cut(everything, central), cut(slice(n_whole), everything), recomputed

    def _cutter(self, images: Mapping[str, Any], offsets_yx: Any, side: int) -> Callable[[slice, slice], Any]:
        """Return what gives some rows and columns of some patches; of patches alone no more becomes complex."""
        support_size = self._support_size
        if any(image.shape[-1] != 1 for image in images.values()):
            merged = merge_patches(_joined(images), offsets_yx, side, support_size=support_size)
            return lambda patches, pixels: merged[patches, pixels, pixels]
        factor = None if support_size is None else support_factor(side, support_size)

        def cut(patches: slice, pixels: slice) -> Any:
            alone = _joined({name: image[patches, pixels, pixels, 0] for name, image in images.items()})
            return alone if factor is None else alone * tf.constant(factor[pixels, pixels], tf.complex64)

        return cut


def in_halves(
    parts: Callable[[Any, Any, Any], tuple[Any, ...]],
) -> Callable[[Any, Any, Any], tuple[Any, ...]]:
    """Return a function of a batch that gives its halves to `parts` side by side.

    Parameters
    ----------
    parts : callable
        Takes frames (B, ...), their offsets (B, C, 2) and of how many patches the whole is needed; returns tensors
        with rows for patches.

    Returns
    -------
    callable
        Of the same arguments, for any B of 2 or more: some layers refuse an empty batch.
    """

    def both(frames: Any, offsets_yx: Any, n_whole: Any) -> tuple[Any, ...]:
        middle = tf.shape(frames)[0] // 2
        first = parts(frames[:middle], offsets_yx[:middle], tf.minimum(n_whole, middle))
        second = parts(frames[middle:], offsets_yx[middle:], tf.maximum(n_whole - middle, 0))
        return tuple(tf.concat(pair, 0) for pair in zip(first, second, strict=True))

    return both


def _common_side(images: Mapping[str, Any], *, n_channels: int) -> int:
    """Return the side N of images (B, N, N, 1 or C).

    Raises
    ------
    ValueError
        They are something else, or do not say what they are.
    """
    shapes = {tuple(image.shape) for image in images.values()}
    sides = {side for shape in shapes for side in shape[1:3]}
    if len(sides) != 1 or None in sides or not {shape[3] for shape in shapes} <= {1, n_channels}:
        raise ValueError(f"images of shapes {sorted(map(str, shapes))}")
    return sides.pop()


def _joined(images: Mapping[str, Any]) -> Any:
    """Return the patches complex64 that images make together; see `ptycho.models.predictor.joined`."""
    if "complex" in images:
        return tf.cast(images["complex"], tf.complex64)
    if "phase" in images:
        return polar(*(tf.cast(images[name], tf.float32) for name in ("amplitude", "phase")))
    return tf.complex(*(tf.cast(images[name], tf.float32) for name in ("real", "imaginary")))


def recomputed_frames(patches: Any, light: PatchLight) -> Any:
    """Return the amplitudes (B, N, N) float32 that patches (B, N, N) diffract to; see `PatchLight.frames_of`."""
    side, trusted = len(light.probe), light.trusted
    # The sign pattern moves the DC term of the transform to pixel (N/2, N/2); the modulus is untouched.
    signs = (-1.0) ** np.add.outer(np.arange(side), np.arange(side))
    probe = tf.constant((light.probe * signs / side).astype(np.complex64))
    if light.trusted_size < side:
        inside = patches[:, trusted, trusted]
        means = tf.einsum("bij,ij->b", inside, tf.constant(light.weights, tf.complex64))
        border = trusted.start
        within = np.pad(np.ones((light.trusted_size, light.trusted_size), np.complex64), border)
        filled = tf.pad(inside, [(0, 0), (border, border), (border, border)])
        patches = filled + means[:, None, None] * tf.constant(1 - within)
    return tf.abs(tf.signal.fft2d(patches * probe))
