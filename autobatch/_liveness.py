"""The memory of a traced TensorFlow graph: which tensors are alive together, functions and loops included."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

_logger = logging.getLogger(__name__)
# Operations whose result is their input under another name or shape.
_ALIASES = frozenset({"Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient"})
# A list of tensors is written in place, and made from a tensor it refers to the tensor's own memory.
_LIST_ALIASES = frozenset(
    {"TensorListSetItem", "TensorListPushBack", "TensorListFromTensor", "TensorListResize"}
)
_LISTS_READ_WHOLE = frozenset({"TensorListStack", "TensorListConcatV2", "TensorListGather"})
# Operations that write into their input's memory when nobody else reads it (the kernels call
# forward_input_or_allocate_output).
# fmt: off
_IN_PLACE = frozenset((
    "Add", "AddN", "AddV2", "BiasAdd", "Clip", "ClipByValue", "Conj", "Cos", "Elu", "Exp",
    "LeakyRelu", "Log", "Maximum", "Minimum", "Mul", "Neg", "RealDiv", "Relu", "Relu6", "Rsqrt",
    "Selu", "Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt", "Square", "Sub", "Tanh",
))
# fmt: on
# Weights and constants are in memory before the batch starts.
_LASTING = frozenset({"Const", "ReadVariableOp", "VarHandleOp", "VariableV2", "NoOp", "Assert"})
_CALLS = {"PartitionedCall": "f", "StatefulPartitionedCall": "f", "While": "body", "StatelessWhile": "body"}
_LOOPS = frozenset({"While", "StatelessWhile"})
_BRANCHES = {"If": ("then_branch", "else_branch"), "StatelessIf": ("then_branch", "else_branch")}
# Their work is done where the graph does not show it.
_OPAQUE = {
    "PyFunc": "Python functions",
    "EagerPyFunc": "Python functions",
    "PyFuncStateless": "Python functions",
    "XlaLaunch": "code compiled by XLA",
    "Case": "branches",
    "StatelessCase": "branches",
    "RemoteCall": "functions on other devices",
    "MapDefun": "mapped functions",
}
_STRING_BYTES = 24  # TensorFlow's handle of a text; the text itself is not in the allocator
_MOST_DEPTH = 30


@dataclass(frozen=True, kw_only=True)
class Peak:
    """What a graph needs at once.

    Attributes
    ----------
    peak_bytes : int
        Largest sum of tensors that are alive together, inputs and results included.
    largest_bytes, largest_elements : int
        The largest tensor by memory, and by number of elements.
    edge_bytes : int
        Inputs and results together.
    not_counted : frozenset of str
        What the sum leaves out, in words.
    has_loops : bool
        Whether there are loops, of which one turn is counted and the lists that they fill.
    """

    peak_bytes: int
    largest_bytes: int
    largest_elements: int
    edge_bytes: int
    not_counted: frozenset[str]
    has_loops: bool


@dataclass(eq=False)
class _Value:
    """A piece of memory that one step makes and others read."""

    n_bytes: int = 0
    n_elements: int = 0
    made_by: int = -1
    readers: list[int] = field(default_factory=list)


@dataclass
class _Step:
    kind: str
    inputs: list[_Value]
    outputs: list[_Value]


def peak_of(graph: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Peak:
    """Return the peak of a traced function.

    Each tensor is alive from the step that makes it to the last one that reads it. Two schedules are looked
    at, one by one and each as early as it can run, and the larger peak is taken.

    Parameters
    ----------
    graph : tf.Graph
        Traced for one size of batch, so that the shapes are known.
    inputs, outputs : sequence of tf.Tensor
        Its inputs, weights left out, and its results.
    """
    program = _Program()
    program.add(graph, {})
    end = len(program.steps)
    edges = {id(value): value for tensor in (*inputs, *outputs) for value in program.values_of(tensor)}
    results = [value for tensor in outputs for value in program.values_of(tensor)]
    for value in results:
        value.readers.append(end)
    early = program.earliest()
    schedules = [list(range(end + 1)), [*early, max(early, default=0) + 1]]
    tensors = [value for step in program.steps for value in step.outputs]
    return Peak(
        peak_bytes=max(program.largest_sum(schedule) for schedule in schedules),
        largest_bytes=max((value.n_bytes for value in tensors), default=0),
        largest_elements=max((value.n_elements for value in tensors), default=0),
        edge_bytes=sum(value.n_bytes for value in edges.values()),
        not_counted=frozenset(program.not_counted),
        has_loops=program.has_loops,
    )


class _Program:
    """A graph as a list of steps, with the bodies of its functions in place of the calls."""

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self.not_counted: set[str] = set()
        self.has_loops = False
        self._values: dict[Any, _Value] = {}

    def values_of(self, tensor: Any) -> list[_Value]:
        """Return the memory of a tensor; none if it is of no account."""
        value = self._values.get(tensor.ref())
        return [] if value is None else [value]

    def add(self, graph: Any, bound: dict[Any, _Value], depth: int = 0) -> None:
        """Append the steps of a graph; `bound` holds the memory of its inputs where a caller has made it."""
        self._values |= bound
        for operation in graph.get_operations():
            if operation.type in _LASTING or (operation.type == "Placeholder" and self._is_bound(operation)):
                continue
            names = [_CALLS[operation.type]] if operation.type in _CALLS else _BRANCHES.get(operation.type)
            if names is None:
                self._add_step(operation)
                continue
            self.has_loops |= operation.type in _LOOPS
            # The first input of a branch is what decides.
            arguments = operation.inputs if operation.type in _CALLS else list(operation.inputs)[1:]
            for name in names:
                self._add_call(operation, list(arguments), operation.get_attr(name).name, depth)

    def _is_bound(self, operation: Any) -> bool:
        return operation.outputs[0].ref() in self._values

    def _add_call(self, operation: Any, arguments: list[Any], name: str, depth: int) -> None:
        body = None if depth == _MOST_DEPTH else _body(operation.graph, name, arguments)
        if body is None:
            self.not_counted.add("functions that cannot be looked into")
            self._add_step(operation)
            return
        given = [self._values.get(argument.ref()) for argument in arguments]
        bound = {
            inner.ref(): value for inner, value in zip(body.inputs, given, strict=False) if value is not None
        }
        self.add(body, bound, depth + 1)
        for place, (outer, inner) in enumerate(zip(operation.outputs, body.outputs, strict=False)):
            value = self._values.get(inner.ref())
            # A list goes through a loop as one and the same.
            if operation.type in _LOOPS and outer.dtype.name == "variant" and given[place] is not None:
                value = given[place]
            if value is not None:
                self._values[outer.ref()] = value

    def _add_step(self, operation: Any) -> None:
        if operation.type in _OPAQUE:
            self.not_counted.add(_OPAQUE[operation.type])
        inputs = [self._values[tensor.ref()] for tensor in operation.inputs if tensor.ref() in self._values]
        if operation.type in _ALIASES | _LIST_ALIASES and inputs and len(operation.outputs) == 1:
            self._values[operation.outputs[0].ref()] = inputs[0]
            self._read(inputs, len(self.steps))
            self.steps.append(_Step(operation.type, inputs, []))
            return
        step = len(self.steps)
        outputs = [self._made(tensor, inputs, step) for tensor in operation.outputs]
        if operation.type in _LISTS_READ_WHOLE and inputs:
            # Only here is it known how long the list has become.
            inputs[0].n_bytes = max(inputs[0].n_bytes, outputs[0].n_bytes)
        self._read(inputs, step)
        self.steps.append(_Step(operation.type, inputs, outputs))

    def _made(self, tensor: Any, inputs: Iterable[_Value], step: int) -> _Value:
        value = _Value(made_by=step)
        self._values[tensor.ref()] = value
        kind = tensor.dtype.name
        if kind in ("resource", "variant"):
            return value
        if tensor.shape.is_fully_defined():
            value.n_elements = tensor.shape.num_elements()
            value.n_bytes = value.n_elements * (_STRING_BYTES if kind == "string" else tensor.dtype.size)
        else:
            # At least what it is made from, as a guess.
            value.n_bytes = sum(source.n_bytes for source in inputs)
            value.n_elements = sum(source.n_elements for source in inputs)
            self.not_counted.add("tensors of unknown length")
        if kind == "string":
            self.not_counted.add("texts")
        return value

    @staticmethod
    def _read(values: Iterable[_Value], step: int) -> None:
        for value in values:
            value.readers.append(step)

    def earliest(self) -> list[int]:
        """Return for each step the earliest moment at which its inputs can all be there."""
        moments: list[int] = []
        for step in self.steps:
            moments.append(1 + max((moments[value.made_by] for value in step.inputs), default=-1))
        return moments

    def largest_sum(self, moments: Sequence[int]) -> int:
        """Return the most bytes alive at one moment, for steps that run at the given moments."""
        change: dict[int, int] = {}
        for first, last, n_bytes in self._lives(moments):
            change[first] = change.get(first, 0) + n_bytes
            change[last + 1] = change.get(last + 1, 0) - n_bytes
        return max(accumulate(change[moment] for moment in sorted(change)), default=0)

    def _lives(self, moments: Sequence[int]) -> list[list[int]]:
        """Return first and last moment and size of each piece of memory."""
        lives: list[list[int]] = []
        held: dict[int, list[int]] = {}
        for place, step in enumerate(self.steps):
            reused = self._reused(step, held)
            for value in step.outputs:
                last = max((moments[reader] for reader in value.readers), default=moments[place])
                life = reused
                if life is None:
                    life = [moments[place], last, value.n_bytes]
                    lives.append(life)
                life[1] = max(life[1], last)
                held[id(value)] = life
        return lives

    @staticmethod
    def _reused(step: _Step, held: dict[int, list[int]]) -> list[int] | None:
        """Return the input's memory that the step writes its result into."""
        if step.kind not in _IN_PLACE or len(step.outputs) != 1:
            return None
        for value in step.inputs:
            if len(value.readers) == 1 and id(value) in held and value.n_bytes == step.outputs[0].n_bytes:
                return held[id(value)]
        return None


