"""Which datasets of a file look like frames, positions, lengths, a mask and a probe; every guess can be overruled."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho._checks.quantities import PLANCK_TIMES_C_J_M
from ptycho._io.archive import Archive
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._containers import NpyFile, TextTable
from ptycho.data.formats._matlab import MatFile
from ptycho.data.formats._quantities import metres_per, photon_energy_j
from ptycho.data.formats._series import FrameSeries
from ptycho.data.formats._tiff import TiffStack
from ptycho.errors import DataError

if TYPE_CHECKING:
    from ptycho.data.importing.settings import ImportSettings

logger = logging.getLogger(__name__)

# How what a file lacks is told instead.
FLAGS_OF = {
    "frames": "`frames=…`",
    "positions": "`positions=…`, or `grid=…` and `step=…`",
    "photon energy": "`photon_energy_j=…`",
    "detector distance": "`detector_distance_m=…`",
    "detector pixel": "`detector_pixel_m=…`",
}
ASK_FOR_COLUMNS = "the order of the columns of the positions (`columns='y,x'` or x,y)"

# Names by which the rest of the field calls these things, wherever they stand in the last part of a path.
_NO_FRAMES = re.compile(r"mask|dark|flat|bad|valid|probe|object|background|white", re.IGNORECASE)
_POSITIONS = re.compile(r"pos|trans|coord|scan|motor|point|encoder|stage|sample", re.IGNORECASE)
_MASK = re.compile(r"mask|bad_?pix|valid_?pix|good_?pix|^(bad|valid|good)$", re.IGNORECASE)
_COLUMN_ORDER = re.compile(r"(?:^|[_/])(yx|xy)(?:_\w+)?$", re.IGNORECASE)
_GOOD = re.compile(r"valid|good", re.IGNORECASE)
_PROBE = re.compile(r"probe|illumination", re.IGNORECASE)
_ENERGY = re.compile(r"energy", re.IGNORECASE)
_WAVELENGTH = re.compile(r"wavelength|lambda", re.IGNORECASE)
_DISTANCE = re.compile(r"distance|detdist|det_dist|camera_length", re.IGNORECASE)
_PIXEL = re.compile(r"pix", re.IGNORECASE)
_OF_OBJECT = re.compile(r"obj|recon|sample|specimen|real|probe", re.IGNORECASE)
_OF_DETECTOR = re.compile(r"det|ccd|camera", re.IGNORECASE)
_OF_BEAM = re.compile(r"photon|beam|incident|x_?ray", re.IGNORECASE)
# Energies that are not the photons', and what is no energy but its width.
_NOT_OF_PHOTONS = re.compile(r"ring|machine|electron|threshold|spread|width|resol", re.IGNORECASE)
_LENGTH = re.compile(
    "|".join(pattern.pattern for pattern in (_ENERGY, _WAVELENGTH, _DISTANCE, _PIXEL)), re.IGNORECASE
)
_NOT_A_SIZE = re.compile(r"num|count|npix|n_pix|bad|mask|valid", re.IGNORECASE)
_SUFFIX_UNIT = re.compile(r"_(m|mm|um|nm|pm|ev|kev|j|px)$", re.IGNORECASE)
_AXES = (("y", "x"), ("row", "col"), ("vertical", "horizontal"), ("ver", "hor"))
_LEAST_SIDE = 8
# No detector has smaller or larger pixels, in metres.
_DETECTOR_PIXELS_M = (1e-7, 1e-2)
# Two numbers that differ by less say the same, as a photon energy and its wavelength.
_SAME = 1e-3


@dataclass(frozen=True)
class Entry:
    """A dataset: its path, shape and type."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Guess:
    """Datasets of one file that look like the parts of a scan; None where nothing does."""

    frames: str | None = None
    positions: str | None = None
    y: str | None = None
    x: str | None = None
    mask: str | None = None
    probe: str | None = None

    @property
    def found(self) -> dict[str, str]:
        """What was found, by the names of the settings."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: path for name, path in every.items() if path is not None}

    @property
    def settings(self) -> str:
        """The settings that name what was found, in words."""
        return " ".join(f"`{name}={f':{path}'!r}`" for name, path in self.found.items())

    def without_named(self, settings: ImportSettings) -> Guess:
        """Return what is not named by `settings`."""
        named = {name for name in self.found if getattr(settings, name) is not None}
        if settings.names_positions:
            named |= {"positions", "y", "x"}
        return replace(self, **dict.fromkeys(named))

    def lacking(self, lengths: dict[str, tuple[float, str]]) -> list[str]:
        """Return what a scan would lack if all was right, with the settings that tell it; `lengths` are guessed."""
        needed = {
            "photon energy": "photon_energy_j",
            "detector distance": "detector_distance_m",
            "detector pixel": "detector_pixel_m",
        }
        names = [name for name, field in needed.items() if field not in lengths]
        names = [] if "object_pixel_m" in lengths else names
        if self.positions is None and self.x is None:
            names = ["positions", *names]
        asks = (
            [ASK_FOR_COLUMNS] if self.positions is not None and order_in_name(self.positions) is None else []
        )
        return [f"{name} ({FLAGS_OF[name]})" for name in names] + asks


def entries_of(container: Any) -> list[Entry]:
    """Return the datasets of an open container."""
    if isinstance(container, Hdf5File):
        return [Entry(path, shape, dtype) for path, shape, dtype in container.datasets()]
    if isinstance(container, Archive):
        return [Entry(key, container.shape(key), container.dtype(key)) for key in container.keys]
    if isinstance(container, MatFile):
        values = {key: container.values(key) for key in container.keys}
        return [Entry(key, found.shape, found.dtype) for key, found in values.items() if found is not None]
    if isinstance(container, NpyFile):
        return [Entry("", container.array.shape, container.array.dtype)]
    if isinstance(container, TiffStack):
        return [Entry("", container.shape, container.dtype)]
    if isinstance(container, FrameSeries):
        return []
    assert isinstance(container, TextTable)
    return [Entry(name, container.rows.shape[:1], container.rows.dtype) for name in container.names]


def guess(container: Any, *, shape: tuple[int, ...] | None = None) -> Guess:
    """Return what looks like the parts of a scan; `shape` is that of the frames where they are known, or elsewhere."""
    entries = [entry for entry in entries_of(container) if entry.dtype.kind in "biufc"]
    frames = _frames(entries) if shape is None else None
    shape = frames.shape if frames is not None else shape
    counts = set() if shape is None else {shape[0], shape[-1], math.prod(shape[:-2])}
    sides = set() if shape is None else set(shape)
    pair, table = _pair(entries, counts), _table(entries, counts)
    masks = [
        e
        for e in entries
        if _MASK.search(e.name) and len(e.shape) == 2 and (not sides or set(e.shape) <= sides)
    ]
    probes = [e for e in entries if _PROBE.search(e.name) and e.dtype.kind == "c" and len(e.shape) >= 2]
    return Guess(
        frames=None if frames is None else frames.path,
        positions=table.path if pair is None and table is not None else None,
        y=None if pair is None else pair[0].path,
        x=None if pair is None else pair[1].path,
        mask=masks[0].path if masks else None,
        probe=probes[0].path if probes else None,
    )


def guess_frames(container: Any, source: Path) -> str | None:
    """Return the dataset that looks like frames, and say so."""
    frames = _frames(entries_of(container))
    if frames is None:
        return None
    logger.info("%s: frames are taken from %s %s", source.name, frames.path, frames.shape)
    return frames.path


def means_good(path: str) -> bool:
    """Tell whether the name of a mask says that its non-zero pixels are good."""
    return _GOOD.search(path.rpartition("/")[2]) is not None


def guess_lengths(container: Any) -> dict[str, tuple[float, str]]:
    """Return what looks like energy, distance and pixel sizes: by field of `ImportSettings`, in SI units, and where.

    What several names fit equally well with different numbers is not guessed.
    """
    candidates: dict[str, list[_Candidate]] = {}
    for path, value, unit in _scalars(container):
        for found in _lengths_named(path, value, unit):
            candidates.setdefault(found.field, []).append(found)
    chosen = {field: _best(fitting) for field, fitting in candidates.items()}
    return {field: (best.value, best.path) for field, best in chosen.items() if best is not None}


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A number that may be `field` of `ImportSettings`, in SI units; `is_named` if its name says of what it is."""

    field: str
    value: float
    path: str
    is_named: bool


