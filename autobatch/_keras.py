"""The cost of a batch through a Keras model, from the tensors that are alive together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from autobatch._liveness import Peak, peak_of
from autobatch._types import BatchCost

if TYPE_CHECKING:
    pass

# Two sizes give the slope and the intercept; static shapes of size 1 would hide broadcasts.
_TRACED_SIZES = (2, 4)

# XLA gives every batch one block that holds its tensors side by side. Measured on convolutional networks
# it is up to 1.34 times the sum that is alive together (docs/autobatch.md).
_XLA_FACTOR = 1.35

# How many times the estimate the real peak was at most (docs/autobatch.md): kernels take scratch space and copies
# that no graph shows, and of a loop one turn is counted.
_UNCERTAINTY = 1.8
_UNCERTAINTY_WITH_LOOPS = 2.5


def keras_model_cost(model: Any, *, input_shapes: Any = None, inputs: Any = None) -> BatchCost:
    """Estimate the peak memory of ``model.predict_on_batch`` without running it.

    The model is traced, or looked at as it was traced, for two batch sizes. In each every tensor is alive
    from the operation that makes it to the last one that reads it; the peak is the largest sum of tensors
    alive together, branches running side by side as TensorFlow's executor does. Functions are looked into;
    of a loop one turn is counted and the lists that it fills. It holds neither the weights, which are in
    memory already, nor the libraries' scratch space.

    Parameters
    ----------
    model : keras.Model or callable
        On the TensorFlow backend: functional, Sequential or subclassed; or a function that can be traced. Of a
        function that was traced for batches of any size already (`get_concrete_function`), and so predicts too, the
        lengths of its tensors are worked out and nothing of it is traced again.
    input_shapes : nested tuples, optional
        Shape of one item for each input, without the batch axis, for models whose inputs have axes of
        unknown length.
    inputs : nested structure of arrays, optional
        An example of what the model is given, for one that does not know its inputs, and for functions.
        Only shapes without the first axis and dtypes are used.

    Returns
    -------
    BatchCost
        With ``source="estimated"`` and an `uncertainty`. What could not be counted is named in
        `not_counted`; a run then measures instead.

    Raises
    ------
    ValueError
        If the shape of the inputs is not known, or if the model cannot be traced.
    """
    small, large = _TRACED_SIZES  # items
    traces = [_traced(model, _specs(model, size, input_shapes, inputs)) for size in _TRACED_SIZES]
    is_compiled = bool(getattr(model, "jit_compile", False))
    factor = _XLA_FACTOR if is_compiled else 1.0
    # peak(n) = fixed + n · slope through both traces, in bytes.
    slope = max(1, math.ceil(factor * (traces[1].peak_bytes - traces[0].peak_bytes) / (large - small)))
    has_loops = traces[1].has_loops
    return BatchCost(
        bytes_per_item=slope,
        fixed_bytes=max(0, math.ceil(factor * traces[0].peak_bytes) - small * slope),
        largest_tensor_bytes_per_item=slope if is_compiled else math.ceil(traces[1].largest_bytes / large),
        largest_tensor_elements_per_item=math.ceil(traces[1].largest_elements / large),
        # NumPy's arrays and TensorFlow's copies of them.
        host_bytes_per_item=math.ceil(2 * traces[1].edge_bytes / large),
        source="estimated",
        uncertainty=_UNCERTAINTY_WITH_LOOPS if has_loops else _UNCERTAINTY,
        not_counted=tuple(sorted(traces[1].not_counted)),
        in_turns=has_loops,
    )


def _traced(model: Any, specs: Any) -> Peak:
    import keras
    import tensorflow as tf

    is_keras = isinstance(model, keras.layers.Layer)
    call = (lambda inputs: model(inputs, training=False)) if is_keras else model
    try:
        traced = tf.function(call, autograph=not is_keras).get_concrete_function(specs)
    except Exception as error:
        raise ValueError(
            f"{_name(model)} cannot be traced ({type(error).__name__}: {_last_line(error)}); pass inputs with "
            "an example of what it is given, or leave the cost away to have the first batches measured."
        ) from error
    given = traced.inputs[: len(tf.nest.flatten(specs))]
    return peak_of(traced.graph, given, traced.outputs)


def _last_line(error: Exception) -> str:
    """Return where AutoGraph's text, which begins with the user's code, says what happened."""
    lines = str(error).strip().splitlines() or [""]
    return lines[-1].strip()[:200]


def _name(model: Any) -> str:
    name = getattr(model, "name", None) or getattr(model, "__name__", None)
    return f"the model {name!r}" if isinstance(name, str) else f"the {type(model).__name__}"


def _specs(model: Any, batch_size: int, input_shapes: Any, inputs: Any) -> Any:
    """Return what the model is traced with: its inputs' structure with `batch_size` items each."""
    import keras
    import tensorflow as tf

    structure = _example_specs(inputs) if inputs is not None else _own_specs(model)
    shapes = iter(_item_shapes(model, structure, input_shapes))
    return keras.tree.map_structure(
        lambda spec: tf.TensorSpec((batch_size, *next(shapes)), spec.dtype), structure
    )


