"""Nested lists, tuples and dicts of arrays, without a framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def mapped(function: Callable[..., Any], structure: Any, *others: Any) -> Any:
    """Return the structure with `function` applied to its leaves, together with those of `others`.

    Parameters
    ----------
    function : callable
        Takes one leaf of each structure.
    structure : Any
        Lists, tuples, named tuples and dicts, nested as deep as one likes; all else is a leaf.
    *others : Any
        Structures of the same form.

    Returns
    -------
    Any
        A new structure of the form of `structure`.

    Raises
    ------
    ValueError
        If the forms differ.
    """
    if not isinstance(structure, (list, tuple, dict)):
        return function(structure, *others)
    for other in others:
        _check_same_form(structure, other)
    if isinstance(structure, dict):
        return {key: mapped(function, value, *(o[key] for o in others)) for key, value in structure.items()}
    made = [mapped(function, *values) for values in zip(structure, *others, strict=True)]
    return like(structure, made)


def leaves(structure: Any) -> Iterator[Any]:
    """Yield the leaves in order."""
    if isinstance(structure, dict):
        for value in structure.values():
            yield from leaves(value)
    elif isinstance(structure, (list, tuple)):
        for value in structure:
            yield from leaves(value)
    else:
        yield structure


def like(structure: Any, values: list[Any]) -> Any:
    """Return values as what the structure is: a list, a tuple or a named tuple."""
    if isinstance(structure, list):
        return values
    return type(structure)(*values) if hasattr(structure, "_fields") else tuple(values)


def _check_same_form(structure: Any, other: Any) -> None:
    if isinstance(structure, dict):
        is_same = isinstance(other, dict) and structure.keys() == other.keys()
    else:
        is_same = isinstance(other, (list, tuple)) and len(structure) == len(other)
    if not is_same:
        raise ValueError(
            f"{_form(other)} was found where {_form(structure)} was expected; give both the same nesting."
        )


def _form(structure: Any) -> str:
    if isinstance(structure, dict):
        return f"a dict with the keys {', '.join(map(repr, structure))}"
    if isinstance(structure, (list, tuple)):
        return f"a {type(structure).__name__} of {len(structure)}"
    return f"one {type(structure).__name__}"
