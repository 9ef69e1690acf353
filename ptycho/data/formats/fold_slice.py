"""Pairs of fold_slice and PtychoShelves: ``_dp.hdf5`` with frames, ``_para.hdf5`` with positions and lengths."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import columns_yx, energy_of_wavelength, known

logger = logging.getLogger(__name__)

_ANGSTROM_M = 1e-10
# Scans of metres have no sense, nor have those of a thousandth of an ångström.
_LARGEST_METRES = 1e-2
# Neither has a pixel of the object of a tenth of a millimetre.
_LARGEST_PIXEL_M = 1e-4


def _frames(file: Hdf5File) -> Parts:
    logger.info(
        "%s: frames are taken as Python wrote them; those that MATLAB wrote need `frame_orientation=4`",
        file.name,
    )
    return Parts(files=(file.name,), frames=FrameStack.of_hdf5(file, "dp"))


def _positions(file: Hdf5File) -> Parts:
    positions = columns_yx(file.read("ppY"), file.read("ppX"), f"positions in {file.name}")
    if np.ptp(positions) > _LARGEST_METRES:
        logger.info("%s: positions span %.3g and are taken for ångström", file.name, np.ptp(positions))
        positions = positions * _ANGSTROM_M
    wavelength = known(file.number("lambda"))
    return Parts(
        files=(file.name,),
        positions_yx=positions,
        object_pixel_m=in_metres(known(file.number("dx"))),
        photon_energy_j=None if wavelength is None else energy_of_wavelength(wavelength),
    )


def in_metres(pixel: float | None) -> float | None:
    """Return the object's pixel in metres: for X-rays it is stored so, for electrons in ångström."""
    return pixel * _ANGSTROM_M if pixel is not None and pixel > _LARGEST_PIXEL_M else pixel


FRAMES = Format(
    name="fold-slice-dp",
    title="a file of frames of fold_slice",
    container=Hdf5File,
    recognises=lambda file: len(file.shape("dp") or ()) == 3,
    parts=_frames,
)
POSITIONS = Format(
    name="fold-slice-para",
    title="a file of positions of fold_slice",
    container=Hdf5File,
    recognises=lambda file: file.is_dataset("ppX") and file.is_dataset("ppY"),
    parts=_positions,
)
