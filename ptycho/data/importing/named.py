"""What a user names of a scan, and what is guessed where nothing is named, as `Parts`."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ptycho.data.formats._containers import TextTable
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import columns_yx
from ptycho.data.importing.guessing import (
    ASK_FOR_COLUMNS,
    Guess,
    guess,
    guess_lengths,
    means_good,
    order_in_name,
    unit_in_name,
)
from ptycho.data.importing.places import Found, Sources, read_array
from ptycho.data.importing.settings import ImportSettings
from ptycho.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Named:
    """The parts that are named or guessed.

    Attributes
    ----------
    parts : Parts
        Its positions are in `position_unit` where it is told, else in an unknown unit.
    position_unit : str, optional
        As `ImportSettings.position_unit`.
    mask : (rows, columns) bool, optional
        True where a pixel is bad.
    asks : tuple of str
        What can neither be found nor guessed, with the flags that tell it.
    """

    parts: Parts
    position_unit: str | None = None
    mask: np.ndarray | None = None
    asks: tuple[str, ...] = ()


def named_parts(settings: ImportSettings, sources: Sources, known: Parts | None) -> Named:
    """Return the parts at the places of `settings`; those of a file of no known format are guessed besides.

    Parameters
    ----------
    settings : ImportSettings
    sources : Sources
    known : Parts, optional
        What the scan's own file holds, if its format is known.
    """
    guessed = Guess()
    if known is None:
        guessed = _guessed(settings, sources)
    frames = _frames(settings, guessed, sources)
    name = str(sources.source)
    in_known = None if known is None else known.frames
    positions, unit, asks = _positions(settings, guessed, sources, in_known if frames is None else frames)
    mask = _mask(settings, guessed, sources)
    _warn_of_idle_flags(settings, name, has_table=_names_table(settings, guessed), has_mask=mask is not None)
    probe = settings.probe or (guessed.probe and f":{guessed.probe}")
    parts = Parts(
        files=(name,),
        frames=frames,
        frame_ids=None if frames is None else frames.numbers,
        positions_yx=positions,
        probe=None if probe is None else _probe(sources.array(probe, "`probe`")),
    )
    if known is None:
        parts = replace(parts, **_guessed_lengths(settings, sources))
    return Named(parts=parts, position_unit=unit, mask=mask, asks=asks)


def _names_table(settings: ImportSettings, guessed: Guess) -> bool:
    return settings.positions is not None or guessed.positions is not None


def _warn_of_idle_flags(settings: ImportSettings, name: str, *, has_table: bool, has_mask: bool) -> None:
    """Warn of flags that say more about what is not there."""
    if settings.columns is not None and not has_table:
        logger.warning(
            "%s: `columns=%r` has no effect, for its positions are no table that is named; name one by `positions`, or "
            "leave it out",
            name,
            settings.columns,
        )
    if settings.snake and settings.step is None:
        logger.warning(
            "%s: `snake` has no effect without `grid` and `step`; pass these, or leave it out", name
        )
    if "mask_means" in settings.given and not has_mask:
        logger.warning(
            "%s: `mask_means=%r` has no effect without a mask; name one by `mask`, or leave it out",
            name,
            settings.mask_means,
        )


def _guessed(settings: ImportSettings, sources: Sources) -> Guess:
    container = sources.container(sources.source)
    shape = None if settings.frames is None else sources.frames(settings.frames, "`frames`").shape
    found = guess(container, shape=shape).without_named(settings)
    for name, path in found.found.items():
        logger.info("%s: `%s` is taken to be :%s", sources.source.name, name, path or sources.source.name)
    return found


_WORDS = {
    "photon_energy_j": "the photon energy",
    "detector_distance_m": "the detector distance",
    "detector_pixel_m": "the detector's pixel",
    "object_pixel_m": "the object's pixel",
}


def _guessed_lengths(settings: ImportSettings, sources: Sources) -> dict[str, Any]:
    found = {}
    for field, (value, path) in guess_lengths(sources.container(sources.source)).items():
        if getattr(settings, field) is None:
            logger.info(
                "%s: %s, %.4g in SI units, is taken from %s", sources.source.name, _WORDS[field], value, path
            )
            found[field] = value
    return found


def _frames(settings: ImportSettings, guessed: Guess, sources: Sources) -> FrameStack | None:
    if settings.frames is not None:
        return sources.frames(settings.frames, "`frames`")
    if guessed.frames is None:
        return None
    return sources.frames(f":{guessed.frames}" if guessed.frames else str(sources.source), "`frames`")


def _positions(
    settings: ImportSettings, guessed: Guess, sources: Sources, frames: FrameStack | None
) -> tuple[np.ndarray | None, str | None, tuple[str, ...]]:
    """Return positions (n, 2), their unit if it is told, and what must be asked for."""
    shape = None if frames is None else frames.shape
    if settings.step is not None:
        grid = settings.grid or _grid_of(frames, settings.axes)
        if grid is None:
            return (
                None,
                None,
                ("rows and columns of the raster (`grid=…`), which its frames do not tell",),
            )
        return (
            _raster(settings, grid, settings.step),
            settings.position_unit or "px",
            _asks_of_raster(settings),
        )
    if settings.x is not None or guessed.x is not None:
        y_place, x_place = settings.y or f":{guessed.y}", settings.x or f":{guessed.x}"
        y, x = sources.array(y_place, "`y`"), sources.array(x_place, "`x`")
        values = _paired(y, x, shape)
        return values, settings.position_unit or y.unit or unit_in_name(y_place), ()
    place = settings.positions or (guessed.positions and f":{guessed.positions}")
    if not place:
        return None, None, ()
    container, dataset = sources.place(place, "`positions`")
    found = _table(container, dataset)
    rows = _rows(found, shape)
    columns, asks = _columns(settings, container, found, rows, order_in_name(dataset or place))
    unit = settings.position_unit or found.unit or unit_in_name(dataset or "")
    return rows[:, columns], unit, asks


def _table(container: Any, dataset: str | None) -> Found:
    if dataset is not None or isinstance(container, TextTable):
        return read_array(container, dataset, "`positions`")
    inside = guess(container).positions
    if inside is None:
        return read_array(container, None, "`positions`")
    logger.info("%s: positions are taken from %s", container.name, inside)
    return read_array(container, inside, "`positions`")


def _rows(found: Found, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return a table with one row a frame; the number of frames tells which axis that is."""
    values = np.squeeze(found.values)
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise DataError(
            f"{found.name} is {found.values.dtype} of shape {found.values.shape} but must be a table of positions, two "
            "numbers a frame; name another by `positions`, or two lists by `y` and `x`."
        )
    n_frames = None if shape is None else shape[0]
    is_turned = values.shape[0] in (2, 3) and values.shape[1] not in (2, 3)
    if is_turned and values.shape[0] != n_frames:
        values = values.T
    return values.astype(np.float64)


