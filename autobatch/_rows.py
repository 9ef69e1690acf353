"""Rows of arrays of any library: slicing, picking, joining and padding along the first axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autobatch._structures import leaves, mapped


def n_rows(structure: Any, name: str) -> int:
    """Return the common length of all arrays in a structure.

    Raises
    ------
    ValueError
        If there is none, or they differ.
    """
    lengths = [int(leaf.shape[0]) for leaf in leaves(structure)]
    if not lengths:
        raise ValueError(f"{name} holds no array; pass one, or a structure of some.")
    if len(set(lengths)) > 1:
        raise ValueError(
            f"the arrays of {name} have {', '.join(map(str, lengths))} rows but must all have one for each item."
        )
    return lengths[0]


def is_array(value: Any) -> bool:
    """Return whether a value has rows: a shape of rank 1 or more, and slices."""
    if type(value).__name__ == "SparseTensor":
        return True
    shape = getattr(value, "shape", None)
    return shape is not None and hasattr(value, "__getitem__") and len(shape) > 0


def sliced(structure: Any, start: int, stop: int) -> Any:
    """Return rows ``[start, stop)`` of every array."""
    return mapped(lambda leaf: _slice(leaf, start, stop), structure)


def picked(structure: Any, indices: Any) -> Any:
    """Return the rows with these numbers, in this order, of every array."""
    return mapped(lambda leaf: _pick(leaf, indices), structure)


def joined(parts: Sequence[Any]) -> Any:
    """Return structures of equal form as one, row after row."""
    return parts[0] if len(parts) == 1 else mapped(lambda *rows: _join(rows), *parts)


def padded(structure: Any, n_wanted: int) -> Any:
    """Return every array with its last row repeated until there are `n_wanted` rows."""
    import numpy as np

    present = n_rows(structure, "the batch")
    if present == n_wanted:
        return structure
    indices = np.minimum(np.arange(n_wanted), present - 1)
    return picked(structure, indices)


def _slice(leaf: Any, start: int, stop: int) -> Any:
    if type(leaf).__name__ == "SparseTensor":
        import tensorflow as tf

        shape = leaf.dense_shape.numpy()
        return tf.sparse.slice(leaf, [start, *[0] * (len(shape) - 1)], [stop - start, *shape[1:]])
    return leaf[start:stop]


def _pick(leaf: Any, indices: Any) -> Any:
    import numpy as np

    if isinstance(leaf, np.ndarray):
        return leaf[indices]
    if type(leaf).__module__.startswith("tensorflow"):
        import tensorflow as tf

        return tf.gather(leaf, indices)
    # Files want their rows in rising order, each once.
    unique, places = np.unique(indices, return_inverse=True)
    return np.asarray(leaf[unique])[places]


def _join(rows: Sequence[Any]) -> Any:
    kind = type(rows[0]).__name__
    if kind in ("RaggedTensor", "SparseTensor"):
        import tensorflow as tf

        return tf.concat(rows, axis=0) if kind == "RaggedTensor" else tf.sparse.concat(0, list(rows))
    import numpy as np

    return np.concatenate([np.asarray(part) for part in rows])
