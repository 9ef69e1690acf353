"""A network of this program's own, built from the graph that a file describes.

It has the layers that PtychoPINN's networks are made of, each with the settings that it has there. What a file
names is looked up in a table of this module and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.errors import DataError
from ptycho.models.legacy_bundle._graph import CONVOLUTION, Graph, Layer, Slice
from ptycho.models.legacy_bundle._words import FOREIGN_NETWORK, STORED_AS_CODE
from ptycho.models.networks import shapes_alone

if TYPE_CHECKING:
    import keras

# A mask has as many numbers as a frame has pixels; the largest detectors have some 4000 a side.
_MAX_SIDE = 8192
_MAX_CONSTANT_BYTES = 1 << 30
_ACTIVATIONS = ("linear", "relu", "sigmoid", "silu", "swish", "softplus", "tanh")
# Settings that a layer may have with one value only, the one that Keras has by default; the others are read.
_FIXED = {
    CONVOLUTION: {
        "strides": [1, 1],
        "padding": "same",
        "dilation_rate": [1, 1],
        "groups": 1,
        "use_bias": True,
        "data_format": "channels_last",
    },
    "MaxPooling2D": {"pool_size": [2, 2], "strides": [2, 2], "data_format": "channels_last"},
    "UpSampling2D": {"size": [2, 2], "interpolation": "nearest", "data_format": "channels_last"},
    "ZeroPadding2D": {"data_format": "channels_last"},
    "CenterMaskLayer": {"kind": "border"},
}


@dataclass(frozen=True)
class Built:
    """A network and its convolutions by their name in the file."""

    network: keras.Model
    convolutions: dict[str, keras.layers.Layer]


def outline(graph: Graph, ends: tuple[str, str]) -> Built:
    """Return what `build` does with the shapes of the weights but no numbers, in next to no memory."""
    with shapes_alone():
        return build(graph, ends)


def build(graph: Graph, ends: tuple[str, str]) -> Built:
    """Return the network from the one input that `ends` depend on to the images at `ends`.

    Raises
    ------
    DataError
        A layer is unknown, has a setting that its like in PtychoPINN never has, or does not fit what feeds it.
    """
    import keras

    layers = graph.ancestors(ends)
    builder = _Builder(graph.name)
    for layer in layers:
        builder.add(layer)
    values = builder.values
    inputs = [layer.name for layer in layers if layer.kind == "InputLayer"]
    if len(inputs) != 1 or any(isinstance(values[end], np.ndarray) for end in ends):
        raise DataError(
            f"the images of {graph.name} depend on {len(inputs)} inputs but must on one, the frames; "
            f"{FOREIGN_NETWORK}"
        )
    network = keras.Model(values[inputs[0]], [values[end] for end in ends])
    # See `build_network`: XLA would compile anew for every batch size.
    network.jit_compile = False
    return Built(network, builder.convolutions)


class _Builder:
    """The tensors and constants made so far, by the names of their layers."""

    def __init__(self, name: str) -> None:
        self.values: dict[str, Any] = {}
        self.convolutions: dict[str, Any] = {}
        self._name = name
        self._side = 0
        self._n_constant_bytes = 0

    def add(self, layer: Layer) -> None:
        make = _MAKERS.get(layer.kind)
        if make is None:
            raise DataError(f"layer {layer.name} in {self._name} is a {layer.kind}; {_reason(layer)}")
        if layer.n_calls > 1 or layer.options:
            raise self._refusal(layer, f"is called {layer.n_calls} times with {dict(layer.options or {})}")
        for setting, expected in _FIXED.get(layer.kind, {}).items():
            if (found := layer.settings.get(setting, expected)) != expected:
                raise self._refusal(layer, f"has {setting} {found} but must have {expected}")
        operands = [self.values[item] if isinstance(item, str) else item for item in layer.operands]
        try:
            value = make(layer, operands)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise self._refusal(layer, f"cannot be built ({reason})") from error
        if layer.kind == CONVOLUTION:
            self.convolutions[layer.name], value = value
        self._keep(layer, value)

    def _keep(self, layer: Layer, value: Any) -> None:
        side = max(value.shape[1:3], default=0)
        if layer.kind == "InputLayer":
            self._side = max(self._side, side)
        elif side > self._side:
            # Frames of N pixels bound the memory that a network takes, whatever the file says.
            raise self._refusal(layer, f"gives images of {side} pixels from frames of {self._side}")
        if isinstance(value, np.ndarray):
            self._n_constant_bytes += value.nbytes
        if self._n_constant_bytes > _MAX_CONSTANT_BYTES:
            raise self._refusal(layer, f"is one of masks of more than {_MAX_CONSTANT_BYTES} bytes")
        self.values[layer.name] = value

    def _refusal(self, layer: Layer, what: str) -> DataError:
        return DataError(f"layer {layer.name} in {self._name} {what}; {FOREIGN_NETWORK}")


def _reason(layer: Layer) -> str:
    return STORED_AS_CODE if layer.kind == "Lambda" else FOREIGN_NETWORK


def is_known(layer: Layer) -> bool:
    """Return whether PtychoPINN's networks have layers of this kind."""
    return layer.kind in _MAKERS


def input_shape(layer: Layer) -> list[int | None]:
    """Return the shape, batch axis first, that an ``InputLayer`` of either version of Keras declares."""
    return layer.settings.get("batch_shape", layer.settings.get("batch_input_shape"))  # pyright: ignore[reportReturnType]


