"""Results of PtyRAD, HDF5 (``model_iter….hdf5``): object, probe modes and positions, for electrons, without frames."""

from __future__ import annotations

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import known
from ptycho.errors import DataError

_TENSORS, _ATTRIBUTES = "optimizable_tensors", "model_attributes"
_ANGSTROM = 1e-10


def _parts(file: Hdf5File) -> Parts:
    file.require([f"{_TENSORS}/{name}" for name in ("obja", "objp", "probe")])
    modulus, phase = (file.read(f"{_TENSORS}/{name}") for name in ("obja", "objp"))
    if modulus.ndim != 4 or modulus.shape != phase.shape:
        raise DataError(
            f"obja and objp in {file.name} have shapes {modulus.shape} and {phase.shape} but must both be (modes, "
            "slices, rows, columns); save the model again with PtyRAD."
        )
    probe = file.read(f"{_TENSORS}/probe")
    if probe.dtype.kind != "c" and probe.shape[-1] == 2:
        # Older versions keep real and imaginary parts along a last axis.
        probe = probe[..., 0] + 1j * probe[..., 1]
    pixel_angstrom = known(file.number(f"{_ATTRIBUTES}/dx"))
    return Parts(
        files=(file.name,),
        # Of several modes of the object the first; slices are passed one after the other.
        object_image=np.prod(modulus[0] * np.exp(1j * phase[0]), axis=0),
        probe=probe,
        positions_yx=_centres(file, probe.shape[-1]),
        position_unit="px",
        origin_yx=np.zeros(2),
        object_pixel_m=None if pixel_angstrom is None else pixel_angstrom * _ANGSTROM,
        label="PtyRAD",
    )


def _centres(file: Hdf5File, side: int) -> np.ndarray | None:
    """Return patch centres (n, 2) from the first pixels of the patches and their shifts."""
    corners = f"{_ATTRIBUTES}/crop_pos"
    if corners not in file:
        return None
    shifts = f"{_TENSORS}/probe_pos_shifts"
    moved = file.read(shifts) if shifts in file else 0.0
    found = file.read(corners)
    if np.shape(moved) not in ((), found.shape):
        raise DataError(
            f"crop_pos and probe_pos_shifts in {file.name} have shapes {found.shape} and {np.shape(moved)} but must "
            "both be (n, 2); save the model again with PtyRAD."
        )
    return found.astype(np.float64) + moved + side / 2


FORMAT = Format(
    name="ptyrad-result",
    title="a result of PtyRAD",
    container=Hdf5File,
    recognises=lambda file: _TENSORS in file,
    parts=_parts,
)
