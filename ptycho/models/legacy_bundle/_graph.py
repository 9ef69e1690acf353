"""The graph of a saved Keras model, read as data: names, classes, settings and what feeds what."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ptycho.errors import DataError

_MAX_LAYERS = 2000
# The descriptions of these networks take some 50 KB; parsed, a text takes many times its size.
_MAX_TEXT = 16 << 20
CONVOLUTION = "Conv2D"


@dataclass(frozen=True)
class Layer:
    """One entry of a model's ``layers``.

    Attributes
    ----------
    name : str
    kind : str
        The name of its class; no class is looked up.
    settings : dict
        Its ``config``.
    inbound : tuple of str
        The layers whose output it takes.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    inbound: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """The layers of a model in the order of the file, and its outputs.

    Attributes
    ----------
    layers : dict of str to Layer
    outputs : tuple of str
        Names of the layers that give the model's outputs.
    source : str
        Where it was read from, for messages.
    """

    layers: Mapping[str, Layer]
    outputs: tuple[str, ...]
    source: str

    def ancestors(self, ends: Iterable[str]) -> list[Layer]:
        """Return the layers that `ends` depend on, themselves included."""
        found: dict[str, Layer] = {}
        waiting = list(ends)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.layers[name]
                waiting += found[name].inbound
        return list(found.values())

    def convolutions(self) -> list[str]:
        """Return the names of all convolutions in the order of the file."""
        return [layer.name for layer in self.layers.values() if layer.kind == CONVOLUTION]


def parse_graph(text: str | bytes, source: str) -> Graph:
    """Return the graph in a ``config.json`` or ``model_config``.

    Raises
    ------
    DataError
        The text is not JSON or describes no functional model.
    """
    try:
        if len(text) > _MAX_TEXT:
            raise ValueError(f"{len(text)} characters, more than {_MAX_TEXT}")
        return graph_of(json.loads(text)["config"], source)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DataError(
            f"{source} does not describe a functional Keras model ({type(error).__name__}: {error}); "
            "copy the file again or name another."
        ) from error


def graph_of(config: Mapping[str, Any], source: str) -> Graph:
    """Return the graph in the ``config`` of a functional model."""
    entries = config["layers"]
    if len(entries) > _MAX_LAYERS:
        raise ValueError(f"{len(entries)} layers, more than {_MAX_LAYERS}")
    layers = {}
    for entry in entries:
        settings = dict(entry["config"])
        name = str(entry.get("name") or settings["name"])
        inbound = tuple(dict.fromkeys(_inbound(entry["inbound_nodes"])))
        layers[name] = Layer(name, str(entry["class_name"]), settings, inbound)
    outputs = config["output_layers"]
    # A single output is [name, node, tensor], several are a list of those.
    outputs = [outputs] if isinstance(outputs[0], str) else outputs
    graph = Graph(layers, tuple(output[0] for output in outputs), source)
    unknown = {name for layer in layers.values() for name in layer.inbound} | set(graph.outputs)
    if unknown := unknown - layers.keys():
        raise ValueError(f"layers {sorted(unknown)} are used but not described")
    return graph


def _inbound(nodes: Any) -> Iterable[str]:
    """Yield the names of layers in ``inbound_nodes`` of Keras 3 and of Keras 2."""
    waiting = [nodes]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            history = node.get("keras_history") or node.get("config", {}).get("keras_history")
            if history:
                yield history[0]
            else:
                waiting += node.values()
        elif isinstance(node, (list, tuple)):
            if len(node) in (3, 4) and isinstance(node[0], str) and isinstance(node[1], int):
                yield node[0]
                waiting += node[3:]
            else:
                waiting += node


@dataclass(frozen=True)
class Wiring:
    """The convolutions of an encoder with two branches, in an order that depends on their wiring alone.

    Attributes
    ----------
    names : tuple of str
        Encoder, amplitude branch, phase branch, each from input to output. Where a branch divides, the
        convolution that ends it comes before the longer path.
    links : tuple of tuple of int
        For each convolution the convolutions that feed it, as indices into `names`.
    n_encoder : int
        How many of them are the encoder's.
    """

    names: tuple[str, ...]
    links: tuple[tuple[int, ...], ...]
    n_encoder: int


def wiring(graph: Graph, amplitude: str, phase: str) -> Wiring:
    """Return the convolutions on the way to the layers `amplitude` and `phase`, and on what leaves it."""
    feeding = {name: _nearest_convolutions(graph, name) for name in graph.convolutions()}
    fed: dict[str, list[str]] = {name: [] for name in feeding}
    for name, sources in feeding.items():
        for source in sources:
            fed[source].append(name)
    depth = _depths(feeding, fed)
    behind = [
        {layer.name for layer in graph.ancestors([end]) if layer.kind == CONVOLUTION}
        for end in (amplitude, phase)
    ]
    encoder = behind[0] & behind[1]
    parts = [encoder, *(_downstream(branch - encoder, fed) for branch in behind)]

    def place(name: str) -> tuple[int, bool]:
        return depth.get(name, 0), bool(fed[name])

    names = tuple(name for part in parts for name in sorted(part, key=place))
    index = {name: position for position, name in enumerate(names)}
    links = tuple(tuple(sorted(index.get(source, -1) for source in feeding[name])) for name in names)
    return Wiring(names, links, len(encoder))


def _nearest_convolutions(graph: Graph, name: str) -> list[str]:
    """Return the convolutions whose output reaches `name` without passing another."""
    found: dict[str, None] = {}
    waiting, seen = list(graph.layers[name].inbound), set()
    while waiting:
        layer = graph.layers[waiting.pop()]
        if layer.kind == CONVOLUTION:
            found[layer.name] = None
        elif layer.name not in seen:
            seen.add(layer.name)
            waiting += layer.inbound
    return list(found)


def _depths(feeding: Mapping[str, list[str]], fed: Mapping[str, list[str]]) -> dict[str, int]:
    level = [name for name, sources in feeding.items() if not sources]
    depth: dict[str, int] = {}
    while level:
        depth |= dict.fromkeys(level, max(depth.values(), default=-1) + 1)
        level = list({name: None for parent in level for name in fed[parent] if name not in depth})
    return depth


def _downstream(starts: Collection[str], fed: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += fed[name]
    return found
