"""The graph of a saved Keras model, read as data: names, classes, settings and what feeds what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from ptycho.errors import DataError

_MAX_LAYERS = 2000
# The descriptions of these networks take some 50 KB, or a few MB with masks as numbers; parsed, a text takes many
# times its size.
MAX_TEXT = 16 << 20
CONVOLUTION = "Conv2D"
# Keras 2 writes one class for all operations and names the function; these have a class of their own in Keras 3.
_FUNCTIONS = {
    "nn.silu": "Silu",
    "math.multiply": "Multiply",
    "math.add": "Add",
    "__operators__.add": "Add",
    "__operators__.getitem": "GetItem",
}
_CONSTANT = "_CONSTANT_VALUE"


@dataclass(frozen=True)
class Slice:
    """A part of the last axis, as the limits of a Python slice."""

    start: int | None
    stop: int | None


@dataclass(frozen=True)
class Layer:
    """One entry of a model's ``layers``.

    Attributes
    ----------
    name : str
    kind : str
        The name of its class, or of its function in Keras 2; neither is looked up.
    settings : dict
        Its ``config``.
    operands : tuple of str, array or Slice
        What it is called with, in order: names of layers, constant numbers (float32) and a slice.
    n_calls : int
        How often it occurs in the graph; `operands` are those of all calls.
    options : dict
        Further arguments of its calls.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    operands: tuple[str | np.ndarray | Slice, ...]
    n_calls: int = 1
    options: Mapping[str, Any] | None = None

    @property
    def inbound(self) -> tuple[str, ...]:
        """The layers whose output it takes."""
        return tuple(dict.fromkeys(operand for operand in self.operands if isinstance(operand, str)))


@dataclass(frozen=True)
class Graph:
    """The layers of a model in the order of the file, and its outputs.

    Attributes
    ----------
    layers : dict of str to Layer
    outputs : tuple of str
        Names of the layers that give the model's outputs.
    name : str
        Where it was read from, for messages.
    """

    layers: Mapping[str, Layer]
    outputs: tuple[str, ...]
    name: str

    def ancestors(self, ends: Iterable[str]) -> list[Layer]:
        """Return the layers that `ends` depend on, themselves included, each after those that feed it.

        Raises
        ------
        graphlib.CycleError
            A layer feeds itself.
        """
        found: dict[str, tuple[str, ...]] = {}
        waiting = list(ends)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.layers[name].inbound
                waiting += found[name]
        return [self.layers[name] for name in TopologicalSorter(found).static_order()]

    def convolutions(self) -> list[str]:
        """Return the names of all convolutions in the order of the file."""
        return [layer.name for layer in self.layers.values() if layer.kind == CONVOLUTION]


def parse_graph(text: str | bytes, name: str) -> Graph:
    """Return the graph in a ``config.json`` or ``model_config``.

    Raises
    ------
    DataError
        The text is not JSON or describes no functional model.
    """
    try:
        if len(text) > MAX_TEXT:
            raise ValueError(f"{len(text)} characters, more than {MAX_TEXT}")
        return _graph_of(json.loads(text)["config"], name)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DataError(
            f"{name} does not describe a functional Keras model ({type(error).__name__}: {error}); "
            "name a model that PtychoPINN saved."
        ) from error


def _graph_of(config: Mapping[str, Any], name: str) -> Graph:
    entries = config["layers"]
    if len(entries) > _MAX_LAYERS:
        raise ValueError(f"{len(entries)} layers, more than {_MAX_LAYERS}")
    layers = {}
    for entry in entries:
        layer = _layer(entry)
        if layer.name in layers:
            raise ValueError(f"two layers are called {layer.name}")
        layers[layer.name] = layer
    outputs = config["output_layers"]
    # A single output is [name, node, tensor], several are a list of those.
    outputs = [outputs] if isinstance(outputs[0], str) else outputs
    graph = Graph(layers, tuple(str(output[0]) for output in outputs), name)
    unknown = {name for layer in layers.values() for name in layer.inbound} | set(graph.outputs)
    if unknown := unknown - layers.keys():
        raise ValueError(f"layers {sorted(unknown)} are used but not described")
    graph.ancestors(layers)
    return graph


