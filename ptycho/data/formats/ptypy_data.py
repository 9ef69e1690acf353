"""Prepared data of ptypy, ``.ptyd``: frames with their positions in numbered chunks, in one file or linked ones."""

from __future__ import annotations

import numpy as np

from ptycho._checks.quantities import JOULE_PER_EV
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import frame_numbers, known, one_side
from ptycho.errors import DataError


def _chunks(file: Hdf5File) -> list[str]:
    """Return the paths of the chunks that hold frames, in the order of their numbers."""
    numbers = sorted((key for key in file.keys("chunks") if key.isdecimal()), key=int)
    chunks = [f"chunks/{number}" for number in numbers if file.is_dataset(f"chunks/{number}/data")]
    if not chunks:
        raise DataError(f"{file.name} has no chunks with data; prepare the scan again with ptypy.")
    return chunks


def _parts(file: Hdf5File) -> Parts:
    chunks = _chunks(file)
    frames = FrameStack.chain(
        f"chunks in {file.name}", [FrameStack.of_hdf5(file, f"{chunk}/data") for chunk in chunks]
    )
    counts = [(file.shape(f"{chunk}/data") or (0,))[0] for chunk in chunks]
    positions = np.concatenate([file.read(f"{chunk}/positions").reshape(-1, 2) for chunk in chunks])
    indices = _indices(file, chunks, counts)
    if len(positions) != len(indices):
        raise DataError(
            f"the chunks in {file.name} have {len(indices)} frames but {len(positions)} positions; prepare the scan "
            "again with ptypy."
        )
    order = np.argsort(indices, kind="stable")
    energy_kev = known(_number(file, "energy"))
    return Parts(
        files=(file.name,),
        frames=frames,
        frame_ids=indices,
        bad_pixels=_bad_pixels(file, chunks),
        positions_yx=positions[order].astype(np.float64),
        position_ids=indices[order],
        photon_energy_j=None if energy_kev is None else energy_kev * 1e3 * JOULE_PER_EV,
        detector_distance_m=known(_number(file, "distance")),
        detector_pixel_m=_detector_pixel(file),
    )


def _indices(file: Hdf5File, chunks: list[str], counts: list[int]) -> np.ndarray:
    if not all(file.is_dataset(f"{chunk}/indices") for chunk in chunks):
        return np.arange(sum(counts))
    numbers = [
        frame_numbers(file.read(f"{chunk}/indices"), f"{chunk}/indices in {file.name}") for chunk in chunks
    ]
    return np.concatenate(numbers)


def _bad_pixels(file: Hdf5File, chunks: list[str]) -> np.ndarray | None:
    """Return True where a weight is 0 in any frame, or in the older file's one image of weights."""
    bad = None
    for chunk in chunks:
        path = f"{chunk}/weights"
        if file.shape(path) == file.shape(f"{chunk}/data"):
            for _, weights in FrameStack.of_hdf5(file, path).blocks():
                here = np.any(~(weights > 0), axis=0)
                bad = here if bad is None else np.logical_or(bad, here)
    if bad is None and len(file.shape("info/weight2d") or ()) == 2:
        bad = ~(file.read("info/weight2d") > 0)
    return bad


def _number(file: Hdf5File, name: str) -> float | None:
    """Return a number of ``meta``, or of ``info`` where meta has none; ptypy marks None by an attribute."""
    for group in ("meta", "info"):
        if file.is_dataset(f"{group}/{name}") and file.text(f"{group}/{name}@type") != "None":
            return float(np.ravel(file.read(f"{group}/{name}"))[0])
    return None


def _detector_pixel(file: Hdf5File) -> float | None:
    for group, binning in (("meta", 1.0), ("info", known(_number(file, "rebin")) or 1.0)):
        path = f"{group}/psize"
        if file.is_dataset(path) and file.text(f"{path}@type") != "None":
            sides = np.ravel(file.read(path)).astype(np.float64) * binning
            return one_side(float(sides[0]), float(sides[-1]), f"{path} in {file.name}")
    return None


FORMAT = Format(
    name="ptyd",
    title="prepared data of ptypy",
    container=Hdf5File,
    recognises=lambda file: "chunks" in file and file.attribute("", "h5rw_version") is not None,
    parts=_parts,
    neighbours=True,
)
