"""Results of ptypy, ``.ptyr``: object and probe, and the positions where they were recorded."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ptycho._checks.quantities import JOULE_PER_EV
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import one_side
from ptycho.data.formats.ptychodus_product import projection
from ptycho.errors import DataError

logger = logging.getLogger(__name__)


def _parts(file: Hdf5File) -> Parts:
    storage, probe = _storage(file, "content/obj"), _storage(file, "content/probe")
    image = projection(file.read(f"{storage}/data"), file.name)
    energy_kev = _vector(file, f"{storage}/_energy")
    parts = Parts(
        files=(file.name,),
        probe=file.read(f"{probe}/data"),
        object_image=image,
        photon_energy_j=None if energy_kev is None else float(energy_kev[0]) * 1e3 * JOULE_PER_EV,
        label="ptypy",
    )
    pixel, origin = _vector(file, f"{storage}/_psize"), _vector(file, f"{storage}/_origin")
    where = next((f"content/positions/{name}" for name in sorted(file.keys("content/positions"))), None)
    if pixel is None or origin is None or where is None or not file.is_dataset(where):
        return parts
    return replace(
        parts,
        positions_yx=file.read(where).astype(np.float64),
        origin_yx=origin,
        object_pixel_m=one_side(float(pixel[0]), float(pixel[-1]), f"{storage}/_psize in {file.name}"),
    )


def _storage(file: Hdf5File, group: str) -> str:
    names = [name for name in sorted(file.keys(group)) if file.is_dataset(f"{group}/{name}/data")]
    if not names:
        raise DataError(f"{file.name} has no {group}/…/data; save the run again with ptypy.")
    if len(names) > 1:
        logger.warning(
            "%s has %s; %s is used", file.name, ", ".join(f"{group}/{one}" for one in names), names[0]
        )
    return f"{group}/{names[0]}"


def _vector(file: Hdf5File, path: str) -> np.ndarray | None:
    """Return the numbers of a dataset, or of the attribute of its group."""
    group, _, name = path.rpartition("/")
    value = file.read(path) if file.is_dataset(path) else file.attribute(group, name)
    flat = np.ravel(np.asarray(value if value is not None else [], dtype=object))
    try:
        return flat.astype(np.float64) if flat.size else None
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path} in {file.name} is {value!r} but must be numbers; save the run again."
        ) from error


FORMAT = Format(
    name="ptyr",
    title="a result of ptypy",
    container=Hdf5File,
    recognises=lambda file: "content/obj" in file and "content/probe" in file,
    parts=_parts,
)
