"""Results of PyNX, CXI with object, probe and positions; stored upside down against the frames."""

from __future__ import annotations

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import metres_per, one_side
from ptycho.data.formats.ptychodus_product import projection
from ptycho.errors import DataError

_IMAGES = ("object", "probe", "positions")


def _entry(file: Hdf5File) -> str:
    """Return the newest entry, which PyNX adds to the same file at each run."""
    return "entry_last" if "entry_last" in file else "entry_1"


def _recognises(file: Hdf5File) -> bool:
    if file.text("@creator") != "PyNX" and "entry_last" not in file:
        return False
    return all(_place(file, name) is not None for name in ("object", "probe"))


def _place(file: Hdf5File, name: str) -> str | None:
    entry = _entry(file)
    result = {"object": "result_1/data", "probe": "result_2/data", "positions": "result_5/data"}[name]
    found = (f"{entry}/{place}" for place in (name, result, f"{name}/data"))
    return next((path for path in found if file.is_dataset(path)), None)


def _parts(file: Hdf5File) -> Parts:
    paths = {name: _place(file, name) for name in _IMAGES}
    image = projection(file.read(str(paths["object"])), file.name)[::-1]
    probe = file.read(str(paths["probe"]))[..., ::-1, :]
    rows_m, columns_m = (_coordinates(file, name) for name in ("row_coords", "col_coords"))
    parts = Parts(files=(file.name,), probe=probe, object_image=image, label="PyNX")
    if paths["positions"] is None or rows_m is None or columns_m is None:
        return parts
    positions = file.read(str(paths["positions"])).astype(np.float64)
    if positions.ndim != 2 or positions.shape[0] < 2:
        raise DataError(
            f"{paths['positions']} in {file.name} has shape {positions.shape} but must be (4, n), x and y first; run "
            "PyNX again."
        )
    height, width = (float(abs(line[-1] - line[0]) / (line.size - 1)) for line in (rows_m, columns_m))
    return Parts(
        files=(file.name,),
        positions_yx=positions[1::-1].T,
        probe=probe,
        object_image=image,
        origin_yx=np.array([rows_m.min(), columns_m[0]]),
        object_pixel_m=one_side(height, width, f"the object's pixel in {file.name}"),
        label="PyNX",
    )


def _coordinates(file: Hdf5File, name: str) -> np.ndarray | None:
    entry = _entry(file)
    for path in (f"{entry}/{name}", f"{entry}/result_1/{name}", f"{entry}/object/{name}", name):
        if file.is_dataset(path):
            line = file.read(path).ravel().astype(np.float64)
            if line.size > 1:
                return line * metres_per(file.text(f"{path}@units"), f"{path} in {file.name}")
    return None


FORMAT = Format(
    name="pynx-result",
    title="a result of PyNX",
    container=Hdf5File,
    recognises=_recognises,
    parts=_parts,
)
