"""What `compute` returned: whether it is really there, whether it has the right length, and its way to the host."""

from __future__ import annotations

import sys
from typing import Any

from autobatch import _tensorflow
from autobatch._structures import leaves, mapped
from autobatch.errors import ResultLengthError

# What most results that are no arrays consist of; looked up by type, which is quick for long lists.
_PLAIN: frozenset[type] = frozenset((type(None), int, float, complex, bool, str, bytes))
# Several tensors that count as one; their numpy() would lose what they are.
_COMPOSITES = ("RaggedTensor", "SparseTensor")


def completed(result: Any) -> Any:
    """Return `result` once nothing of it is still being computed, so that its errors are raised here.

    TensorFlow in asynchronous mode, JAX and futures return before the work is done.
    """
    if type(result) in _PLAIN or type(result).__module__ == "numpy":
        return result
    _wait_for_tensorflow()
    _for_each_lazy(result)
    return result


def on_host(result: Any) -> Any:
    """Return `result` with the tensors in it as NumPy arrays that own their memory; the rest as it is."""
    kind = type(result)
    if kind in _PLAIN or (kind.__module__ == "numpy" and getattr(result, "base", None) is None):
        return result
    if not isinstance(result, (list, tuple, dict)):
        return _leaf_on_host(result)
    if all(_is_on_host(leaf) for leaf in leaves(result)):
        return result
    return mapped(_leaf_on_host, result)


def check_length(result: Any, start: int, stop: int, label: str) -> None:
    """Raise if an array in `result` has another number of rows than the batch has items.

    Raises
    ------
    ResultLengthError
        Names the shape that came back.
    """
    if type(result) in _PLAIN:
        return
    for leaf in leaves(result) if isinstance(result, (list, tuple, dict)) else (result,):
        if type(leaf) in _PLAIN:
            continue
        shape = getattr(leaf, "shape", ())
        if not isinstance(shape, tuple):
            shape = _as_tuple(shape)
        if shape and shape[0] != stop - start and isinstance(shape[0], int):
            raise ResultLengthError(_wrong_length(shape, start, stop, label))


def forget_asynchronous_error() -> None:
    """Let TensorFlow's asynchronous mode go on after an error that was caught; does nothing in the usual mode."""
    executor = _asynchronous_executor()
    if executor is not None:
        executor.clear_error()


def _wrong_length(shape: tuple[Any, ...], start: int, stop: int, label: str) -> str:
    return (
        f"{label!r}: items {start:,} to {stop - 1:,} are {stop - start:,}, but what came back has {shape[0]:,} rows "
        f"(shape {shape}); return one row per item (under a tf.distribute strategy predict_on_batch returns a copy "
        "from each replica: call autobatch.predict), or pass check_length=False if the rows are no items."
    )


def _as_tuple(shape: Any) -> tuple[Any, ...]:
    """Return TensorFlow's shapes, whose rank may be unknown, as a tuple; empty for what is no shape."""
    try:
        return tuple(shape)
    except (TypeError, ValueError):
        return ()


def _wait_for_tensorflow() -> None:
    executor = _asynchronous_executor()
    if executor is not None:
        executor.wait()


def _asynchronous_executor() -> Any | None:
    if not _tensorflow.is_started():
        return None
    from tensorflow.python.eager import context  # waiting has no public function

    executor = getattr(context.context(), "executor", None)
    return executor if executor is not None and executor.is_async() else None


def _for_each_lazy(result: Any) -> None:
    futures = sys.modules.get("concurrent.futures")
    for leaf in leaves(result):
        if type(leaf) in _PLAIN:
            continue
        wait = getattr(leaf, "block_until_ready", None)
        if wait is not None:
            wait()
        elif futures is not None and isinstance(leaf, futures.Future):
            leaf.result()


def _is_on_host(leaf: Any) -> bool:
    if type(leaf) in _PLAIN:
        return True
    return not _borrows(leaf) and not any(
        hasattr(leaf, name)
        for name in ("numpy", "block_until_ready", "__cuda_array_interface__", "_type_spec")
    )


def _leaf_on_host(leaf: Any) -> Any:
    if _is_on_host(leaf):
        return leaf
    if _borrows(leaf):
        return leaf.copy()
    if type(leaf).__name__ in _COMPOSITES:
        return _composite_on_host(leaf)
    if hasattr(leaf, "detach") and hasattr(leaf, "cpu"):  # PyTorch
        return leaf.detach().cpu().numpy()
    if callable(getattr(leaf, "numpy", None)):
        # Not asarray: TensorFlow then lends its own memory instead of giving a copy.
        return leaf.numpy()
    if hasattr(leaf, "block_until_ready"):
        import numpy as np

        return np.array(leaf)
    return leaf.get() if hasattr(leaf, "__cuda_array_interface__") else leaf


def _borrows(leaf: Any) -> bool:
    """Return whether a NumPy array is a view of memory that a framework owns."""
    owner = getattr(leaf, "base", None)
    while isinstance(owner, memoryview) or type(owner).__module__ == "numpy":
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return type(owner).__name__ in ("PyCapsule", "tensorflow_wrapper")


def _composite_on_host(leaf: Any) -> Any:
    """Return a ragged or sparse tensor with its parts in main memory."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        return tf.nest.map_structure(tf.identity, leaf, expand_composites=True)
