"""The cost of a batch through a Keras model, from the tensors that are alive together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from autobatch._types import BatchCost

if TYPE_CHECKING:
    import keras

# Two sizes give the slope and the intercept; static shapes of size 1 would hide broadcasts.
_TRACED_SIZES = (2, 4)

# XLA gives every batch one block that holds its tensors side by side. Measured on convolutional networks
# it is up to 1.34 times the sum that is alive together (docs/autobatch.md).
_XLA_FACTOR = 1.35

# Operations whose result is their input under another name or shape.
_ALIASES = frozenset({"Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "NoOp"})
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
_LASTING = frozenset({"Const", "ReadVariableOp", "VarHandleOp", "VariableV2"})


def keras_model_cost(model: keras.Model, *, input_shapes: Any = None) -> BatchCost:
    """Estimate the peak memory of ``model.predict_on_batch`` without running it.

    The model is traced for two batch sizes. In each trace every tensor is alive from the operation that
    makes it to the last one that reads it; the peak is the largest sum of tensors alive together, branches
    running side by side as TensorFlow's executor does. It holds neither the weights, which are in memory
    already, nor the libraries' scratch space.

    Parameters
    ----------
    model : keras.Model
        A built model on the TensorFlow backend.
    input_shapes : nested tuples, optional
        Shape of one item for each input, without the batch axis, for models whose inputs have axes of
        unknown length.

    Returns
    -------
    BatchCost
        With ``source="estimated"``.

    Raises
    ------
    ValueError
        If the shape of the inputs is not known.
    """
    traces = [_peak_of(_operations(model, size, input_shapes)) for size in _TRACED_SIZES]
    small, large = _TRACED_SIZES
    is_compiled = bool(getattr(model, "jit_compile", False))
    factor = _XLA_FACTOR if is_compiled else 1.0
    slope = max(1, math.ceil(factor * (traces[1].peak_bytes - traces[0].peak_bytes) / (large - small)))
    return BatchCost(
        bytes_per_item=slope,
        fixed_bytes=max(0, math.ceil(factor * traces[0].peak_bytes) - small * slope),
        largest_tensor_bytes_per_item=slope if is_compiled else math.ceil(traces[1].largest_bytes / large),
        source="estimated",
    )


@dataclass(frozen=True, kw_only=True)
class _Peak:
    peak_bytes: int
    largest_bytes: int


@dataclass
class _Buffer:
    """A piece of memory with the steps between which it is alive."""

    n_bytes: int
    first: int
    last: int


def _operations(model: keras.Model, batch_size: int, input_shapes: Any) -> list[Any]:
    import tensorflow as tf

    specs = _input_specs(model, batch_size, input_shapes)
    traced = tf.function(lambda inputs: model(inputs, training=False)).get_concrete_function(specs)
    return traced.graph.get_operations()


def _input_specs(model: keras.Model, batch_size: int, input_shapes: Any) -> Any:
    import keras
    import tensorflow as tf

    if not model.built or getattr(model, "inputs", None) is None:
        raise ValueError(
            f"the inputs of model {model.name!r} are not known yet; build it by calling it on a batch, "
            "or make it with keras.Input."
        )
    shapes = iter(_item_shapes(model, input_shapes))
    return keras.tree.map_structure(
        lambda tensor: tf.TensorSpec((batch_size, *next(shapes)), tensor.dtype), model.input
    )


def _item_shapes(model: keras.Model, input_shapes: Any) -> list[tuple[int, ...]]:
    known = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if input_shapes is not None:
        given = [input_shapes] if all(isinstance(side, int) for side in input_shapes) else list(input_shapes)
        if len(given) != len(known):
            raise ValueError(f"input_shapes holds {len(given)} shapes but the model has {len(known)} inputs.")
        known = [tuple(shape) for shape in given]
    if any(side is None for shape in known for side in shape):
        raise ValueError(
            f"the model {model.name!r} takes items of shape {known}; pass input_shapes with a number for each None."
        )
    return known


def _peak_of(operations: list[Any]) -> _Peak:
    """Return the larger of the peaks of two schedules: one by one, and each as early as it can run."""
    one_by_one = {operation: step for step, operation in enumerate(operations)}
    early: dict[Any, int] = {}
    for operation in operations:
        early[operation] = 1 + max((early[tensor.op] for tensor in operation.inputs), default=-1)
    schedules = [_buffers(operations, steps) for steps in (one_by_one, early)]
    return _Peak(
        peak_bytes=max(_largest_sum(buffers) for buffers in schedules),
        largest_bytes=max((buffer.n_bytes for buffer in schedules[0]), default=0),
    )


def _buffers(operations: list[Any], steps: dict[Any, int]) -> list[_Buffer]:
    end = max(steps.values())
    held: dict[Any, _Buffer] = {}
    buffers: list[_Buffer] = []
    for operation in operations:
        if operation.type in _LASTING:
            continue
        reused = _reused(operation, held)
        for output in operation.outputs:
            buffer = reused
            if buffer is None:
                buffer = _Buffer(n_bytes=_bytes_of(output), first=steps[operation], last=steps[operation])
                buffers.append(buffer)
            # What nobody reads is a result.
            last_read = max((steps[reader] for reader in output.consumers()), default=end)
            buffer.last = max(buffer.last, last_read)
            held[output.ref()] = buffer
    return buffers


def _reused(operation: Any, held: dict[Any, _Buffer]) -> _Buffer | None:
    """Return the input's memory that the operation hands on or writes its result into."""
    if operation.type not in _ALIASES | _IN_PLACE or len(operation.outputs) != 1:
        return None
    n_bytes = _bytes_of(operation.outputs[0])
    for tensor in operation.inputs:
        is_free = operation.type in _ALIASES or len(tensor.consumers()) == 1
        if is_free and tensor.ref() in held and _bytes_of(tensor) == n_bytes:
            return held[tensor.ref()]
    return None


def _bytes_of(tensor: Any) -> int:
    """Return the size of a tensor; one of unknown shape counts as its operation's inputs together."""
    if tensor.dtype.name in ("resource", "variant", "string"):
        return 0
    if tensor.shape.is_fully_defined():
        return tensor.shape.num_elements() * tensor.dtype.size
    return sum(_bytes_of(source) for source in tensor.op.inputs)


def _largest_sum(buffers: list[_Buffer]) -> int:
    change: dict[int, int] = {}
    for buffer in buffers:
        change[buffer.first] = change.get(buffer.first, 0) + buffer.n_bytes
        change[buffer.last + 1] = change.get(buffer.last + 1, 0) - buffer.n_bytes
    return max(accumulate(change[step] for step in sorted(change)), default=0)
