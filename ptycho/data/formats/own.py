"""The project's own NPZ, and PtychoPINN's, as one of the formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ptycho._io.archive import Archive
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.geometry import lengths_of
from ptycho.data.npz import FRAME_KEYS, read_npz, unchecked_fields


def _unchecked(path: Path) -> Parts:
    fields, geometry = unchecked_fields(path, labels=False)
    mask, image = fields.get("mask"), fields.get("object_guess")
    return Parts(
        files=(str(path),),
        frames=replace(
            FrameStack.of_array(f"the frames in {path}", fields["amplitude"]), are_amplitudes=True
        ),
        bad_pixels=None if mask is None else mask == 0,
        positions_yx=fields["positions_yx"],
        position_unit="px",
        probe=fields["probe"],
        object_image=image,
        origin_yx=None if image is None else np.zeros(2),
        scan_index=fields.get("scan_index"),
        **lengths_of(geometry),
    )


FORMAT = Format(
    name="npz",
    title="a scan of this project",
    container=Archive,
    recognises=lambda archive: any(key in archive for key in FRAME_KEYS),
    scan=lambda path, labels: read_npz(path, labels=labels, plausibility=False),
    unchecked=_unchecked,
)
