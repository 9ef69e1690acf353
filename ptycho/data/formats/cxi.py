"""CXI in the dialects of cdtools, ptychodus and PyNX, and what else follows the specification 1.4 to 1.6."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._cxi_detector import (
    bad_pixels_of,
    detector_pixel_of,
    distance_of,
    energy_of,
    first_of,
    frames_of,
    probe_motion,
)
from ptycho.data.formats._format import Format
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import frame_numbers, known, one_side
from ptycho.data.formats.ptychodus_product import first_coherent, projection
from ptycho.errors import DataError

_ENTRY = "entry_1"


def _recognises(file: Hdf5File) -> bool:
    inside = (f"{_ENTRY}/{place}" for place in ("instrument_1", "data_1", "sample_1"))
    return "cxi_version" in file or any(place in file for place in inside)


def _parts(file: Hdf5File) -> Parts:
    _refuse_tilted_sample(file)
    frames = frames_of(file, _ENTRY)
    parts = Parts(
        files=(file.name,),
        frames=frames,
        bad_pixels=None if frames is None else bad_pixels_of(file, _ENTRY),
        positions_yx=probe_motion(file, _ENTRY, None if frames is None else frames.shape[0]),
        probe=_illumination(file),
        photon_energy_j=energy_of(file, _ENTRY),
        detector_distance_m=distance_of(file, _ENTRY),
        detector_pixel_m=detector_pixel_of(file, _ENTRY),
    )
    return _with_product(file, parts)


def _with_product(file: Hdf5File, parts: Parts) -> Parts:
    """Return `parts` with the probe and object that ptychodus stores as images 1 and 2, and with its own lengths."""
    own = f"{_ENTRY}/ptychodus"
    if file.text(f"{_ENTRY}/process_1/program") != "Ptychodus" and own not in file:
        return parts
    image = first_of(file, _ENTRY, "image_2/data")
    probe = first_of(file, _ENTRY, "image_1/data")

    def number(key: str) -> float | None:
        return file.number(f"{own}/{key}", f"{own}@{key}")

    pixel = one_side(
        number("object_pixel_height_m"), number("object_pixel_width_m"), f"the object's pixel in {file.name}"
    )
    indexes = f"{own}/probe_position_indexes"
    parts = replace(
        parts,
        position_ids=frame_numbers(file.read(indexes), f"{indexes} in {file.name}")
        if file.is_dataset(indexes)
        else None,
        probe=parts.probe if probe is None else first_coherent(file.read(probe)),
        object_pixel_m=known(pixel),
        label="ptychodus",
    )
    if image is None or pixel is None:
        return parts
    layers = projection(file.read(image), file.name)
    centre = np.array([number("object_center_y_m") or 0.0, number("object_center_x_m") or 0.0])
    return replace(parts, object_image=layers, origin_yx=centre - np.array(layers.shape) / 2 * pixel)


def _illumination(file: Hdf5File) -> np.ndarray | None:
    path = first_of(file, _ENTRY, "instrument_1/source_1/illumination", "instrument_1/source_1/probe")
    probe = None if path is None else file.read(path)
    # An amplitude alone lies at the detector or the sample, which only its writer knows.
    return probe if probe is not None and probe.dtype.kind == "c" else None


def _refuse_tilted_sample(file: Hdf5File) -> None:
    path = f"{_ENTRY}/sample_1/geometry_1/surface_normal"
    normal = file.read(path).ravel() if file.is_dataset(path) else np.array([0.0, 0.0, 1.0])
    if normal.size != 3 or abs(abs(normal[2]) - np.linalg.norm(normal)) > 1e-3 * np.linalg.norm(normal):
        raise DataError(
            f"{path} in {file.name} is {normal.tolist()}, a sample in reflection, but only one across the beam, "
            "(0, 0, 1), is read; project the positions onto the detector's plane first."
        )


FORMAT = Format(
    name="cxi",
    title="a CXI file",
    container=Hdf5File,
    recognises=_recognises,
    parts=_parts,
)
