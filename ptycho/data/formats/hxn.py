"""Scans of NSLS-II's HXN beamline as its ptycho_gui keeps them: amplitudes with the DC term at the corner."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import energy_of_wavelength, known
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

_MICROMETRE = 1e-6


def _parts(file: Hdf5File) -> Parts:
    points = file.read("points").astype(np.float64)
    if points.ndim != 2 or points.shape[0] != 2:
        raise DataError(
            f"points in {file.name} has shape {points.shape} but must be (2, n), x and y; mend the file."
        )
    x, y = points * _MICROMETRE
    if file.number("angle"):
        logger.warning(
            "%s: the stage is turned by %g degrees, which is not corrected", file.name, file.number("angle")
        )
    logger.info(
        "%s: positions are taken against x and y, as ptycho_gui does unless told otherwise", file.name
    )
    wavelength_nm = known(file.number("lambda_nm"))
    pixel_um = known(file.number("ccd_pixel_um"))
    return Parts(
        files=(file.name,),
        frames=FrameStack.of_hdf5(file, "diffamp").turned(_counts),
        positions_yx=np.stack([-y, -x], axis=-1),
        photon_energy_j=None if wavelength_nm is None else energy_of_wavelength(wavelength_nm * 1e-9),
        detector_distance_m=known(file.number("z_m")),
        detector_pixel_m=None if pixel_um is None else pixel_um * _MICROMETRE,
    )


def _counts(amplitudes: np.ndarray) -> np.ndarray:
    """Return counts (m, y, x) with the DC term in the middle from amplitudes (m, x, y) with it at the corner."""
    return np.fft.fftshift(amplitudes.astype(np.float64) ** 2, axes=(-2, -1)).swapaxes(-1, -2)


FORMAT = Format(
    name="hxn",
    title="a scan of NSLS-II's HXN",
    container=Hdf5File,
    recognises=lambda file: file.is_dataset("diffamp") and file.is_dataset("points"),
    parts=_parts,
)
