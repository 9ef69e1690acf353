"""Products of ptychodus, HDF5, with the keys of version 1.7 (docs/formats.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptycho.data.exporting._metres import InMetres, hdf5_bytes, in_metres
from ptycho.data.geometry import ScanGeometry
from ptycho.data.reconstruction import Reconstruction

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".h5",)


def files(reconstruction: Reconstruction, geometry: ScanGeometry | None) -> dict[str, bytes]:
    """Return the one file of a product."""
    image = in_metres(reconstruction, geometry)
    return {SUFFIXES[0]: hdf5_bytes(lambda file: _fill(file, image))}


def _fill(file: h5py.File, image: InMetres) -> None:
    pixel_m = image.geometry.object_pixel_m
    pixel = {"pixel_width_m": pixel_m, "pixel_height_m": pixel_m}
    file.attrs.update(
        {
            "name": image.label,
            "comments": "",
            "detector_object_distance_m": image.distance_m,
            "photon_energy_eV": image.photon_energy_ev,
            "probe_photon_count": image.photons,
            "exposure_time_s": 0.0,
            "mass_attenuation_m2_per_kg": 0.0,
            "tomography_angle_deg": 0.0,
        }
    )
    file["probe_position_indexes"] = np.arange(len(image.positions_yx_m))
    file["probe_position_x_m"] = image.positions_yx_m[:, 1]
    file["probe_position_y_m"] = image.positions_yx_m[:, 0]
    file["probe"] = image.probe
    file["probe"].attrs.update(pixel)
    file["object"] = image.object
    file["object"].attrs.update(pixel | {"center_x_m": 0.0, "center_y_m": 0.0})
    file["object_layer_spacing_m"] = np.zeros(0)
    file["loss_epochs"] = np.zeros(0, np.int64)
    file["loss_values"] = np.zeros(0)
