"""A bare NPY array of frames, as ptychodus, 4D-STEM and others keep them: counts, DC term in the middle."""

from __future__ import annotations

from ptycho.data.formats._containers import NpyFile
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts

FORMAT = Format(
    name="npy",
    title="an array of frames",
    container=NpyFile,
    recognises=lambda file: file.array.ndim in (3, 4) and file.array.dtype.kind in "biuf",
    parts=lambda file: Parts(files=(file.name,), frames=FrameStack.of_array(file.name, file.array)),
)