def _columns(
    settings: ImportSettings, container: Any, found: Found, rows: np.ndarray, named: tuple[int, int] | None
) -> tuple[list[int], tuple[str, ...]]:
    """Return the numbers of the columns that hold y and x; `named` are those that the name of the table tells."""
    if settings.columns is not None:
        wanted = [part.strip() for part in settings.columns.split(",")]
        if len(wanted) != 2:
            raise DataError(
                f"`columns` is {settings.columns!r} but must name two columns, y and x; pass y,x or x,y."
            )
        return _named_columns(wanted, found, rows), ()
    lower = [name.lower() for name in found.names]
    for y_name, x_name in (("y", "x"), ("row", "col"), ("row", "column")):
        if y_name in lower and x_name in lower:
            return [lower.index(y_name), lower.index(x_name)], ()
    if isinstance(container, TextTable) and rows.shape[1] == 2 and not found.names:
        order = "y,x" if container.has_commas else "x,y"
        logger.info("%s: `columns` is taken to be %s, as ptychodus writes tables", found.name, order)
        return ([0, 1] if container.has_commas else [1, 0]), ()
    if named is not None and rows.shape[1] == 2:
        logger.info(
            "%s: `columns` is taken to be %s, from its name", found.name, "y,x" if named == (0, 1) else "x,y"
        )
        return list(named), ()
    return [0, 1], (ASK_FOR_COLUMNS,)


