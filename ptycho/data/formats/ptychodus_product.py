"""Products of ptychodus, HDF5 or NPZ: positions, probe and object, without frames; keys of 2024 to version 1.7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ptycho._checks.quantities import JOULE_PER_EV
from ptycho._io.archive import Archive
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import columns_yx, frame_numbers, known, one_side
from ptycho.errors import DataError

_ENERGIES = ("photon_energy_eV", "probe_energy_eV")
_NEEDED = ("probe_position_x_m", "probe_position_y_m", "object", "probe")
_INDEXES = "probe_position_indexes"


def product_parts(
    name: str, read: Callable[[str], np.ndarray], number: Callable[..., float | None], has_indexes: bool
) -> Parts:
    """Return the parts of a product.

    Parameters
    ----------
    name : str
        Of the file.
    read : callable
        Gives an array by its key.
    number : callable
        Gives the first number of several keys, None if there is none of them.
    has_indexes : bool
        Whether positions are numbered.
    """
    positions = columns_yx(read("probe_position_y_m"), read("probe_position_x_m"), f"positions in {name}")
    image = projection(read("object"), name)
    pixel = one_side(
        number("object_pixel_height_m"), number("object_pixel_width_m"), f"the object's pixel in {name}"
    )
    if pixel is None:
        raise DataError(
            f"{name} does not tell the size of the object's pixel; save the product again in ptychodus."
        )
    centre = np.array([number("object_center_y_m") or 0.0, number("object_center_x_m") or 0.0])
    energy_ev = known(number(*_ENERGIES))
    return Parts(
        files=(name,),
        positions_yx=positions,
        position_ids=frame_numbers(read(_INDEXES), f"{_INDEXES} in {name}") if has_indexes else None,
        probe=first_coherent(read("probe")),
        object_image=image,
        origin_yx=centre - np.array(image.shape) / 2 * pixel,
        photon_energy_j=None if energy_ev is None else energy_ev * JOULE_PER_EV,
        detector_distance_m=known(number("detector_object_distance_m")),
        object_pixel_m=pixel,
        label="ptychodus",
    )


def projection(layers: np.ndarray, name: str) -> np.ndarray:
    """Return the object (H, W): the product of its layers, if it has several."""
    if layers.ndim not in (2, 3) or 0 in layers.shape or layers.dtype.kind not in "iufc":
        raise DataError(
            f"the object in {name} is {layers.dtype} of shape {layers.shape} but must be numbers (layers, H, W); "
            "mend the file."
        )
    return layers if layers.ndim == 2 else np.prod(layers, axis=0)


def first_coherent(probe: np.ndarray) -> np.ndarray:
    """Return the incoherent modes of the first coherent one: of (coherent, incoherent, N, N) the first entry."""
    return probe[0] if probe.ndim == 4 and len(probe) else probe


def _hdf5_parts(file: Hdf5File) -> Parts:
    places = {
        "object_pixel_height_m": "object@pixel_height_m",
        "object_pixel_width_m": "object@pixel_width_m",
        "object_center_y_m": "object@center_y_m",
        "object_center_x_m": "object@center_x_m",
    }

    def number(*keys: str) -> float | None:
        return file.number(*(places.get(key, f"@{key}") for key in keys))

    return product_parts(file.name, file.read, number, _INDEXES in file)


def _npz_parts(archive: Archive) -> Parts:
    archive.require(_NEEDED)

    def number(*keys: str) -> float | None:
        found = next((archive.read(key) for key in keys if key in archive), None)
        return (
            float(found.item())
            if found is not None and found.size == 1 and found.dtype.kind in "biuf"
            else None
        )

    return product_parts(archive.name, archive.read, number, _INDEXES in archive)


FORMAT = Format(
    name="ptychodus-product",
    title="a product of ptychodus",
    container=Hdf5File,
    recognises=lambda file: all(file.is_dataset(key) for key in _NEEDED),
    parts=_hdf5_parts,
)
NPZ_FORMAT = replace(
    FORMAT,
    name="ptychodus-product-npz",
    container=Archive,
    recognises=lambda archive: all(key in archive for key in _NEEDED),
    parts=_npz_parts,
)
