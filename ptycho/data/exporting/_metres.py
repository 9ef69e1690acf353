"""A reconstruction in metres, as ptychodus counts them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ptycho.data.geometry import ScanGeometry
from ptycho.data.reconstruction import Reconstruction
from ptycho.errors import DataError

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True, kw_only=True, eq=False)
class InMetres:
    """What products and their CXI hold.

    Attributes
    ----------
    label : str
        Name of what made the image.
    object : (1, H, W) complex64
        One layer.
    probe : (1, 1, N, N) complex64
        One coherent and one incoherent mode.
    positions_yx_m : (n, 2) float64
        Patch centres from the middle of the object, down and right.
    geometry : ScanGeometry
    """

    label: str
    object: np.ndarray
    probe: np.ndarray
    positions_yx_m: np.ndarray
    geometry: ScanGeometry

    @property
    def photon_energy_ev(self) -> float:
        """Energy of a photon, 0 where it is not known, as ptychodus has it."""
        return self.geometry.photon_energy_ev or 0.0

    @property
    def distance_m(self) -> float:
        """From sample to detector, 0 where it is not known."""
        return self.geometry.detector_distance_m or 0.0

    @property
    def photons(self) -> float:
        """Photons in a frame: the energy of the probe, whose unit is the counts of the frames."""
        return float(np.sum(np.abs(self.probe) ** 2, dtype=np.float64))


def in_metres(reconstruction: Reconstruction, geometry: ScanGeometry | None) -> InMetres:
    """Return a reconstruction as it is written; its patches cover the same pixels as here.

    With c the patch centre in pixels, ``c = y / pixel + H / 2`` for a y that counts from the middle of the object.
    """
    if geometry is None or reconstruction.positions_yx is None:
        raise DataError(
            f"the {reconstruction.label} reconstruction has no "
            f"{'pixel size' if geometry is None else 'positions'}, which this format needs; export tiff."
        )
    middle_yx = np.array(reconstruction.object.shape) / 2
    return InMetres(
        label=reconstruction.label,
        object=reconstruction.object[np.newaxis].astype(np.complex64),
        probe=reconstruction.probe[np.newaxis, np.newaxis].astype(np.complex64),
        positions_yx_m=(reconstruction.positions_yx - middle_yx) * geometry.object_pixel_m,
        geometry=geometry,
    )


def hdf5_bytes(fill: Callable[[h5py.File], None]) -> bytes:
    """Return an HDF5 file made in memory: on a full disk the library would end the process."""
    import h5py

    memory = BytesIO()
    with h5py.File(memory, "w") as file:
        fill(file)
    return memory.getvalue()