def _input(layer: Layer, operands: Sequence[Any]) -> Any:
    import keras

    _, height, width, channels = input_shape(layer)
    if max(_count(height), _count(width)) > _MAX_SIDE:
        raise ValueError(f"frames of {height} x {width} pixels, more than {_MAX_SIDE} a side")
    return keras.Input((height, width, _count(channels)))


def _identity(layer: Layer, operands: Sequence[Any]) -> Any:
    (value,) = operands
    return value


def _convolution(layer: Layer, operands: Sequence[Any]) -> Any:
    import keras

    height, width = layer.settings["kernel_size"]
    convolution = keras.layers.Conv2D(
        _count(layer.settings["filters"]),
        (_count(height), _count(width)),
        padding="same",
        activation=_activation_name(layer.settings["activation"]),
        dtype="float32",
    )
    return convolution, convolution(_image(operands))


def _pooling(layer: Layer, operands: Sequence[Any]) -> Any:
    import keras

    if (padding := layer.settings["padding"]) not in ("same", "valid"):
        raise ValueError(f"its padding is {padding!r}")
    return keras.layers.MaxPooling2D(2, padding=padding, dtype="float32")(_image(operands))


def _upsampling(layer: Layer, operands: Sequence[Any]) -> Any:
    from ptycho.models._upsampling import upsampling

    return upsampling(dtype="float32")(_image(operands))


def _zero_padding(layer: Layer, operands: Sequence[Any]) -> Any:
    import keras

    rows, columns = layer.settings["padding"]
    padding = tuple((_count(first, 0), _count(last, 0)) for first, last in (rows, columns))
    return keras.layers.ZeroPadding2D(padding, dtype="float32")(_image(operands))


def _slice(layer: Layer, operands: Sequence[Any]) -> Any:
    image, part = operands
    if not isinstance(part, Slice):
        raise ValueError("it takes no slice of the last axis")
    return _image([image])[..., part.start : part.stop]


def _silu(layer: Layer, operands: Sequence[Any]) -> Any:
    return _activated("silu", 1.0, operands)


def _activation(layer: Layer, operands: Sequence[Any]) -> Any:
    settings = layer.settings
    name = settings.get("activation_name", settings.get("activation"))
    return _activated(_activation_name(name), float(settings.get("scale", 1.0)), operands)


def _activated(name: str, scale: float, operands: Sequence[Any]) -> Any:
    import keras

    if not math.isfinite(scale):
        raise ValueError(f"its scale is {scale}")
    image = keras.layers.Activation(name, dtype="float32")(_image(operands))
    return image if scale == 1 else keras.layers.Rescaling(scale, dtype="float32")(image)


def _border_mask(layer: Layer, operands: Sequence[Any]) -> Any:
    """One in the border, zero in the central half, whatever image it is called with."""
    side = _image(operands).shape[1]
    mask = np.ones((1, side, side, 1), np.float32)
    mask[:, side // 4 : side - side // 4, side // 4 : side - side // 4] = 0
    return mask


def _product(layer: Layer, operands: Sequence[Any]) -> Any:
    import keras

    return keras.ops.multiply(*_pair(operands))


def _sum(layer: Layer, operands: Sequence[Any]) -> Any:
    import keras

    return keras.ops.add(*_pair(operands))


_MAKERS: dict[str, Callable[[Layer, Sequence[Any]], Any]] = {
    "InputLayer": _input,
    # The intensity scale is divided out again: in inference it is not there.
    "IntensityScaler": _identity,
    CONVOLUTION: _convolution,
    "MaxPooling2D": _pooling,
    "UpSampling2D": _upsampling,
    "ZeroPadding2D": _zero_padding,
    "GetItem": _slice,
    "Silu": _silu,
    "Activation": _activation,
    "ActivationLayer": _activation,
    "CenterMaskLayer": _border_mask,
    "Multiply": _product,
    "Add": _sum,
}


def _image(operands: Sequence[Any]) -> Any:
    (image,) = operands
    if isinstance(image, (np.ndarray, Slice)):
        raise ValueError("it is called with numbers where an image is needed")
    return image


def _pair(operands: Sequence[Any]) -> tuple[Any, Any]:
    """Return the two operands, of which one is an image that the other does not enlarge."""
    first, second = operands
    if isinstance(first, Slice) or isinstance(second, Slice):
        raise ValueError("it is called with a slice")
    images = [tuple(item.shape[1:]) for item in operands if not isinstance(item, np.ndarray)]
    # The batch axis of an image has no length yet; a constant must not have a longer one than 1.
    whole = [item.shape if isinstance(item, np.ndarray) else (1, *item.shape[1:]) for item in operands]
    if np.broadcast_shapes(*whole) not in [(1, *image) for image in images]:
        raise ValueError(f"its operands have the shapes {whole[0]} and {whole[1]}")
    return first, second


def _activation_name(value: Any) -> str:
    if not isinstance(value, str) or value not in _ACTIVATIONS:
        raise ValueError(f"its activation is {value!r} but must be one of {', '.join(_ACTIVATIONS)}")
    return value


def _count(value: Any, smallest: int = 1) -> int:
    if type(value) is not int or not smallest <= value < 1 << 24:
        raise ValueError(f"a size is {value!r}")
    return value
