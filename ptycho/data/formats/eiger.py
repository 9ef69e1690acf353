"""Master files of DECTRIS Eiger detectors: frames in linked data files beside them, cropped about the beam."""

from __future__ import annotations

import logging

from ptycho._checks.quantities import JOULE_PER_EV
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import known, metres_per, one_side
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

_DATA = "entry/data"
_DETECTOR = "entry/instrument/detector"
_SPECIFIC = f"{_DETECTOR}/detectorSpecific"


def _links(file: Hdf5File) -> list[str]:
    return sorted(key for key in file.keys(_DATA) if key.startswith("data_") and key[5:].isdecimal())


def _parts(file: Hdf5File) -> Parts:
    stacks = [FrameStack.of_hdf5(file, path) for path in _present(file)]
    frames = FrameStack.chain(f"{_DATA} in {file.name}", stacks)
    mask = next(
        (path for path in (f"{_SPECIFIC}/pixel_mask", f"{_DETECTOR}/pixel_mask") if file.is_dataset(path)),
        None,
    )
    window = _window(file, frames.shape[1:])
    energy_ev = known(file.number(f"{_SPECIFIC}/photon_energy", "entry/instrument/beam/incident_energy"))
    return Parts(
        files=(file.name,),
        frames=frames.turned(lambda images: images[..., window[0], window[1]]),
        bad_pixels=None if mask is None else (file.read(mask) != 0)[window],
        photon_energy_j=None if energy_ev is None else energy_ev * JOULE_PER_EV,
        detector_distance_m=known(_length(file, f"{_DETECTOR}/detector_distance")),
        detector_pixel_m=one_side(
            _length(file, f"{_DETECTOR}/y_pixel_size"),
            _length(file, f"{_DETECTOR}/x_pixel_size"),
            f"the detector's pixel in {file.name}",
        ),
    )


def _present(file: Hdf5File) -> list[str]:
    """Return the paths of the data files that are there; detectors announce one at the end that they never write."""
    paths = [f"{_DATA}/{key}" for key in _links(file)]
    reasons: dict[str, DataError] = {}
    for path in paths:
        try:
            if not file.is_dataset(path):
                reasons[path] = DataError(
                    f"{path} in {file.name} leads to no frames; copy its data file again."
                )
        except DataError as error:
            reasons[path] = error
    present = [path for path in paths if path not in reasons]
    if reasons and (not present or min(reasons) < present[-1]):
        raise reasons[min(reasons)]
    if reasons:
        logger.warning("%s: %d data files at the end are not there and are left out", file.name, len(reasons))
    return present


def _window(file: Hdf5File, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the largest square with an even side about the beam that lies on the detector."""
    centre = [file.number(f"{_DETECTOR}/beam_center_{axis}") for axis in ("y", "x")]
    at = [
        extent // 2 if place is None or not 0 < place < extent else round(place)
        for place, extent in zip(centre, shape, strict=True)
    ]
    half = min(min(place, extent - place) for place, extent in zip(at, shape, strict=True))
    logger.info(
        "%s: frames are cropped to %dx%d about the beam at row %d, column %d",
        file.name,
        2 * half,
        2 * half,
        *at,
    )
    return slice(at[0] - half, at[0] + half), slice(at[1] - half, at[1] + half)


def _length(file: Hdf5File, path: str) -> float | None:
    value = file.number(path)
    return None if value is None else value * metres_per(file.text(f"{path}@units"), f"{path} in {file.name}")


FORMAT = Format(
    name="eiger",
    title="a master file of an Eiger detector",
    container=Hdf5File,
    recognises=lambda file: bool(_links(file)),
    parts=_parts,
    neighbours=True,
)
