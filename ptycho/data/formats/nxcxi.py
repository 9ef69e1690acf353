"""NXcxi_ptycho and NXptycho: NeXus files whose source energy is the machine's; axes carry units and vectors."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import known, metres_per, one_side, photon_energy_j
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

_DEFINITIONS = ("NXcxi_ptycho", "NXptycho")
# Beyond it an energy is that of the electrons in the machine, in eV.
_MACHINE_EV = 1e8
_ROW, _COLUMN = 1, 0


def _entry(file: Hdf5File) -> str | None:
    """Return the group whose definition is one of these."""
    names = [key for key in sorted(file.keys()) if key.startswith("entry")]
    return next((name for name in names if file.text(f"{name}/definition") in _DEFINITIONS), None)


def _parts(file: Hdf5File) -> Parts:
    entry = str(_entry(file))
    detector = f"{entry}/{_named(file, entry, 'instrument')}"
    detector = f"{detector}/{_named(file, detector, 'detector')}"
    data = _first(file, f"{entry}/data_1/data", f"{detector}/data", f"{entry}/data/data")
    frames = None if data is None else _frames(file, data, detector)
    mask = _first(file, f"{detector}/mask", f"{detector}/pixel_mask")
    return Parts(
        files=(file.name,),
        frames=frames,
        bad_pixels=None if mask is None else _image(file, mask) != 0,
        positions_yx=_positions(file, entry, detector, None if frames is None else frames.shape[0]),
        photon_energy_j=_energy(file, entry),
        detector_distance_m=known(abs(_length(file, f"{detector}/distance") or 0.0)),
        detector_pixel_m=one_side(
            _length(file, f"{detector}/y_pixel_size"),
            _length(file, f"{detector}/x_pixel_size"),
            f"the detector's pixel in {file.name}",
        ),
    )


def _named(file: Hdf5File, group: str, kind: str) -> str:
    """Return ``kind_1`` as CXI numbers its groups, or ``kind`` as NeXus calls them."""
    return f"{kind}_1" if f"{group}/{kind}_1" in file else kind


def _first(file: Hdf5File, *paths: str) -> str | None:
    return next((path for path in paths if file.is_dataset(path)), None)


def _frames(file: Hdf5File, path: str, detector: str) -> FrameStack:
    dark, flat = _first(file, f"{detector}/darkfield"), _first(file, f"{detector}/flatfield")
    return FrameStack.of_hdf5(
        file,
        path,
        dark=None if dark is None else _image(file, dark),
        flat=None if flat is None else _image(file, flat),
    )


def _image(file: Hdf5File, path: str) -> np.ndarray:
    images = file.read(path).astype(np.float64)
    return images.reshape(-1, *images.shape[-2:]).mean(axis=0) if images.ndim > 2 else images


def _length(file: Hdf5File, path: str) -> float | None:
    value = file.number(path)
    return None if value is None else value * metres_per(file.text(f"{path}@units"), f"{path} in {file.name}")


def _energy(file: Hdf5File, entry: str) -> float | None:
    instrument = f"{entry}/{_named(file, entry, 'instrument')}"
    beams = [f"{holder}/{_named(file, holder, 'beam')}" for holder in (instrument, entry)]
    path = _first(
        file,
        *(f"{beam}/{key}" for beam in beams for key in ("energy", "incident_beam_energy", "incident_energy")),
    )
    value = None if path is None else known(file.number(path))
    if path is None or value is None:
        return None
    what = f"{path} in {file.name}"
    if value > _MACHINE_EV:
        raise DataError(f"{what} is {value:g}, the energy of a machine and not of photons; mend the file.")
    return photon_energy_j(value, what, file.text(f"{path}@units"))


def _positions(file: Hdf5File, entry: str, detector: str, n_frames: int | None) -> np.ndarray | None:
    """Return positions (n, 2) in metres: from the axes of the sample, or the table of translations."""
    sample = f"{entry}/{_named(file, entry, 'sample')}"
    axes = _axes(file, f"{sample}/transformations")
    if len(axes) == 2:
        return _paired(axes[_ROW], axes[_COLUMN], n_frames, file.name)
    table = _first(
        file, f"{sample}/geometry_1/translation", f"{detector}/translation", f"{entry}/data_1/translation"
    )
    if table is None:
        return None
    moves = file.read(table).astype(np.float64)
    if moves.ndim != 2 or moves.shape[1] not in (2, 3):
        raise DataError(
            f"{table} in {file.name} has shape {moves.shape} but must be (n, 3), x, y and z; mend the file."
        )
    return moves[:, 1::-1] * metres_per(file.text(f"{table}@units"), f"{table} in {file.name}")


def _axes(file: Hdf5File, group: str) -> dict[int, np.ndarray]:
    """Return the axes that move along x (0) and y (1), in metres: told by their vectors, else by their names."""
    found: dict[int, np.ndarray] = {}
    for name in file.keys(group):
        path = f"{group}/{name}"
        if not file.is_dataset(path) or file.text(f"{path}@transformation_type") == "rotation":
            continue
        vector = file.attribute(path, "vector")
        direction = np.ravel(vector).astype(np.float64) if vector is not None else _of_name(name)
        if direction is None or direction.size != 3 or not np.abs(direction[:2]).any():
            continue
        axis = int(np.argmax(np.abs(direction[:2])))
        unit = metres_per(file.text(f"{path}@units"), f"{path} in {file.name}")
        found[axis] = file.read(path).astype(np.float64) * unit * np.sign(direction[axis])
    return found


def _of_name(name: str) -> np.ndarray | None:
    return {"x": np.array([1.0, 0, 0]), "y": np.array([0, 1.0, 0])}.get(name)


def _paired(y: np.ndarray, x: np.ndarray, n_frames: int | None, name: str) -> np.ndarray:
    """Return (n, 2) from axes of one value a frame, or from the rows and columns of a raster, columns fast."""
    y, x = y.ravel(), x.ravel()
    if n_frames is not None and n_frames not in (y.size, x.size) and y.size * x.size == n_frames:
        y, x = (grid.ravel() for grid in np.meshgrid(y, x, indexing="ij"))
    if y.size != x.size:
        raise DataError(
            f"the sample's axes in {name} have {y.size} values in y and {x.size} in x, which fit neither one for each "
            "frame nor the rows and columns of a raster; mend the file."
        )
    return np.stack([y, x], axis=-1)


FORMAT = Format(
    name="nxcxi",
    title="an NXcxi_ptycho file",
    container=Hdf5File,
    recognises=lambda file: _entry(file) is not None,
    parts=_parts,
)
