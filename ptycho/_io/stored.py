"""Arrays whose rows are made of what lies in a file, whenever they are read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class RowSummary:
    """What is asked of all rows of images more than once.

    Attributes
    ----------
    lowest, highest : (n,)
        Of each row; NaN if one of its values is.
    energies : (n,) float64
        Sum of the squares of each row.
    is_lit : (…) bool
        Where any row is not 0.
    """

    lowest: np.ndarray
    highest: np.ndarray
    energies: np.ndarray
    is_lit: np.ndarray


class StoredRows(ABC):
    """Rows of an array that lie in a file in another form; only what is asked for is read, and nothing is kept.

    It has the shape and the type of an array and is indexed like one along its first axis. Whatever else is done to it
    as to an array takes memory for all of it.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @abstractmethod
    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Return the rows with these numbers, (k,) int64 each from 0 to n - 1, in memory."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all values, which are not in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, items: Any) -> np.ndarray:
        """Return what NumPy would: of the first axis no more is read than is asked for."""
        first, *others = items if isinstance(items, tuple) else (items,)
        rows = self.rows(first)
        return rows[(slice(None),) * np.ndim(np.arange(len(self))[first]) + tuple(others)] if others else rows

    def rows(self, indices: Any) -> np.ndarray:
        """Return the rows at a slice, numbers (…) or a mask (n,)."""
        numbers = np.arange(len(self))[indices]
        return self.read(np.ravel(numbers)).reshape(*np.shape(numbers), *self.shape[1:])

    @abstractmethod
    def with_zeros(self, mask: np.ndarray) -> StoredRows:
        """Return the rows with 0 where `mask`, of the shape of a row, is False."""

    @abstractmethod
    def taking(self, numbers: np.ndarray) -> StoredRows:
        """Return the rows with these numbers, which stay where they are."""

    @cached_property
    def summary(self) -> RowSummary:
        """What all rows come to, read once."""
        n = len(self)
        lowest, highest, energies = np.empty(n, self.dtype), np.empty(n, self.dtype), np.empty(n)
        is_lit = np.zeros(self.shape[1:], bool)
        for start in range(0, n, _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            rows = self.rows(block)
            flat = rows.reshape(len(rows), -1)
            lowest[block], highest[block] = flat.min(axis=1), flat.max(axis=1)
            energies[block] = np.einsum("ni,ni->n", flat, flat, dtype=np.float64)
            is_lit |= rows.any(axis=0)
        return RowSummary(lowest, highest, energies, is_lit)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all rows, in memory."""
        whole = self.rows(slice(None))
        return whole if dtype is None else whole.astype(dtype, copy=False)


def as_range(indices: np.ndarray) -> np.ndarray | slice:
    """Return numbers of rows (b,) as a slice if they follow one another: what that takes of an array is no copy."""
    if len(indices) and np.all(np.diff(indices) == 1):
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices
