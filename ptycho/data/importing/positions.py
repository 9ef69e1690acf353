"""A scan's positions as a user says that they are: their unit, their axes, and the object that lies under them."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import metres_per
from ptycho.data.importing.places import Found, Sources
from ptycho.data.importing.settings import ImportSettings
from ptycho.data.overlap import median_step
from ptycho.errors import DataError

logger = logging.getLogger(__name__)


def with_positions_changed(
    parts: Parts, settings: ImportSettings, unit: str | None, *, named: bool
) -> tuple[Parts, tuple[str, ...]]:
    """Return the parts with their positions in metres or pixels, turned as the settings say, and what to ask for.

    Parameters
    ----------
    parts : Parts
    settings : ImportSettings
    unit : str, optional
        Of positions that were named or guessed, as far as it is told.
    named : bool
        Whether the positions were; those of a known format have a unit.
    """
    positions = parts.positions_yx
    if positions is None:
        return parts, ()
    if settings.turns_positions:
        parts = _without_object(replace(parts, positions_yx=_turned(positions, settings)))
    unit = settings.position_unit or unit
    if unit is None and not named:
        return parts, ()
    if unit is None:
        unit = _guessed_unit(parts)
    if unit is None:
        return parts, (
            f"the unit of the positions (`position_unit` m, mm, um, nm or px; {_extent(positions)})",
        )
    if unit == "px":
        return replace(parts, position_unit="px"), ()
    assert parts.positions_yx is not None
    metres = parts.positions_yx * metres_per(unit, f"the positions of {parts.names}")
    return replace(parts, positions_yx=metres, position_unit="m"), ()


def _turned(positions: np.ndarray, settings: ImportSettings) -> np.ndarray:
    # First, so that turns which are found afterwards go on from swaps, flips and rotation alone.
    turned = positions if settings.affine is None else positions @ np.transpose(settings.affine)
    turned = turned[:, ::-1] if settings.swap_xy else turned
    turned = turned * np.array([-1 if settings.flip_y else 1, -1 if settings.flip_x else 1])
    angle = np.deg2rad(settings.rotation_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    # (y, x) as columns: y goes to (cos, sin).
    return turned @ np.array([[cosine, sine], [-sine, cosine]]) if settings.rotation_deg else turned


def _without_object(parts: Parts) -> Parts:
    if parts.object_image is not None:
        logger.warning("%s: its object does not lie under turned positions; it is left out", parts.names)
    return replace(parts, object_image=None, origin_yx=None)


def _guessed_unit(parts: Parts) -> str | None:
    """Return the one unit in which neighbouring positions lie between half a pixel and a frame apart."""
    positions = parts.positions_yx
    if parts.frames is None or positions is None or not np.isfinite(positions).all():
        return None
    step = median_step(positions)
    if step is None:
        return None
    side = parts.frames.side
    pixel = object_pixel_of(parts, side)
    fitting = [
        unit
        for unit in ("m", "mm", "um", "nm")
        if pixel is None or 0.5 <= step * metres_per(unit, "") / pixel <= side
    ]
    if pixel is None:
        # No scan moves by less than a thousandth of a pixel, nor by 10 µm in steps of a beam.
        fitting = ["m"] if step < 1e-4 else []
    if 0.5 <= step <= side:
        fitting.append("px")
    if len(fitting) != 1:
        return None
    logger.info("%s: `position_unit` is taken to be %s, from steps of %.3g", parts.names, fitting[0], step)
    return fitting[0]


def _extent(positions: np.ndarray) -> str:
    height, width = np.ptp(positions, axis=0)
    return f"they span {height:.4g} in y and {width:.4g} in x"


def object_pixel_of(parts: Parts, side: int) -> float | None:
    """Return the object's pixel in metres for frames of `side` pixels; None if nothing tells it."""
    from ptycho.data.geometry import ScanGeometry

    if parts.object_pixel_m is not None:
        return parts.object_pixel_m
    energy, distance, pixel = parts.photon_energy_j, parts.detector_distance_m, parts.detector_pixel_m
    if energy is None or distance is None or pixel is None or side < 1:
        return None
    return ScanGeometry.of_far_field(
        photon_energy_j=energy, detector_distance_m=distance, detector_pixel_m=pixel, patch_size=side
    ).object_pixel_m


def with_object_named(
    parts: Parts, settings: ImportSettings, sources: Sources
) -> tuple[Parts, tuple[str, ...]]:
    """Return the parts with the object that the settings name, in the frame of the positions, and what to ask for.

    Parameters
    ----------
    parts : Parts
        With their positions in metres or pixels.
    settings : ImportSettings
    sources : Sources
    """
    if settings.object_guess is None or parts.positions_yx is None:
        return parts, ()
    origin = settings.object_origin_yx
    if origin is None and parts.position_unit != "px":
        return parts, (
            "where the centre of the object's first pixel lies among the positions (`object_origin_yx=…`)",
        )
    unit = settings.position_unit or parts.position_unit
    factor = 1.0 if parts.position_unit == "px" else metres_per(unit, "`object_origin_yx`")
    image = _object(sources.array(settings.object_guess, "`object_guess`"))
    return replace(parts, object_image=image, origin_yx=np.array(origin or (0.0, 0.0)) * factor), ()


def _object(found: Found) -> np.ndarray:
    values = np.squeeze(found.values)
    if values.ndim != 2 or values.dtype.kind != "c" or not np.isfinite(values).all():
        raise DataError(
            f"{found.name} is {found.values.dtype} of shape {found.values.shape} but an object is finite complex "
            "numbers (rows, columns); name another by `object_guess`."
        )
    return values