def _named_columns(wanted: list[str], found: Found, rows: np.ndarray) -> list[int]:
    lower = [name.lower() for name in found.names]
    words = [each.lower() for each in wanted]
    if words in (["y", "x"], ["x", "y"]):
        if not {"x", "y"} <= set(lower):
            # The words say what the first two columns are.
            return [words.index("y"), words.index("x")]
        wanted = ["y", "x"]
    numbers = [
        lower.index(each.lower()) if each.lower() in lower else int(each) if each.isdecimal() else -1
        for each in wanted
    ]
    if not all(0 <= number < rows.shape[1] for number in numbers):
        held = (
            f"columns {', '.join(found.names)}" if found.names else f"{rows.shape[1]} columns without names"
        )
        raise DataError(
            f"{found.name} has {held} but `columns` names {', '.join(wanted)}; name those of y and x, or their numbers "
            "from 0."
        )
    return numbers


def _paired(y: Found, x: Found, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return positions (n, 2) from two lists, or from the rows and columns of a raster of as many frames."""
    n_frames = None if shape is None else shape[0]
    if y.values.size != x.values.size and y.values.size * x.values.size == n_frames:
        y_all, x_all = np.meshgrid(y.values.ravel(), x.values.ravel(), indexing="ij")
        return columns_yx(y_all, x_all, f"{y.name} and {x.name}")
    return columns_yx(y.values, x.values, f"{y.name} and {x.name}")


def _grid_of(frames: FrameStack | None, axes: str | None) -> tuple[int, ...] | None:
    """Return rows and columns of the raster in an array of four axes, None for one of three."""
    if frames is None or frames.raster is None:
        return None
    grid = frames.shape[1:] if axes in ("qqyx", "qqxy") else frames.raster
    grid = grid[::-1] if axes in ("xyqq", "qqxy") else grid
    logger.info("%s: `grid` is taken to be %d,%d, from its axes", frames.name, *grid)
    return grid


def _raster(settings: ImportSettings, grid: tuple[int, ...], step: tuple[float, float]) -> np.ndarray:
    rows, columns = grid
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    if settings.snake:
        x[1::2] = x[1::2, ::-1].copy()
    return np.stack([y.ravel() * step[0], x.ravel() * step[1]], axis=-1)


def _asks_of_raster(settings: ImportSettings) -> tuple[str, ...]:
    return () if settings.position_unit else ("the unit of `step` (`position_unit='um'`)",)


def _probe(found: Found) -> np.ndarray:
    values = found.values
    if values.ndim < 2 or values.shape[-1] != values.shape[-2] or values.dtype.kind != "c":
        raise DataError(
            f"{found.name} is {values.dtype} of shape {values.shape} but a probe is complex (…, N, N); name another "
            "by `probe`."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.complex64)
    if not np.isfinite(single).all():
        raise DataError(
            f"{found.name} holds NaN, infinity or numbers beyond single precision; name another probe."
        )
    return single


def _mask(settings: ImportSettings, guessed: Guess, sources: Sources) -> np.ndarray | None:
    place = settings.mask or (guessed.mask and f":{guessed.mask}")
    if not place:
        return None
    found = sources.array(place, "`mask`")
    values = np.squeeze(found.values)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise DataError(
            f"{found.name} is {values.dtype} of shape {values.shape} but a mask is (rows, columns); name another by "
            "`mask`."
        )
    set_pixels = values != 0
    good = settings.mask_means == "good"
    if settings.mask is None and means_good(place) and "mask_means" not in settings.given:
        logger.info("%s: its name says that non-zero pixels are good", found.name)
        good = True
    if math.isclose(set_pixels.mean(), 1.0) and not good:
        raise DataError(
            f"{found.name} marks every pixel as bad; pass `mask_means='good'` if its non-zero pixels count."
        )
    return ~set_pixels if good else set_pixels
