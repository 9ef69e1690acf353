"""Bytes, counts and rates as people read them."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_bytes(n_bytes: float) -> str:
    """Return a byte count with three significant digits in binary units, for example ``"19.3 MiB"``."""
    value, unit = float(n_bytes), 0
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    if unit == 0:
        return f"{value:.0f} B"
    decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{decimals}f} {_UNITS[unit]}"


def format_count(n_items: int, unit: str) -> str:
    """Return a count with its unit, which is given in the plural: ``"1 step"``, ``"3,000 frames"``."""
    return f"{n_items:,} {unit.removesuffix('s') if n_items == 1 else unit}"


def format_rate(per_second: float) -> str:
    """Return a rate with three significant digits, those before the point in full: ``"0.025"``, ``"1,250"``."""
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"
