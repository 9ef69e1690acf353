"""Sums of neighbours as a tree whose shape depends on their number alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")


def merges_of(n_leaves: int) -> Iterator[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """Give the additions of the tree: a node and the two that it is the sum of, these always first.

    A node is (level, number): on level 0 are the leaves, and number k of a level is the sum of 2k and 2k + 1 of the
    one below. A last one without a neighbour moves up as it is and keeps its name.

    Parameters
    ----------
    n_leaves : int

    Yields
    ------
    node, left, right : (int, int)
    """
    names = [(0, number) for number in range(n_leaves)]
    level = 0
    while len(names) > 1:
        level += 1
        above = []
        for number in range(len(names) // 2):
            node = (level, number)
            yield node, names[2 * number], names[2 * number + 1]
            above.append(node)
        names = above + names[2 * len(above) :]


class TreeSum(Generic[Value]):
    """Adds up leaves that come in any order; of finished branches only the sums are kept.

    Parameters
    ----------
    n_leaves : int
        At least 1.
    plus : callable
        Adds a value and its right neighbour.
    """

    def __init__(self, n_leaves: int, plus: Callable[[Value, Value], Value]) -> None:
        """Begin with no leaf."""
        self._n_leaves, self._plus = n_leaves, plus
        self._parent = {}
        for node, left, right in merges_of(n_leaves):
            self._parent[left] = self._parent[right] = (node, left, right)
        self._waiting: dict[tuple[int, int], Value] = {}
        self._n_put = 0

    def put(self, number: int, value: Value) -> None:
        """Add leaf `number`."""
        node = (0, number)
        self._waiting[node] = value
        self._n_put += 1
        while node in self._parent:
            node, left, right = self._parent[node]
            if left not in self._waiting or right not in self._waiting:
                return
            self._waiting[node] = self._plus(self._waiting.pop(left), self._waiting.pop(right))

    def result(self) -> Value:
        """Return the sum of all leaves."""
        assert self._n_put == self._n_leaves, "leaves are missing"
        (value,) = self._waiting.values()
        return value
