"""Frames of ptychodus, ``diffraction.h5`` or ``.npz``: counts and bad pixels; its product has the rest."""

from __future__ import annotations

from dataclasses import replace

from ptycho._io.archive import Archive
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import frame_numbers, marked, one_side


def _hdf5_parts(file: Hdf5File) -> Parts:
    pixel = one_side(
        file.number("patterns@detector_pixel_height_m"),
        file.number("patterns@detector_pixel_width_m"),
        f"the detector's pixel in {file.name}",
    )
    return Parts(
        files=(file.name,),
        frames=FrameStack.of_hdf5(file, "patterns"),
        frame_ids=frame_numbers(file.read("indexes"), f"indexes in {file.name}")
        if "indexes" in file
        else None,
        bad_pixels=marked(file.read("bad_pixels"), f"bad_pixels in {file.name}")
        if "bad_pixels" in file
        else None,
        detector_pixel_m=pixel,
    )


def _npz_parts(archive: Archive) -> Parts:
    return Parts(
        files=(archive.name,),
        frames=FrameStack.of_array(f"patterns in {archive.name}", archive.read_mapped("patterns")),
        frame_ids=frame_numbers(archive.read("indexes"), f"indexes in {archive.name}")
        if "indexes" in archive
        else None,
        bad_pixels=marked(archive.read("bad_pixels"), f"bad_pixels in {archive.name}")
        if "bad_pixels" in archive
        else None,
    )


FORMAT = Format(
    name="ptychodus-frames",
    title="a file of frames of ptychodus",
    container=Hdf5File,
    recognises=lambda file: file.is_dataset("patterns"),
    parts=_hdf5_parts,
)
NPZ_FORMAT = replace(
    FORMAT,
    name="ptychodus-frames-npz",
    container=Archive,
    recognises=lambda archive: "patterns" in archive,
    parts=_npz_parts,
)
