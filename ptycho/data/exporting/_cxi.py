"""Reconstructions as CXI 1.6 (https://github.com/cxidb/CXI), with the group that ptychodus adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptycho._version import __version__
from ptycho.data.exporting._metres import InMetres, hdf5_bytes, in_metres
from ptycho.data.geometry import ScanGeometry
from ptycho.data.reconstruction import Reconstruction

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".cxi",)
_VERSION = 160
_ENTRY = "entry_1"
_DETECTOR, _SOURCE = f"/{_ENTRY}/instrument_1/detector_1", f"/{_ENTRY}/instrument_1/source_1"


def files(reconstruction: Reconstruction, geometry: ScanGeometry | None) -> dict[str, bytes]:
    """Return the one file."""
    image = in_metres(reconstruction, geometry)
    return {SUFFIXES[0]: hdf5_bytes(lambda file: _fill(file, image))}


def _fill(file: h5py.File, image: InMetres) -> None:
    file["cxi_version"] = _VERSION
    entry = file.create_group(_ENTRY)
    entry["title"] = entry["sample_1/name"] = image.label
    entry["process_1/program"], entry["process_1/version"] = "ptycho", __version__
    file[f"{_DETECTOR}/distance"] = image.distance_m
    if image.geometry.detector_pixel_m is not None:
        for key in ("x_pixel_size", "y_pixel_size"):
            file[f"{_DETECTOR}/{key}"] = image.geometry.detector_pixel_m
    file[f"{_SOURCE}/energy"] = image.geometry.photon_energy_j or 0.0
    # (x, y, z) of the sample.
    moves = np.pad(image.positions_yx_m[:, ::-1], ((0, 0), (0, 1)))
    entry["sample_1/geometry_1/translation"] = moves
    _add_image(entry, "image_1", image.probe, "coherent:incoherent:y:x", image)
    _add_image(entry, "image_2", image.object, "layer:y:x", image)
    _add_ptychodus(entry.create_group("ptychodus"), image)


def _add_image(entry: h5py.Group, name: str, values: np.ndarray, axes: str, image: InMetres) -> None:
    import h5py

    group = entry.create_group(name)
    group["data"] = values
    group["data"].attrs["axes"] = axes
    group["data_space"] = "real"
    height, width = np.array(values.shape[-2:]) * image.geometry.object_pixel_m
    group["image_size"] = np.array([width, height, 0.0])
    group["detector_1"], group["source_1"] = h5py.SoftLink(_DETECTOR), h5py.SoftLink(_SOURCE)


def _add_ptychodus(group: h5py.Group, image: InMetres) -> None:
    """Add what products know and CXI has no place for."""
    for name in ("object", "probe"):
        for side in ("width", "height"):
            group[f"{name}_pixel_{side}_m"] = image.geometry.object_pixel_m
    group["object_center_x_m"] = group["object_center_y_m"] = 0.0
    group["probe_position_indexes"] = np.arange(len(image.positions_yx_m))
    group["probe_photon_count"] = image.photons
    group["exposure_time_s"] = group["tomography_angle_deg"] = 0.0
    group["loss_epochs"], group["loss_values"] = np.zeros(0, np.int64), np.zeros(0)
