"""``training.h5`` of ptychodus 1.7: frames, positions, probe and object in one file."""

from __future__ import annotations

import numpy as np

from ptycho._checks.quantities import JOULE_PER_EV
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import columns_yx, known, marked, one_side
from ptycho.data.formats.ptychodus_product import first_coherent, projection

_POSITIONS = ("probe_position_y_px", "probe_position_x_px")
# Its positions are about the middle between pixels (N-1)/2 and N/2; a patch here is centred on pixel N/2.
HALF_PIXEL = 0.5


def _parts(file: Hdf5File) -> Parts:
    energy_ev = known(file.number("photon_energy_eV"))
    has_object = "object" in file
    return Parts(
        files=(file.name,),
        frames=FrameStack.of_hdf5(file, "patterns"),
        bad_pixels=marked(file.read("bad_pixels"), f"bad_pixels in {file.name}")
        if "bad_pixels" in file
        else None,
        positions_yx=columns_yx(
            file.read(_POSITIONS[0]), file.read(_POSITIONS[1]), f"positions in {file.name}"
        )
        + HALF_PIXEL,
        position_unit="px",
        probe=first_coherent(file.read("probe")) if "probe" in file else None,
        object_image=projection(file.read("object"), file.name) if has_object else None,
        origin_yx=np.zeros(2) if has_object else None,
        photon_energy_j=None if energy_ev is None else energy_ev * JOULE_PER_EV,
        detector_distance_m=known(file.number("detector_object_distance_m")),
        object_pixel_m=one_side(
            file.number("object_pixel_height_m"),
            file.number("object_pixel_width_m"),
            f"the object's pixel in {file.name}",
        ),
        label="ptychodus",
    )


FORMAT = Format(
    name="ptychodus-training",
    title="a training file of ptychodus",
    container=Hdf5File,
    recognises=lambda file: all(file.is_dataset(key) for key in ("patterns", *_POSITIONS)),
    parts=_parts,
)
