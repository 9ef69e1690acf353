"""The project's own NPZ, and PtychoPINN's, as one of the formats."""

from __future__ import annotations

from ptycho._io.archive import Archive
from ptycho.data.formats._format import Format
from ptycho.data.npz import FRAME_KEYS, read_npz

FORMAT = Format(
    name="npz",
    title="a scan of this project",
    container=Archive,
    recognises=lambda archive: any(key in archive for key in FRAME_KEYS),
    scan=lambda path, labels: read_npz(path, labels=labels, plausibility=False),
)
