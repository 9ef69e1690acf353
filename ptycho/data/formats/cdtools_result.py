"""Results of cdtools, HDF5: object, probe modes and the translations it refined, without frames."""

from __future__ import annotations

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import energy_of_wavelength, known, one_side
from ptycho.errors import DataError

_NEEDED = ("obj", "obj_basis", "translations", "probe")


def _parts(file: Hdf5File) -> Parts:
    basis = file.read("obj_basis").astype(np.float64)
    moves = file.read("translations").astype(np.float64)
    if basis.shape != (3, 2) or moves.ndim != 2 or moves.shape[1] != 3:
        raise DataError(
            f"obj_basis and translations in {file.name} have shapes {basis.shape} and {moves.shape} but must be (3, 2) "
            "and (n, 3); save the results again with cdtools."
        )
    probe = file.read("probe")
    lowest = (
        file.read("state_dict/min_translation").ravel()
        if "state_dict/min_translation" in file
        else np.zeros(2)
    )
    image = file.read("obj")
    height, width = np.linalg.norm(basis, axis=0).tolist()
    wavelength = known(file.number("state_dict/wavelength", "wavelength"))
    return Parts(
        files=(file.name,),
        positions_yx=moves @ np.linalg.pinv(basis).T,
        position_unit="px",
        probe=probe,
        object_image=image if image.ndim == 2 else image.reshape(-1, *image.shape[-2:])[0],
        origin_yx=lowest.astype(np.float64) - probe.shape[-1] / 2,
        object_pixel_m=one_side(height, width, f"obj_basis in {file.name}"),
        photon_energy_j=None if wavelength is None else energy_of_wavelength(wavelength),
        label="cdtools",
    )


FORMAT = Format(
    name="cdtools-result",
    title="a result of cdtools",
    container=Hdf5File,
    recognises=lambda file: all(file.is_dataset(key) for key in _NEEDED),
    parts=_parts,
)
