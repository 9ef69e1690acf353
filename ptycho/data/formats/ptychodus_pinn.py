"""The NPZ that ptychodus writes for PtychoPINN: counts, several modes of the probe, positions half a pixel lower."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._io.archive import Archive
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import columns_yx, marked
from ptycho.data.formats.ptychodus_training import HALF_PIXEL

logger = logging.getLogger(__name__)

_NEEDED = ("diff3d", "xcoords", "ycoords", "probeGuess")


def _recognises(archive: Archive) -> bool:
    if not all(key in archive for key in _NEEDED):
        return False
    # The own format has one mode, and amplitudes, which are not whole.
    foreign = "bad_pixels" in archive or len(archive.shape("probeGuess")) == 3
    return foreign and _holds_counts(archive)


def _holds_counts(archive: Archive) -> bool:
    kind = archive.dtype("diff3d").kind
    if kind != "f":
        return kind in "iu"
    sample = archive.read_mapped("diff3d")[:1]
    return bool(np.array_equal(sample, np.rint(sample)))


def _parts(archive: Archive) -> Parts:
    logger.info(
        "%s: positions are raised by half a pixel, which what ptychodus up to 1.2 wrote would not need",
        archive.name,
    )
    has_object = "objectGuess" in archive
    return Parts(
        files=(archive.name,),
        frames=FrameStack.of_array(f"diff3d in {archive.name}", archive.read_mapped("diff3d")),
        bad_pixels=marked(archive.read("bad_pixels"), f"bad_pixels in {archive.name}")
        if "bad_pixels" in archive
        else None,
        positions_yx=columns_yx(
            archive.read("ycoords"), archive.read("xcoords"), f"positions in {archive.name}"
        )
        + HALF_PIXEL,
        position_unit="px",
        probe=archive.read("probeGuess"),
        object_image=archive.read("objectGuess") if has_object else None,
        origin_yx=np.zeros(2) if has_object else None,
        scan_index=archive.read("scan_index") if "scan_index" in archive else None,
        label="ptychodus",
    )


FORMAT = Format(
    name="ptychodus-pinn",
    title="an NPZ that ptychodus wrote for PtychoPINN",
    container=Archive,
    recognises=_recognises,
    parts=_parts,
)
