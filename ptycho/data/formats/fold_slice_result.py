"""Reconstructions of fold_slice and PtychoShelves, MAT files of version 5, 6 or 7.3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._matlab import MatFile
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import energy_of_wavelength, known, one_side
from ptycho.data.formats.fold_slice import in_metres
from ptycho.errors import DataError

_NEEDED = ("object", "probe", "outputs")


def _parts(
    name: str, read: Callable[[str], np.ndarray], field: Callable[[str, str], np.ndarray | None]
) -> Parts:
    """Return the parts, given what reads a variable, and a field of a structure, in MATLAB's order of axes."""
    image, probe = read("object"), read("probe")
    if image.ndim not in (2, 3) or probe.ndim not in (2, 3, 4):
        raise DataError(
            f"object and probe in {name} have shapes {image.shape} and {probe.shape} but must be (H, W[, layers]) and "
            "(N, N[, modes]); name another file."
        )
    image = image if image.ndim == 2 else np.prod(image, axis=2)
    probe = probe[..., 0] if probe.ndim == 4 else probe
    probe = probe if probe.ndim == 2 else np.moveaxis(probe, -1, 0)
    side = probe.shape[-1]
    parts = Parts(files=(name,), object_image=image, probe=probe, label="PtychoShelves")
    positions = field("outputs", "probe_positions")
    if positions is None:
        return parts
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise DataError(
            f"outputs.probe_positions in {name} has shape {positions.shape} but must be (n, 2); reconstruct again."
        )
    # About the middle of the object, by the region that MATLAB, counting from 1, cuts out for each position.
    middle = np.ceil((np.array(image.shape) - side) / 2) - 1 + side / 2
    spacing, wavelength = field("p", "dx_spec"), _first(field("p", "lambda"))
    sides = [] if spacing is None else np.ravel(spacing).tolist()
    return replace(
        parts,
        positions_yx=positions[:, ::-1].astype(np.float64),
        position_unit="px",
        origin_yx=-middle,
        object_pixel_m=in_metres(one_side(sides[0], sides[-1], f"p.dx_spec in {name}")) if sides else None,
        photon_energy_j=None if wavelength is None else energy_of_wavelength(wavelength),
    )


def _first(value: np.ndarray | None) -> float | None:
    return None if value is None or value.size != 1 else known(float(np.ravel(value)[0]))


def _mat_parts(file: MatFile) -> Parts:
    return _parts(file.name, file.read, file.field)


def _hdf5_parts(file: Hdf5File) -> Parts:
    def field(structure: str, name: str) -> np.ndarray | None:
        path = f"{structure}/{name}"
        return file.read(path).T if file.is_dataset(path) else None

    return _parts(file.name, lambda key: file.read(key).T, field)


FORMAT = Format(
    name="fold-slice-result",
    title="a reconstruction of fold_slice",
    container=MatFile,
    recognises=lambda file: all(key in file for key in _NEEDED),
    parts=_mat_parts,
)
HDF5_FORMAT = replace(
    FORMAT,
    name="fold-slice-result-v73",
    container=Hdf5File,
    recognises=lambda file: all(key in file for key in _NEEDED) and not file.is_dataset("outputs"),
    parts=_hdf5_parts,
)
