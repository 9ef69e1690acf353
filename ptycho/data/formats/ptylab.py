"""PtyLab's input and results, HDF5."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack, oriented
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import energy_of_wavelength, known
from ptycho.errors import DataError


def _input(file: Hdf5File) -> Parts:
    _refuse_other_instruments(file)
    frames = FrameStack.of_hdf5(file, "ptychogram")
    code = int(_first(file, "orientation") or 0)
    if not 0 <= code <= 7:
        raise DataError(f"orientation in {file.name} is {code} but must be 0 to 7; mend the file.")
    return Parts(
        files=(file.name,),
        frames=frames.turned(oriented(code)) if code else frames,
        positions_yx=_encoder(file, "encoder"),
        photon_energy_j=_energy(file),
        detector_distance_m=known(_first(file, "zo")),
        detector_pixel_m=known(_first(file, "dxd")),
    )


def _result(file: Hdf5File) -> Parts:
    # Wavelengths, modes of the object, 1, slices: the first of the first two, the product of the last.
    image = np.prod(file.read("object")[0, 0, 0], axis=0)
    probe = file.read("probe")
    modes = probe.reshape(-1, *probe.shape[-2:]) if probe.ndim < 6 else probe[0, 0, :, 0]
    side = modes.shape[-1]
    parts = Parts(
        files=(file.name,),
        object_image=image,
        probe=modes,
        photon_energy_j=_energy(file),
        detector_distance_m=known(_first(file, "zo")),
        object_pixel_m=known(_first(file, "dxp")),
        label="PtyLab",
    )
    positions = "encoder_corrected" if file.is_dataset("encoder_corrected") else "encoder"
    if parts.object_pixel_m is None or not file.is_dataset(positions):
        return parts
    corner = np.array(image.shape) // 2 - side // 2 + side / 2
    return replace(parts, positions_yx=_encoder(file, positions), origin_yx=-corner * parts.object_pixel_m)


def _refuse_other_instruments(file: Hdf5File) -> None:
    if "zled" in file or "magnification" in file:
        raise DataError(
            f"{file.name} is a scan of Fourier ptychography (zled, magnification), which is not read; pass a scan in "
            "which the sample moves."
        )
    tilt = _first(file, "theta")
    if tilt:
        raise DataError(
            f"theta in {file.name} is {tilt:g}, a sample in reflection, but only one across the beam is read; project "
            "frames and positions first, and set theta to 0."
        )


def _encoder(file: Hdf5File, path: str) -> np.ndarray:
    positions = file.read(path).astype(np.float64)
    return positions.T if positions.ndim == 2 and positions.shape[0] == 2 != positions.shape[1] else positions


def _energy(file: Hdf5File) -> float | None:
    wavelength = known(_first(file, "wavelength")) or known(_first(file, "spectralDensity"))
    return None if wavelength is None else energy_of_wavelength(wavelength)


def _first(file: Hdf5File, path: str) -> float | None:
    """Return the first number of a dataset, which MATLAB may have written as (1, 1)."""
    if not file.is_dataset(path):
        return None
    values = np.ravel(file.read(path))
    return (
        float(values[0]) if values.size and values.dtype.kind in "biuf" and np.isfinite(values[0]) else None
    )


INPUT = Format(
    name="ptylab",
    title="an input file of PtyLab",
    container=Hdf5File,
    recognises=lambda file: file.is_dataset("ptychogram"),
    parts=_input,
)
RESULT = Format(
    name="ptylab-result",
    title="a result of PtyLab",
    container=Hdf5File,
    recognises=lambda file: len(file.shape("object") or ()) == 6 and file.is_dataset("probe"),
    parts=_result,
)
