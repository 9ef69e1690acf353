"""Where the items of `map_batches` come from: arrays with known length, or a stream that is read as it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

from autobatch import _tensorflow
from autobatch._results import on_host
from autobatch._rows import is_array, joined, n_rows, sliced
from autobatch._rows import picked as picked_rows
from autobatch._structures import leaves, mapped

Elements = Literal["batches", "items"]
Collate = Callable[[list[Any]], Any]


class Source(Protocol):
    """Items by their number."""

    n_items: int | None

    def take(self, start: int, stop: int) -> Any:
        """Return items ``[start, stop)`` as one structure of arrays, or as `collate` makes it."""
        ...

    def pick(self, indices: Any) -> Any:
        """Return the items with these numbers."""
        ...


class ArraySource:
    """Arrays, memory maps, HDF5 data sets, tensors, nested as one likes."""

    def __init__(self, structure: Any) -> None:
        self._structure = structure
        self.n_items: int | None = n_rows(structure, "x")

    def take(self, start: int, stop: int) -> Any:
        """Return rows ``[start, stop)``."""
        return sliced(self._structure, start, stop)

    def pick(self, indices: Any) -> Any:
        """Return the rows with these numbers."""
        return picked_rows(self._structure, indices)


class ListSource:
    """A list whose elements are the items."""

    def __init__(self, items: list[Any], collate: Collate) -> None:
        self._items, self._collate = items, collate
        self.n_items: int | None = len(items)

    def take(self, start: int, stop: int) -> Any:
        """Return items ``[start, stop)``, collated."""
        return self._collate(self._items[start:stop])

    def pick(self, indices: Any) -> Any:
        """Return the items with these numbers, collated."""
        return self._collate([self._items[index] for index in indices])


class StreamSource:
    """An iterable whose length nobody knows; holds what was read until it is committed.

    Parameters
    ----------
    elements : iterable
        Batches of any size, or single items.
    kind : {"batches", "items"}
        Which of the two.
    collate : callable
        Makes a batch of single items.
    """

    n_items: int | None = None

    def __init__(self, elements: Iterable[Any], kind: Elements, collate: Collate) -> None:
        self._iterator = iter(elements)
        self._kind, self._collate = kind, collate
        self._parts: list[Any] = []
        self._lengths: list[int] = []
        self._first, self._end = 0, 0
        self._failed_at: int | None = None

    def supply(self, stop: int) -> int:
        """Read until item ``stop - 1`` is there; return up to which item there are any."""
        while self._end < stop and self._read():
            pass
        return min(stop, self._end)

    def drop(self, start: int) -> None:
        """Forget the items before `start`; they are not asked for again."""
        while self._lengths and self._first + self._lengths[0] <= start:
            self._first += self._lengths.pop(0)
            self._parts.pop(0)

    def take(self, start: int, stop: int) -> Any:
        """Return items ``[start, stop)``, which `supply` has read."""
        parts, first = [], self._first
        for part, length in zip(self._parts, self._lengths, strict=True):
            begin, end = max(start, first), min(stop, first + length)
            if begin < end:
                parts.append(part if self._kind == "items" else sliced(part, begin - first, end - first))
            first += length
        return self._collate(parts) if self._kind == "items" else joined(parts)

    def pick(self, indices: Any) -> Any:
        """A stream has no order but its own."""
        raise NotImplementedError

    def _read(self) -> bool:
        if self._failed_at is not None:
            raise ValueError(
                f"x failed after item {self._failed_at:,} and cannot be read on; pass a new one, and "
                f"start={self._failed_at} to leave out what is done."
            )
        try:
            element = next(self._iterator)
        except StopIteration:
            return False
        except BaseException:
            # A generator that has raised says next time that it is at its end, which would be taken for success.
            self._failed_at = self._end
            raise
        part = element if self._kind == "items" else mapped(_as_rows, _inputs_of(element))
        length = 1 if self._kind == "items" else n_rows(part, "an element of x")
        self._parts.append(part)
        self._lengths.append(length)
        self._end += length
        return True


def source_of(x: Any, elements: Elements, collate: Collate | None) -> Source:
    """Return `x` as a source.

    Raises
    ------
    TypeError
        If it is nothing that holds items.
    ValueError
        If it is endless, or its arrays have different lengths.
    """
    if elements not in ("batches", "items"):
        raise ValueError(f'elements is {elements!r} but must be "batches" or "items".')
    as_batch = collate or stacked
    if _is_dataset(x):
        return StreamSource(_finite(x), elements, as_batch)
    if _is_sequence_of_batches(x):
        return StreamSource(_batches_of(x), elements, as_batch)
    if is_array(x):
        return ArraySource(_as_rows(x))
    if elements == "items" and isinstance(x, (list, tuple)):
        return ListSource(list(x), as_batch)
    if isinstance(x, (list, tuple, Mapping)):
        return ArraySource(_structure_of(x))
    if isinstance(x, Iterable) and not isinstance(x, (str, bytes)):
        return StreamSource(x, elements, as_batch)
    raise TypeError(
        f"x is a {type(x).__name__} but must be an array, a nested structure of arrays, a tf.data.Dataset, a "
        "keras.utils.PyDataset or an iterable of batches."
    )


def stacked(items: list[Any]) -> Any:
    """Return single items as one structure of arrays, each with the items along its first axis."""
    import numpy as np

    return mapped(lambda *values: np.stack([np.asarray(on_host(value)) for value in values]), *items)


def _structure_of(x: Any) -> Any:
    """Return a nest of arrays; a list of plain values is one array."""
    if isinstance(x, Mapping) and not isinstance(x, dict):
        x = dict(x)
    if isinstance(x, (list, tuple)) and not any(map(is_array, leaves(x))) and not _holds_dicts(x):
        import numpy as np

        return np.asarray(x)
    return mapped(_as_rows, x)


def _holds_dicts(x: Any) -> bool:
    return any(isinstance(value, Mapping) for value in x)


def _as_rows(leaf: Any) -> Any:
    import numpy as np

    if hasattr(leaf, "detach") and hasattr(leaf, "cpu"):
        return on_host(leaf)
    if is_array(leaf) and not hasattr(leaf, "iloc"):
        return leaf.numpy() if type(leaf).__name__ == "EagerTensor" else leaf
    made = np.asarray(leaf)  # a data frame or a list
    if made.ndim == 0:
        raise TypeError(
            f"x holds {leaf!r}, which has no rows; pass arrays whose first axis counts the items."
        )
    return made


def _inputs_of(element: Any) -> Any:
    """Return the inputs of an element: Keras's data sets give (inputs,), (inputs, targets) or with weights."""
    if isinstance(element, tuple) and 1 <= len(element) <= 3 and not hasattr(element, "_fields"):
        return element[0]
    return element


def _is_dataset(x: Any) -> bool:
    tensorflow = _tensorflow.imported_tensorflow()
    return tensorflow is not None and isinstance(x, tensorflow.data.Dataset)


def _finite(dataset: Any) -> Any:
    if int(dataset.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError("x is an endless tf.data.Dataset; cut it with .take(n), or leave out .repeat().")
    return dataset


def _is_sequence_of_batches(x: Any) -> bool:
    keras = _tensorflow.keras_imported()
    return keras is not None and isinstance(x, keras.utils.PyDataset)


def _batches_of(dataset: Any) -> Iterator[Any]:
    if dataset.num_batches is None:
        raise ValueError(
            "x is a PyDataset without a length; give it a __len__ that returns its number of batches."
        )
    for index in range(dataset.num_batches):
        yield dataset[index]
