"""Fields of settings that check themselves: each function takes one value and returns it as its plain type.

A value of another type or outside what is allowed is a `SettingsError` that names field, value, what is allowed
and what to pass instead.
"""

from __future__ import annotations

import difflib
import math
import operator
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from ptycho.errors import SettingsError

# A seed that NumPy's legacy and current generators and Keras all take.
LARGEST_SEED = 2**32 - 1


def checked(settings: Any, **values: Any) -> None:
    """Put `values`, which have been checked, into a frozen dataclass; for its ``__post_init__``."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)


def whole_number(value: Any, name: str, *, at_least: int | None = None, at_most: int | None = None) -> int:
    """Return an integer in ``[at_least, at_most]`` as a Python int; NumPy's are welcome, bools and floats not."""
    allowed = f"a whole number{_range(at_least, at_most)}"
    try:
        number = None if _is_flag(value) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        _refuse(name, value, allowed, _nearest_whole(value, at_least))
    if (at_least is not None and number < at_least) or (at_most is not None and number > at_most):
        _refuse(
            name,
            value,
            allowed,
            f"pass {at_least if at_least is not None and number < at_least else at_most}",
        )
    return number


def number(
    value: Any,
    name: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number within the given bounds as a Python float."""
    allowed = f"a finite number{_bounds(above, at_least, at_most, below)}"
    try:
        found = None if _is_flag(value) or isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None:
        _refuse(name, value, allowed, "pass such a number")
    outside = (
        not math.isfinite(found)
        or (above is not None and not found > above)
        or (at_least is not None and not found >= at_least)
        or (at_most is not None and not found <= at_most)
        or (below is not None and not found < below)
    )
    if outside:
        _refuse(name, value, allowed, "pass such a number")
    return found


def flag(value: Any, name: str) -> bool:
    """Return True or False; NumPy's are welcome, 0, 1 and words are not."""
    if _is_flag(value):
        return bool(value)
    _refuse(name, value, "True or False", "pass one of these")


def choice(value: Any, name: str, choices: Sequence[str]) -> Any:
    """Return one of `choices`; a near miss is told the spelling that it misses."""
    if isinstance(value, str) and value in choices:
        return str(value)
    near = difflib.get_close_matches(value.lower(), choices, n=1) if isinstance(value, str) else []
    remedy = f"did you mean {near[0]!r}?" if near else "pass one of these."
    raise SettingsError(f"{name} is {value!r} but must be {_listed(choices)}; {remedy}")


def batch_size(value: Any, name: str) -> Any:
    """Return ``"auto"`` or an integer of at least 1."""
    if isinstance(value, str) and value == "auto":
        return "auto"
    try:
        return whole_number(value, name, at_least=1)
    except SettingsError:
        raise SettingsError(
            f"{name} is {value!r} but must be 'auto' or a whole number of at least 1; "
            "pass 'auto' to have it planned."
        ) from None


def seed(value: Any, name: str) -> int:
    """Return an integer that every generator takes as its seed."""
    return whole_number(value, name, at_least=0, at_most=LARGEST_SEED)


def device(value: Any, name: str) -> str | None:
    """Return None, "CPU" or "GPU:i" in capitals, as TensorFlow spells it."""
    if value is None:
        return None
    found = device_name(value) if isinstance(value, str) else None
    if found is None:
        _refuse(name, value, "None, 'CPU' or 'GPU:0' (any index)", "pass one of these")
    return found


def device_name(text: str) -> str | None:
    """Return "CPU" or "GPU:i", or None if `text` names no device; there is one CPU, so "cpu:0" is "CPU" too."""
    kind, colon, index = text.upper().partition(":")
    if kind == "CPU" and (colon, index) in (("", ""), (":", "0")):
        return "CPU"
    is_gpu = kind == "GPU" and index.isascii() and index.isdecimal()
    return f"GPU:{int(index)}" if is_gpu else None


def label(value: Any, name: str) -> str:
    r"""Return a text with something in it; lone surrogates, which no file can hold, become ``\udc80`` and the like."""
    if not isinstance(value, str) or not value.strip():
        _refuse(name, value, "a text with something in it", "pass a name")
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def shape_yx(value: Any, name: str) -> tuple[int, int]:
    """Return two whole numbers of at least 1: rows and columns."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        _refuse(name, value, "two whole numbers of at least 1, (rows, columns)", "pass such a pair")
    rows, columns = (whole_number(side, name, at_least=1) for side in value)
    return rows, columns


def path(value: Any, name: str) -> str | None:
    """Return None or a path as a string."""
    if value is None:
        return None
    if isinstance(value, (str, os.PathLike)):
        found = os.fspath(value)
        if isinstance(found, str) and found:
            return found
    _refuse(name, value, "None or a path", "pass a path as text or pathlib.Path")


def _is_flag(value: Any) -> bool:
    # NumPy's own kind, called bool_ before version 2, is no child of Python's; this file needs no NumPy.
    return type(value).__name__ in ("bool", "bool_")


def _refuse(name: str, value: Any, allowed: str, remedy: str) -> NoReturn:
    raise SettingsError(f"{name} is {value!r} but must be {allowed}; {remedy}.")


def _nearest_whole(value: Any, at_least: int | None) -> str:
    if isinstance(value, float) and math.isfinite(value):
        nearest = round(value)
        return f"pass {nearest if at_least is None else max(nearest, at_least)}"
    return "pass an int"


def _range(at_least: int | None, at_most: int | None) -> str:
    if at_most is None:
        return "" if at_least is None else f" of at least {at_least}"
    return f" of at most {at_most}" if at_least is None else f" from {at_least} to {at_most}"


def _bounds(above: float | None, at_least: float | None, at_most: float | None, below: float | None) -> str:
    words = [
        f"{word} {bound:g}"
        for word, bound in (
            ("above", above),
            ("of at least", at_least),
            ("of at most", at_most),
            ("below", below),
        )
        if bound is not None
    ]
    return " " + " and ".join(words) if words else ""


def _listed(choices: Sequence[str]) -> str:
    *most, last = map(repr, choices)
    return f"{', '.join(most)} or {last}" if most else last
