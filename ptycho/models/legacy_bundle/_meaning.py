"""What the layers of a saved network mean: which give amplitude and phase, and how a patch is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from ptycho.errors import DataError
from ptycho.models.legacy_bundle._graph import Graph, Layer
from ptycho.models.legacy_bundle._network import input_shape
from ptycho.models.legacy_bundle._words import FOREIGN_NETWORK
from ptycho.models.networks import ModelKind

_AMPLITUDE, _PHASE, _OBJECT, _PLACED = "amp", "phi", "obj", "padded_obj_2"
_PLACING = ("ReassemblePatchesLayer", "PadReconstructionLayer")


@dataclass(frozen=True)
class Meaning:
    """How the images of a network make a patch.

    Attributes
    ----------
    kind : "pinn" or "baseline"
    graph : Graph
        The network, in which no layer that `ends` depend on is code.
    ends : tuple of str
        The layers with the amplitude and the phase image.
    patch_size, n_channels : int
        Side N of a frame in pixels, and how many frames C enter together.
    combine : {"polar", "rectangular"}
    is_merged : bool
        Whether the training put patches together and counted the central half of each alone.
    assumptions : tuple of str
        What the file does not say, a sentence each.
    """

    kind: ModelKind
    graph: Graph
    ends: tuple[str, str]
    patch_size: int
    n_channels: int
    combine: Literal["polar", "rectangular"]
    is_merged: bool
    assumptions: tuple[str, ...] = ()

    @property
    def gridsize(self) -> int:
        """The network sees gridsize² frames at once."""
        return math.isqrt(self.n_channels)


def has_names_of_a_pinn(graph: Graph) -> bool:
    """Return whether the layers have the names by which a PINN of PtychoPINN's is known."""
    return {_AMPLITUDE, _PHASE, _OBJECT, _PLACED} <= graph.layers.keys()


def meaning_of(graph: Graph) -> Meaning:
    """Return what the network of `graph` computes.

    Raises
    ------
    DataError
        It is neither a PINN nor a baseline of PtychoPINN's.
    """
    if has_names_of_a_pinn(graph):
        return _pinn(graph)
    if len(graph.outputs) == 2:
        side, channels = _input_shape(graph, graph.outputs)
        return Meaning(
            "baseline", graph, (graph.outputs[0], graph.outputs[1]), side, channels, "polar", False
        )
    raise DataError(
        f"{graph.name} has {len(graph.outputs)} outputs and no layers {_AMPLITUDE}, {_PHASE}, {_OBJECT} and "
        f"{_PLACED}, but a baseline has two outputs, amplitude and phase, and a PINN has these layers; "
        f"{FOREIGN_NETWORK}"
    )


def _pinn(graph: Graph) -> Meaning:
    graph, assumptions = _settled(graph)
    joined, placed = graph.layers[_OBJECT], graph.layers[_PLACED]
    if joined.kind != "CombineComplexLayer" or len(joined.inbound) != 2 or placed.kind not in _PLACING:
        raise DataError(
            f"layers {_OBJECT} and {_PLACED} in {graph.name} are a {joined.kind} of {len(joined.inbound)} "
            f"images and a {placed.kind} but must be a CombineComplexLayer of two and one of "
            f"{', '.join(_PLACING)}; {FOREIGN_NETWORK}"
        )
    side, channels = _input_shape(graph, joined.inbound)
    return Meaning(
        kind="pinn",
        graph=graph,
        ends=(joined.inbound[0], joined.inbound[1]),
        patch_size=side,
        n_channels=channels,
        combine="polar" if joined.settings["use_polar"] is True else "rectangular",
        is_merged=placed.kind == "ReassemblePatchesLayer",
        assumptions=tuple(assumptions),
    )


def _settled(graph: Graph) -> tuple[Graph, list[str]]:
    """Return `graph` with its four last steps as layers of known settings, and in words what was assumed."""
    steps, taken_as = {}, []
    for name in (_AMPLITUDE, _PHASE, _OBJECT, _PLACED):
        steps[name] = graph.layers[name]
        if steps[name].kind == "Lambda":
            kind, settings, meant = _default(steps[name])
            steps[name] = replace(steps[name], kind=kind, settings=settings)
            taken_as.append(f"{name} as {meant}")
    assumptions = []
    if taken_as:
        assumptions.append(
            "the file holds its last steps as code, which is not run; taken as PtychoPINN had them by default: "
            f"{', '.join(taken_as)}"
        )
    if steps[_OBJECT].settings.get("use_polar") is None:
        steps[_OBJECT] = replace(steps[_OBJECT], settings={"use_polar": False})
        assumptions.append(
            "the file does not say use_polar; patches are amplitude + i * phase, as the version that saved it made "
            "them, where a later PtychoPINN would make amplitude * exp(i * phase) of the same file"
        )
    return replace(graph, layers={**graph.layers, **steps}), assumptions


def _default(layer: Layer) -> tuple[str, dict[str, Any], str]:
    """Return class, settings and words of the step that `layer` was when such steps were stored as code."""
    if layer.name == _AMPLITUDE:
        return "ActivationLayer", {"activation_name": "sigmoid", "scale": 1.0}, "sigmoid"
    if layer.name == _PHASE:
        return "ActivationLayer", {"activation_name": "tanh", "scale": math.pi}, "pi * tanh"
    if layer.name == _OBJECT:
        return "CombineComplexLayer", {"use_polar": True}, "amplitude * exp(i * phase)"
    # Only what puts patches together needs to know where they lie.
    if len(layer.inbound) > 1:
        return _PLACING[0], {}, "putting patches together"
    return _PLACING[1], {}, "the patch alone"


def _input_shape(graph: Graph, ends: tuple[str, ...]) -> tuple[int, int]:
    """Return the side N of a frame and the number of channels C."""
    inputs = [layer for layer in graph.ancestors(ends) if layer.kind == "InputLayer"]
    shape = input_shape(inputs[0]) if inputs else None
    match shape:
        case [_, int(height), int(width), int(channels)] if (
            height == width and height > 0 and channels > 0 and math.isqrt(channels) ** 2 == channels
        ):
            return height, channels
    raise DataError(
        f"the input of {graph.name} has shape {shape} but must be (batch, N, N, C), C a square number; "
        f"{FOREIGN_NETWORK}"
    )