def _body(graph: Any, name: str, arguments: list[Any]) -> Any | None:
    """Return the graph of a function for arguments of these shapes; None if TensorFlow does not show it."""
    try:
        function = graph._get_function(name)
        body = getattr(function, "graph", None)
        if body is not None and _knows_shapes(body, arguments):
            return body
        # Traced, perhaps long ago and saved, for any size: propagate the sizes that it is called with.
        from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

        definition = getattr(function, "cached_definition", None) or function.definition
        shapes = [argument.shape for argument in arguments]
        with graph.as_default():
            return function_def_to_graph(
                _for_any_length(definition, body), input_shapes=shapes, include_library_functions=True
            )
    except Exception as error:  # noqa: BLE001 - there is no public door to a function's graph, and so no promise
        _logger.debug("%s cannot be looked into: %s", name, error)
        return None


def _for_any_length(definition: Any, body: Any | None) -> Any:
    """Return a copy of a function's definition with no shapes noted in it but those of the weights that it reads.

    Noted shapes win over those that are propagated, and what a handle of weights refers to no definition says:
    `body`, the function's own graph, knows it.
    """
    bare = type(definition)()
    bare.CopyFrom(definition)
    for described in (*bare.arg_attr.values(), *bare.node_def):
        if "_output_shapes" in described.attr:
            del described.attr["_output_shapes"]
    for node in bare.node_def:
        if body is not None and node.op == "ReadVariableOp":
            weights = body.get_operation_by_name(node.name).outputs[0]
            node.attr["_output_shapes"].list.shape.append(weights.shape.as_proto())
    return bare


def _knows_shapes(body: Any, arguments: list[Any]) -> bool:
    """Return whether a function was traced for arguments of the shapes that it is called with."""
    return all(
        inner.shape.is_fully_defined() or not outer.shape.is_fully_defined()
        for inner, outer in zip(body.inputs, arguments, strict=False)
    )
