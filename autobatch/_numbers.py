"""Counts and fractions as callers give them."""

from __future__ import annotations

import math
import operator


def checked_count(name: str, value: object, *, least: int) -> int:
    """Return an integer of `least` or more, whatever kind of integer it is.

    Raises
    ------
    TypeError
        If `value` is no integer.
    ValueError
        If it is too small.
    """
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} is {value!r} but must be an integer.") from None
    if count < least:
        raise ValueError(f"{name} is {count} but must be {least} or more.")
    return count


def checked_fraction(name: str, value: object) -> float:
    """Return a share above 0 and at most 1.

    Raises
    ------
    TypeError
        If `value` is no number.
    ValueError
        If it is out of range.
    """
    number = checked_number(name, value)
    if not 0 < number <= 1:
        raise ValueError(f"{name} is {number:g} but must be above 0 and at most 1.")
    return number


def checked_number(name: str, value: object) -> float:
    """Return a finite number.

    Raises
    ------
    TypeError
        If `value` is no number.
    ValueError
        If it is not finite.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r} but must be a number.") from None
    if isinstance(value, str | bytes):
        raise TypeError(f"{name} is {value!r} but must be a number.")
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number} but must be a finite number.")
    return number
