"""Amplitude and phase as TIFF of 32 bits, with the size of a pixel in the tags."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from ptycho.data.geometry import ScanGeometry
from ptycho.data.reconstruction import Reconstruction

SUFFIXES = ("_amplitude.tif", "_phase.tif")
_PIXELS_PER_CENTIMETRE = "CENTIMETER"


def files(reconstruction: Reconstruction, geometry: ScanGeometry | None) -> dict[str, bytes]:
    """Return two files; the phase is in radians."""
    image = reconstruction.object
    channels = (np.abs(image), np.angle(image))
    return {
        suffix: _tiff_bytes(channel.astype(np.float32), reconstruction.label, geometry)
        for suffix, channel in zip(SUFFIXES, channels, strict=True)
    }


def _tiff_bytes(channel: np.ndarray, label: str, geometry: ScanGeometry | None) -> bytes:
    import tifffile

    memory = BytesIO()
    lengths = {}
    if geometry is not None:
        per_centimetre = 1e-2 / geometry.object_pixel_m
        lengths = {"resolution": (per_centimetre, per_centimetre), "resolutionunit": _PIXELS_PER_CENTIMETRE}
    # A description must be ASCII.
    words = label.encode("ascii", "backslashreplace").decode()
    tifffile.imwrite(memory, channel, description=words, metadata=None, software="ptycho", **lengths)
    return memory.getvalue()