def _example_specs(inputs: Any) -> Any:
    import keras
    import numpy as np
    import tensorflow as tf

    def spec(array: Any) -> Any:
        has_both = hasattr(array, "shape") and hasattr(array, "dtype")
        array = array if has_both else np.asarray(array)
        if len(array.shape) < 1:
            raise ValueError(
                f"inputs holds a {type(array).__name__} of shape () but its first axis must be the items."
            )
        kind = getattr(array.dtype, "kind", "")
        return tf.TensorSpec(array.shape, tf.string if kind in "OSU" and kind else array.dtype)

    return keras.tree.map_structure(spec, inputs)


def _own_specs(model: Any) -> Any:
    """Return the structure of a model's inputs: declared, or as they were when it was built."""
    import keras
    import tensorflow as tf

    declared = _declared(model)
    if declared is not None:
        return keras.tree.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), declared)
    shapes = _built_shapes(model)
    if shapes is None:
        raise ValueError(
            f"the inputs of {_name(model)} are not known yet; pass inputs with an example of what it is given, "
            "build it by calling it on a batch, or make it with keras.Input."
        )
    dtype = getattr(model, "input_dtype", None) or "float32"
    return keras.tree.map_shape_structure(lambda shape: tf.TensorSpec(shape, dtype), shapes)


def _declared(model: Any) -> Any | None:
    """Return the symbolic inputs of a functional or Sequential model in their structure."""
    if not getattr(model, "built", False):
        return None
    functional = getattr(model, "_functional", None) or model  # what a Sequential model wraps
    structure = getattr(functional, "_inputs_struct", None)
    if structure is not None:
        return structure
    try:
        return model.input
    except (AttributeError, ValueError):
        return None


def _built_shapes(model: Any) -> Any | None:
    """Return the shapes that a subclassed model was built with, in their structure, if it was."""
    config = getattr(model, "get_build_config", lambda: None)()
    if not getattr(model, "built", False) or not isinstance(config, dict) or len(config) != 1:
        return None
    return next(iter(config.values()))


def _item_shapes(model: Any, structure: Any, input_shapes: Any) -> Iterator[tuple[int, ...]]:
    import keras

    known = [tuple(spec.shape[1:]) for spec in keras.tree.flatten(structure)]
    if input_shapes is not None:
        is_single = all(isinstance(side, int) for side in input_shapes)
        given = [input_shapes] if is_single else list(input_shapes)
        if len(given) != len(known):
            raise ValueError(f"input_shapes holds {len(given)} shapes but the model has {len(known)} inputs.")
        known = [tuple(shape) for shape in given]
    if any(side is None for shape in known for side in shape):
        raise ValueError(
            f"{_name(model)} takes items of shape {known}; pass input_shapes with a number for each None."
        )
    yield from known