def _layer(entry: Mapping[str, Any]) -> Layer:
    settings = {key: _plain(value) for key, value in entry["config"].items()}
    kind = str(entry["class_name"])
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        function = str(settings.get("function"))
        kind = _FUNCTIONS.get(function, f"{kind} of {function}")
    operands: list[str | np.ndarray | Slice] = []
    options: dict[str, Any] = {}
    for node in entry["inbound_nodes"]:
        found = _keras_3_call(node, options) if isinstance(node, Mapping) else _keras_2_call(node, options)
        operands += found
    name = str(entry.get("name") or settings["name"])
    return Layer(name, kind, settings, tuple(operands), len(entry["inbound_nodes"]), options)


def _plain(value: Any) -> Any:
    """Return `value` with tuples as lists, which both versions of Keras wrap in their own way."""
    if isinstance(value, Mapping) and value.get("class_name") == "__tuple__":
        items = value["items"] if "items" in value else value["config"]["value"]
        return [_plain(item) for item in items]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _keras_3_call(node: Mapping[str, Any], options: dict[str, Any]) -> Iterator[str | np.ndarray | Slice]:
    for argument in node["args"]:
        yield from _operands(argument)
    yield from _keywords(node.get("kwargs") or {}, options)


def _keras_2_call(node: Any, options: dict[str, Any]) -> Iterator[str | np.ndarray | Slice]:
    # An operation has one entry [name, node, tensor, keywords], a layer a list of them.
    entries = [node] if isinstance(node[0], str) else node
    for entry in entries:
        name, _, tensor = entry[:3]
        yield from _operands(tensor) if name == _CONSTANT else _operands([name, 0, tensor])
        for keywords in entry[3:]:
            yield from _keywords(keywords, options)


def _keywords(keywords: Mapping[str, Any], options: dict[str, Any]) -> Iterator[str | np.ndarray | Slice]:
    for key, value in keywords.items():
        if key in ("x", "y", "x1", "x2", "inputs", "key", "slice_spec"):
            yield from _operands(value)
        elif key not in ("name", "mask", "training") and value is not None:
            options[key] = value


def _operands(value: Any) -> Iterator[str | np.ndarray | Slice]:
    """Yield what one argument of a call holds: tensors of layers, a slice, or constant numbers."""
    value = _plain(value)
    if isinstance(value, Mapping):
        content = value.get("config", {})
        if "keras_history" in content:
            yield from _operands(content["keras_history"])
        elif "value" in content:
            yield from _operands(content["value"])
        else:
            raise ValueError(f"an argument is a {value.get('class_name')}")
    elif _is_tensor(value):
        if value[2] != 0:
            raise ValueError(f"output {value[2]} of layer {value[0]} is used, but layers have one")
        yield value[0]
    elif (found := _slice(value)) is not None:
        yield found
    elif isinstance(value, list) and any(isinstance(item, Mapping) or _is_tensor(item) for item in value):
        for item in value:
            yield from _operands(item)
    elif value is not None:
        yield _constant(value)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def _slice(value: Any) -> Slice | None:
    """Return the slice of the last axis that ``[..., start:stop]`` is saved as, else None."""
    match value:
        case [{"class_name": "__ellipsis__"}, {**limits}]:
            limits = limits.get("config", limits)
            start, stop, step = (limits[key] for key in ("start", "stop", "step"))
            if step is None and all(limit is None or type(limit) is int for limit in (start, stop)):
                return Slice(start, stop)
            raise ValueError(f"a slice is {start}:{stop}:{step}")
    return None


def _constant(value: Any) -> np.ndarray:
    constant = np.asarray(value)
    if constant.dtype.kind not in "iuf" or not (np.abs(constant) <= np.finfo(np.float32).max).all():
        raise ValueError(f"an argument is {str(value)[:50]!r}")
    return constant.astype(np.float32)