def _best(candidates: list[_Candidate]) -> _Candidate | None:
    fitting = [each for each in candidates if each.is_named] or candidates
    first = fitting[0]
    if all(math.isclose(each.value, first.value, rel_tol=_SAME) for each in fitting):
        return first
    logger.info(
        "%s fit equally well as %s, so none is taken",
        " and ".join(f"{each.path} ({each.value:.4g})" for each in fitting),
        first.field,
    )
    return None


def order_in_name(path: str) -> tuple[int, int] | None:
    """Return the columns of y and x that the name of a table tells, as in ``positions_yx`` or ``xy_um``."""
    match = _COLUMN_ORDER.search(path.rpartition("/")[2])
    if match is None:
        return None
    return (0, 1) if match.group(1).lower() == "yx" else (1, 0)


def unit_in_name(path: str) -> str | None:
    """Return the unit that a name ends with, as in ``pos_um``."""
    match = _SUFFIX_UNIT.search(path)
    return match.group(1) if match else None


def _lengths_named(path: str, value: float, unit: str | None) -> Iterator[_Candidate]:
    name = path.rpartition("/")[2].rpartition("@")[2]
    try:
        if _ENERGY.search(name) and not _NOT_OF_PHOTONS.search(name):
            yield _candidate("photon_energy_j", photon_energy_j(value, name, unit), path, _OF_BEAM)
        elif _WAVELENGTH.search(name):
            energy = PLANCK_TIMES_C_J_M / (value * metres_per(unit, name))
            yield _candidate("photon_energy_j", energy, path, _OF_BEAM)
        elif _DISTANCE.search(name) and (unit is not None or 1e-3 < value < 100):
            yield _candidate("detector_distance_m", value * metres_per(unit, name), path, _OF_DETECTOR)
        elif _PIXEL.search(name) and not _NOT_A_SIZE.search(name):
            yield from _pixels_named(path, value * metres_per(unit, name), has_unit=unit is not None)
    except DataError:
        # A unit that is no length or energy: the name meant something else.
        return


