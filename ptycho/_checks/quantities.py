"""Lengths and energies as texts and files give them: units, and constants of nature; in SI units inside."""

from __future__ import annotations

import math
import re

PLANCK_TIMES_C_J_M = 6.62607015e-34 * 299_792_458.0
JOULE_PER_EV = 1.602176634e-19
ELECTRON_REST_ENERGY_J = 510_998.95 * JOULE_PER_EV
METRES = {
    "m": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "um": 1e-6,
    "micron": 1e-6,
    "microns": 1e-6,
    "nm": 1e-9,
    "pm": 1e-12,
    "a": 1e-10,
    "angstrom": 1e-10,
}
JOULES = {"j": 1.0, "ev": JOULE_PER_EV, "kev": 1e3 * JOULE_PER_EV}
# What accelerates electrons is written as a voltage too.
_ELECTRON_JOULES = JOULES | {"v": JOULE_PER_EV, "kv": 1e3 * JOULE_PER_EV}
_LONG_NAMES = {
    "metre": "m",
    "meter": "m",
    "metres": "m",
    "meters": "m",
    "joule": "j",
    "å": "a",
    "µm": "um",
    "μm": "um",
}
# What photons have, in the units in which people write it down.
_ENERGY_RANGES = (("J", 1e-18, 1e-12), ("keV", 0.05, 50.0), ("eV", 50.0, 200_000.0))
_QUANTITY = re.compile(r"([-+]?[0-9.]+(?:[eE][-+]?\d+)?)\s*([^\d\s]*)")


def unit_factor(unit: str, table: dict[str, float]) -> float | None:
    """Return how much of the SI unit a unit of `METRES` or `JOULES` is, None if it is not in the table."""
    name = unit.strip().lower()
    return table.get(_LONG_NAMES.get(name, name))


def likely_energy_unit(value: float) -> str | None:
    """Return the unit in which a number is a photon energy, "J", "keV" or "eV"; None if it is none in any."""
    return next((name for name, low, high in _ENERGY_RANGES if low <= value <= high), None)


def length_m(text: str) -> float:
    """Return a length above 0, such as ``75um``, in metres; a number without a unit is in metres.

    Raises
    ------
    ValueError
        It is none.
    """
    number, unit = number_and_unit(text, "75um")
    factor = 1.0 if unit is None else unit_factor(unit, METRES)
    if factor is None or not 0 < number * factor < float("inf"):
        raise ValueError(f"{text!r} is not a length above 0, such as 75um or 2m")
    return number * factor


def energy_j(text: str) -> float:
    """Return a photon energy, such as ``8keV``, in joules; without a unit its size tells J, keV or eV.

    Raises
    ------
    ValueError
        It is none.
    """
    number, unit = number_and_unit(text, "8keV")
    unit = unit or likely_energy_unit(number)
    factor = None if unit is None else unit_factor(unit, JOULES)
    if factor is None or not 0 < number * factor < float("inf"):
        raise ValueError(f"{text!r} is not an energy such as 8keV")
    return number * factor


def electron_wavelength_m(text: str) -> float:
    """Return the wavelength in metres of electrons of a kinetic energy, such as ``300keV`` or ``300kV``.

    It is relativistic: h c / √(E² + 2 E m c²), https://doi.org/10.1007/978-0-387-76501-3, chapter 1.

    Raises
    ------
    ValueError
        It is none, or has no unit.
    """
    number, unit = number_and_unit(text, "300keV")
    factor = None if unit is None else unit_factor(unit, _ELECTRON_JOULES)
    if factor is None or not 0 < number * factor < float("inf"):
        raise ValueError(f"{text!r} is not an energy of electrons with its unit, such as 300keV")
    energy = number * factor
    return PLANCK_TIMES_C_J_M / math.sqrt(energy * (energy + 2 * ELECTRON_REST_ENERGY_J))


def number_and_unit(text: str, example: str) -> tuple[float, str | None]:
    """Return the number and the unit, if there is one, in a text like `example`."""
    found = _QUANTITY.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        return float(found.group(1)), found.group(2) or None
    except ValueError:
        raise ValueError(f"{text!r} is not a number with a unit, such as {example}") from None
