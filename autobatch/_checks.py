"""Arguments check themselves, each with a sentence that says what was wrong and what to pass instead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from autobatch._numbers import checked_count


def check_callables(**functions: Any) -> None:
    """Check arguments that are functions, by name; None is left to the caller.

    Raises
    ------
    TypeError
        If one cannot be called.
    """
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} is {function!r} but must be a function.")


def check_flags(**flags: Any) -> None:
    """Check arguments that are True or False, by name.

    Raises
    ------
    TypeError
        If one is something else, such as the word "no", which counts as true.
    """
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} is {flag!r} but must be True or False.")


def checked_start(start: Any, n_items: Any) -> int:
    """Return the first item; ``start == n_items`` leaves nothing to do.

    Raises
    ------
    TypeError, ValueError
        If either is no count, or `start` lies beyond the items.
    """
    start, count = checked_count("start", start, least=0), checked_count("n_items", n_items, least=0)
    if start > count:
        raise ValueError(
            f"start is {start:,} but there are {count:,} items; pass a number from 0 to {count:,}."
        )
    return start


def checked_on_error(on_error: Any) -> str:
    """Return ``"raise"`` or ``"skip"``.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error is {on_error!r} but must be "raise" or "skip".')
    return on_error


def check_weights(weights: Sequence[float], n_items: int, memo: object, start: int) -> int:
    """Check the weights of the items, and return the sum of those from `start` on, rounded up.

    Raises
    ------
    ValueError
        If there is another number of weights than items, one is no number above 0, or a memo is used too.
    """
    if memo is not None:
        raise ValueError(
            "memo was given together with weights, but a memo remembers numbers of items; leave one of them out."
        )
    if len(weights) != n_items:
        raise ValueError(
            f"weights has {len(weights):,} entries but there are {n_items:,} items; pass one for each."
        )
    for item, weight in enumerate(weights):
        if not (0 < weight < math.inf):
            raise ValueError(f"weights[{item}] is {weight!r} but must be a number above 0.")
    return math.ceil(sum(weights[item] for item in range(start, n_items)))