def _pixels_named(path: str, size_m: float, *, has_unit: bool) -> Iterator[_Candidate]:
    """Yield the size of a pixel as the object's or the detector's, by the last part of its path that says which."""
    smallest, largest = _DETECTOR_PIXELS_M
    for part in reversed(re.split("[/@]", path)):
        of_detector, of_object = _OF_DETECTOR.search(part), _OF_OBJECT.search(part)
        if of_object and not of_detector:
            if has_unit or size_m < 1e-5:
                yield _Candidate(field="object_pixel_m", value=size_m, path=path, is_named=True)
            return
        if of_detector:
            break
    if smallest < size_m < largest:
        yield _candidate("detector_pixel_m", size_m, path, _OF_DETECTOR)


def _candidate(field: str, value: float, path: str, says: re.Pattern[str]) -> _Candidate:
    return _Candidate(field=field, value=value, path=path, is_named=says.search(path) is not None)


def _scalars(container: Any) -> Iterator[tuple[str, float, str | None]]:
    """Yield path, value and unit of single positive numbers."""
    for entry in entries_of(container):
        if math.prod(entry.shape) != 1 or entry.dtype.kind not in "iuf" or not _LENGTH.search(entry.name):
            continue
        value = float(container.read(entry.path).ravel()[0])
        unit = None
        if isinstance(container, Hdf5File):
            unit = container.text(f"{entry.path}@units", f"{entry.path}@unit")
        if np.isfinite(value) and value > 0:
            yield entry.path, value, unit or unit_in_name(entry.path)
    if isinstance(container, Hdf5File):
        for path, name in container.attribute_names():
            if not _LENGTH.search(name):
                continue
            value = np.ravel(container.attribute(path, name))
            if value.size == 1 and value.dtype.kind in "iuf" and np.isfinite(value[0]) and value[0] > 0:
                yield f"{path}@{name}", float(value[0]), unit_in_name(name)


def _frames(entries: Iterable[Entry]) -> Entry | None:
    stacks = [
        entry
        for entry in entries
        if len(entry.shape) >= 3
        and entry.dtype.kind in "iuf"
        and sum(extent >= _LEAST_SIDE for extent in entry.shape) >= 2
        and not _NO_FRAMES.search(entry.name)
    ]
    return max(stacks, key=lambda entry: math.prod(entry.shape), default=None)


def _pair(entries: list[Entry], counts: set[int]) -> tuple[Entry, Entry] | None:
    """Return the best pair of datasets whose names differ in y and x alone."""
    vectors = {
        entry.path.lower(): entry
        for entry in entries
        if entry.dtype.kind in "iuf" and math.prod(entry.shape) in counts and math.prod(entry.shape) > 1
    }
    pairs = []
    for lower, entry in vectors.items():
        for y_word, x_word in _AXES:
            for match in re.finditer(y_word, lower):
                other = lower[: match.start()] + x_word + lower[match.end() :]
                if other in vectors and match.start() >= lower.rfind("/"):
                    pairs.append((entry, vectors[other]))
    pairs.sort(key=lambda pair: not _POSITIONS.search(pair[0].path))
    return pairs[0] if pairs else None


def _table(entries: list[Entry], counts: set[int]) -> Entry | None:
    tables = [
        entry
        for entry in entries
        if entry.dtype.kind in "iuf"
        and len(shape := tuple(extent for extent in entry.shape if extent != 1)) == 2
        and {2, 3} & set(shape)
        and counts & set(shape)
    ]
    tables.sort(key=lambda entry: not _POSITIONS.search(entry.name))
    return tables[0] if tables else None
