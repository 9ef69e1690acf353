"""The NPZ that ptychodus writes for PtychoPINN: counts, several modes of the probe, positions half a pixel lower."""

from __future__ import annotations

import logging

import numpy as np

from ptycho._io.archive import Archive
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import columns_yx, marked
from ptycho.data.formats.ptychodus_product import projection
from ptycho.data.formats.ptychodus_training import HALF_PIXEL

logger = logging.getLogger(__name__)

_NEEDED = ("diff3d", "xcoords", "ycoords", "probeGuess")
# Frames that are compared with the object; how well it must explain them, and how much better than half a pixel off,
# to be trusted. Half a pixel costs 0.001 on noisy counts, and nothing with a featureless object.
_COMPARED = 32
_LEAST_CORRELATION, _LEAST_DIFFERENCE = 0.9, 1e-4


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
    name = archive.name
    counts, probe = archive.read_mapped("diff3d"), archive.read("probeGuess")
    stored = columns_yx(archive.read("ycoords"), archive.read("xcoords"), f"positions in {name}")
    image = projection(archive.read("objectGuess"), name) if "objectGuess" in archive else None
    bad = marked(archive.read("bad_pixels"), f"bad_pixels in {name}") if "bad_pixels" in archive else None
    offset = _offset(counts, stored, image, probe)
    told = "told by" if offset is not None else "of version 1.7, for want of"
    offset = HALF_PIXEL if offset is None else offset
    logger.info(
        "%s: positions are raised by %g pixels, %s an object that explains the frames", name, offset, told
    )
    return Parts(
        files=(name,),
        frames=FrameStack.of_array(f"diff3d in {name}", counts),
        bad_pixels=bad,
        positions_yx=stored + offset,
        position_unit="px",
        probe=probe,
        object_image=image,
        origin_yx=None if image is None else np.zeros(2),
        scan_index=archive.read("scan_index") if "scan_index" in archive else None,
        label="ptychodus",
    )


def _offset(
    counts: np.ndarray, stored: np.ndarray, image: np.ndarray | None, probe: np.ndarray
) -> float | None:
    """Return what is added to the positions: by the versions to 1.2 nothing, by 1.7 half a pixel; None if unknown.

    The file does not tell its version, but with the wrong centres object and probe explain the frames less well.
    """
    side = probe.shape[-1]
    if image is None or probe.shape[-2:] != counts.shape[1:] or len(counts) != len(stored):
        return None
    modes = probe.reshape(-1, *probe.shape[-2:])
    inside = ((stored >= side / 2 + 1) & (stored <= np.array(image.shape) - side / 2 - 1)).all(axis=1)
    rows = np.flatnonzero(inside)[:_COMPARED]
    measured = np.sqrt(np.maximum(counts[rows].astype(np.float64), 0))
    fits = {
        offset: _correlation(_predicted(image, modes, stored[rows] + offset), measured)
        for offset in (0.0, HALF_PIXEL)
    }
    worst, best = sorted(fits, key=lambda offset: fits[offset])
    trusted = fits[best] >= _LEAST_CORRELATION and fits[best] - fits[worst] >= _LEAST_DIFFERENCE
    return best if trusted else None


def _predicted(image: np.ndarray, modes: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the amplitudes (n, N, N) of all modes: the patch at the nearest pixel under a probe moved by the rest."""
    side = modes.shape[-1]
    frequencies = np.fft.fftfreq(side)
    spectra = np.fft.fft2(modes)
    frames = []
    for centre in centres:
        nearest = np.floor(centre + 0.5).astype(np.int64)
        y, x = nearest - side // 2
        move = np.exp(-2j * np.pi * np.add.outer(*(frequencies * part for part in centre - nearest)))
        waves = np.fft.ifft2(spectra * move) * image[y : y + side, x : x + side]
        intensity = (np.abs(np.fft.fft2(waves)) ** 2).sum(axis=0)
        frames.append(np.sqrt(np.fft.fftshift(intensity)))
    return np.array(frames)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    return float(np.vdot(first, second).real / scale) if first.size and scale > 0 else 0.0


FORMAT = Format(
    name="ptychodus-pinn",
    title="an NPZ that ptychodus wrote for PtychoPINN",
    container=Archive,
    recognises=_recognises,
    parts=_parts,
)
