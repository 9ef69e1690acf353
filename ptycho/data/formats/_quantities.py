"""Lengths and energies as files give them: in units that they name, or that must be guessed."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._checks.quantities import JOULES, METRES, PLANCK_TIMES_C_J_M, likely_energy_unit, unit_factor
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

# Two sides of a pixel that differ by less are one and the same number, rounded.
_SAME = 1e-3


def metres_per(unit: str | None, what: str) -> float:
    """Return how many metres a unit of length is; None means metres."""
    return 1.0 if unit is None else _factor(unit, METRES, what)


def photon_energy_j(value: float, what: str, unit: str | None = None) -> float:
    """Return a photon energy in joules; without a unit its size tells J, keV or eV.

    Raises
    ------
    DataError
        The unit is not known, or the number is no photon energy in any.
    """
    if unit is not None:
        return value * _factor(unit, JOULES, what)
    name = likely_energy_unit(value)
    if name is not None:
        if name != "J":
            logger.info("%s is %g without a unit and is taken for %s", what, value, name)
        return value * JOULES[name.lower()]
    raise DataError(f"{what} is {value:g}, which is no photon energy in J, eV or keV; mend the file.")


def energy_of_wavelength(wavelength_m: float) -> float:
    """Return the energy of photons of a wavelength, in joules."""
    return PLANCK_TIMES_C_J_M / wavelength_m


def known(value: float | None) -> float | None:
    """Return a length that is above 0, None for the 0 that some programs write for what they do not know."""
    return value if value is not None and value > 0 else None


def one_side(height: float | None, width: float | None, what: str) -> float | None:
    """Return the side of a square pixel from its height and width, of which one may be missing."""
    height, width = known(height), known(width)
    if height is None or width is None:
        return height or width
    if abs(height - width) > _SAME * width:
        raise DataError(
            f"{what} is {height:g} m high and {width:g} m wide but must be square; resample the frames."
        )
    return width


def columns_yx(y: np.ndarray, x: np.ndarray, what: str) -> np.ndarray:
    """Return positions (n, 2), row first, from two lists of coordinates, which may be columns or rows of a table."""
    if y.size != x.size or not y.size or y.dtype.kind not in "iuf" or x.dtype.kind not in "iuf":
        raise DataError(
            f"{what} have {y.size} values ({y.dtype}) in y and {x.size} ({x.dtype}) in x but must be as many real "
            "numbers in both; mend the file."
        )
    return np.stack([y.ravel(), x.ravel()], axis=-1).astype(np.float64)


def frame_numbers(values: np.ndarray, what: str) -> np.ndarray:
    """Return the numbers of frames or positions, (n,) int64."""
    if values.dtype.kind not in "iu":
        raise DataError(
            f"{what} are {values.dtype} but must be whole numbers, one for each frame; mend the file."
        )
    return values.ravel().astype(np.int64)


def marked(values: np.ndarray, what: str) -> np.ndarray:
    """Return True where a mask is not zero."""
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"{what} is {values.dtype} but must be numbers, zero where a pixel is good; mend the file."
        )
    return values != 0


def _factor(unit: str, table: dict[str, float], what: str) -> float:
    factor = unit_factor(unit, table)
    if factor is None:
        raise DataError(
            f"{what} is in {unit!r} but one of {', '.join(table)} is needed; mend its attribute units."
        )
    return factor
