"""What the dialects of CXI have in common: detector, source, and the sample's translations."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._quantities import energy_of_wavelength, known, one_side, photon_energy_j
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

# Bit "has signal" of the CXI specification: it marks no fault.
_HAS_SIGNAL = 0x1000
_TRANSLATIONS = (
    "sample_1/geometry_1/translation",
    "data_1/translation",
    "instrument_1/detector_1/translation",
)
_WAVELENGTHS = (
    "instrument_1/source_1/wavelength",
    "instrument_1/beam_1/incident_wavelength",
    "beam_1/incident_wavelength",
)
_ENERGIES = (
    "instrument_1/source_1/energy",
    "instrument_1/beam_1/incident_energy",
    "beam_1/incident_energy",
)


def first_of(file: Hdf5File, entry: str, *places: str) -> str | None:
    """Return the first of the places below `entry` that holds a dataset, as a whole path."""
    paths = (f"{entry}/{place}" for place in places)
    return next((path for path in paths if file.is_dataset(path)), None)


def frames_of(file: Hdf5File, entry: str) -> FrameStack | None:
    """Return the frames with the background and the efficiency that the file has for them."""
    path = first_of(file, entry, "data_1/data", "instrument_1/detector_1/data")
    if path is None or len(file.shape(path) or ()) not in (3, 4):
        return None
    detector = "instrument_1/detector_1"
    dark = first_of(file, entry, *(f"{detector}/{key}" for key in ("data_dark", "dark", "darkfield")))
    flat = first_of(file, entry, *(f"{detector}/{key}" for key in ("qe_mask", "flatfield")))
    return FrameStack.of_hdf5(file, path, dark=_mean_image(file, dark), flat=_mean_image(file, flat))


def bad_pixels_of(file: Hdf5File, entry: str) -> np.ndarray | None:
    """Return True where the mask marks a fault in any frame; zero and the bit "has signal" mark none."""
    path = first_of(file, entry, "instrument_1/detector_1/mask", "data_1/mask")
    if path is None:
        return None
    mask = file.read(path)
    if mask.dtype.kind not in "biu":
        raise DataError(
            f"{path} in {file.name} is {mask.dtype} but a mask holds whole numbers; mend the file."
        )
    bad = (mask.astype(np.int64) & ~_HAS_SIGNAL) != 0
    return bad.reshape(-1, *bad.shape[-2:]).any(axis=0) if bad.ndim > 2 else bad


def energy_of(file: Hdf5File, entry: str) -> float | None:
    """Return the photon energy in joules: from the wavelength where there is one, for it is exact in every dialect."""
    wavelength = known(file.number(*(f"{entry}/{place}" for place in _WAVELENGTHS)))
    if wavelength is not None:
        return energy_of_wavelength(wavelength)
    path = first_of(file, entry, *_ENERGIES)
    value = None if path is None else known(file.number(path))
    return None if value is None else photon_energy_j(value, f"{path} in {file.name}")


def distance_of(file: Hdf5File, entry: str) -> float | None:
    """Return the distance from sample to detector; of a corner's position, its part along the detector's normal."""
    detector = f"{entry}/instrument_1/detector_1"
    distance = known(abs(file.number(f"{detector}/distance") or 0.0))
    if distance is not None or not file.is_dataset(f"{detector}/corner_position"):
        return distance
    corner = file.read(f"{detector}/corner_position").ravel()
    basis = basis_of(file, entry)
    normal = np.array([0.0, 0.0, 1.0]) if basis is None else np.cross(basis[0], basis[1])
    return known(float(abs(corner @ normal) / np.linalg.norm(normal))) if corner.size == 3 else None


def detector_pixel_of(file: Hdf5File, entry: str) -> float | None:
    """Return the side of the detector's pixel, from its sizes or from the basis vectors."""
    detector, what = f"{entry}/instrument_1/detector_1", f"the detector's pixel in {file.name}"
    side = one_side(file.number(f"{detector}/y_pixel_size"), file.number(f"{detector}/x_pixel_size"), what)
    if side is not None:
        return side
    basis = basis_of(file, entry)
    if basis is None:
        return None
    height, width = (float(np.linalg.norm(step)) for step in basis)
    return one_side(height, width, what)


def basis_of(file: Hdf5File, entry: str) -> np.ndarray | None:
    """Return the steps of rows and columns in (x, y, z), (2, 3); the transpose, as cdtools writes it, is turned."""
    path = f"{entry}/instrument_1/detector_1/basis_vectors"
    if not file.is_dataset(path):
        return None
    basis = file.read(path)
    if basis.shape == (3, 2):
        basis = basis.T
    if basis.shape != (2, 3) or not np.isfinite(basis).all() or np.linalg.matrix_rank(basis) < 2:
        raise DataError(
            f"{path} in {file.name} has shape {basis.shape} but must be two independent steps in x, y, z, (2, 3) "
            "or (3, 2); mend the file."
        )
    return basis.astype(np.float64)


def probe_motion(file: Hdf5File, entry: str, n_frames: int | None) -> np.ndarray | None:
    """Return where the probe is on the sample, (n, 2) in metres along the rows and columns of the frames.

    The file has translations of the sample, in the frame of the laboratory, so that the probe moves against them;
    the detector's basis vectors say where rows and columns lead. Without these the default of CXI holds, in which
    both signs cancel.
    """
    path = first_of(file, entry, *_TRANSLATIONS)
    if path is None:
        return None
    moves = file.read(path).astype(np.float64)
    transposed = (
        moves.ndim == 2
        and moves.shape[0] in (2, 3)
        and (moves.shape[1] not in (2, 3) or moves.shape[1] == n_frames != moves.shape[0])
    )
    if transposed or (moves.shape == (3, 3) and file.text("@creator") == "PyNX"):
        logger.info("%s: %s has the order (3, n), as PyNX writes it, and is turned", file.name, path)
        moves = moves.T
    if moves.ndim != 2 or moves.shape[1] not in (2, 3):
        raise DataError(
            f"{path} in {file.name} has shape {moves.shape} but must be (n, 3), x, y and z; mend the file."
        )
    moves = np.pad(moves, ((0, 0), (0, 3 - moves.shape[1])))
    basis = basis_of(file, entry)
    if basis is None:
        basis = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])
    directions = basis / np.linalg.norm(basis, axis=1, keepdims=True)
    return -moves @ np.linalg.pinv(directions)


def _mean_image(file: Hdf5File, path: str | None) -> np.ndarray | None:
    if path is None:
        return None
    images = file.read(path).astype(np.float64)
    return images.reshape(-1, *images.shape[-2:]).mean(axis=0) if images.ndim > 2 else images
