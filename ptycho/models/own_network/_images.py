"""What a network gave, as images (B, N, N, C) in the order of its description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ptycho.errors import DataError


def images_in(given: Any, outputs: tuple[str, ...], name: str) -> list[np.ndarray]:
    """Return one image for each of `outputs` out of what the network called `name` gave.

    Parameters
    ----------
    given : array, sequence or mapping of arrays
        Of NumPy, TensorFlow, JAX or PyTorch: (B, N, N), (B, N, N, C) or (B, C, N, N) each; of two images one array
        may hold both, one after the other along its channels.
    outputs : tuple of str
        As in `NetworkDescription`.
    name : str
        For messages.

    Returns
    -------
    list of (B, N, N, C) complex64 or float32

    Raises
    ------
    DataError
        They are not what `outputs` says.
    """
    arrays = [_on_host(array) for array in _in_order(given, outputs)]
    shapes = [array.shape for array in arrays]
    try:
        images = [_channels_last(array) for array in arrays]
        if len(images) == 1 and len(outputs) == 2:
            images = _halves(images[0])
        if len(images) != len(outputs):
            raise ValueError(f"{len(images)} arrays")
        return [_of_kind(image, output) for image, output in zip(images, outputs, strict=True)]
    except ValueError as error:
        raise DataError(
            f"{name} gave {' and '.join(map(str, shapes))} of {arrays[0].dtype if arrays else 'nothing'} ({error}) "
            f"but is described as giving {' and '.join(outputs)}; describe its outputs as they are."
        ) from error


def _in_order(given: Any, outputs: tuple[str, ...]) -> list[Any]:
    if isinstance(given, Mapping):
        return [given[name] for name in outputs] if set(given) == set(outputs) else list(given.values())
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _on_host(array: Any) -> np.ndarray:
    # A tensor of PyTorch that is on a card or has a gradient refuses to become an array by itself.
    if hasattr(array, "detach"):
        array = (
            array.detach().cpu().resolve_conj() if hasattr(array, "resolve_conj") else array.detach().cpu()
        )
    return np.asarray(array)


def _channels_last(array: np.ndarray) -> np.ndarray:
    axis = channel_axis(array.shape)
    return array[..., None] if axis is None else np.moveaxis(array, axis, -1)


def channel_axis(shape: Sequence[int | None]) -> int | None:
    """Return which axis of (B, N, N), (B, N, N, C) or (B, C, N, N) counts channels, -1 or 1; None without one.

    Raises
    ------
    ValueError
        The shape is none of these.
    """
    if len(shape) == 3 and shape[1] == shape[2]:
        return None
    if len(shape) == 4 and shape[1] == shape[2]:
        return -1
    if len(shape) == 4 and shape[2] == shape[3]:
        return 1
    raise ValueError(f"shape {tuple(shape)} is none of (B, N, N), (B, N, N, C) and (B, C, N, N)")


def _halves(image: np.ndarray) -> list[np.ndarray]:
    n_channels = image.shape[-1]
    if n_channels % 2:
        raise ValueError(f"{n_channels} channels are no two images")
    return [image[..., : n_channels // 2], image[..., n_channels // 2 :]]


def _of_kind(image: np.ndarray, output: str) -> np.ndarray:
    is_complex = np.iscomplexobj(image)
    if is_complex != (output == "complex"):
        raise ValueError(f"{'complex' if is_complex else 'real'} numbers for {output}")
    return image.astype(np.complex64 if is_complex else np.float32, copy=False)


def tensors_in(given: Any, outputs: tuple[str, ...]) -> list[Any]:
    """Return what `images_in` does of tensors in a graph that is being traced, as tensors (B, N, N, C).

    Raises
    ------
    ValueError
        They are not what `outputs` says.
    """
    import tensorflow as tf

    images: list[Any] = []
    for tensor in _in_order(given, outputs):
        axis = channel_axis(tensor.shape.as_list())
        images.append(
            tensor[..., None] if axis is None else tf.transpose(tensor, (0, 2, 3, 1)) if axis == 1 else tensor
        )
    if len(images) == 1 and len(outputs) == 2:
        images = _halves(images[0])
    if [image.dtype.is_complex for image in images] != [output == "complex" for output in outputs]:
        raise ValueError(f"{len(images)} images of {[image.dtype.name for image in images]}")
    return images
