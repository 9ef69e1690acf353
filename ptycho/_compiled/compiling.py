"""How loops are compiled. Importing this module imports numba; only modules of such loops do so."""

from __future__ import annotations

from typing import Any

from numba import njit  # noqa: TID253 - modules of loops are imported inside a function


def compiled(function: Any = None, *, inline: str = "never") -> Any:
    """Compile without the interpreter's lock, and keep the machine code on disk where that can be written."""
    if function is None:
        return lambda function: compiled(function, inline=inline)
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", "inline": inline}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache folder can be written: compile in every process.
        return njit(**options)(function)
