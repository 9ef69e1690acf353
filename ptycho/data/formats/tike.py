"""Scans in the layout of tike's test data: intensity counts, DC term at the corner."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from ptycho._io.archive import Archive, errors_naming, open_archive
from ptycho._io.mapped import blocks_of
from ptycho._io.row_store import made_of
from ptycho.data.checks import check_plausible
from ptycho.data.formats._format import Format
from ptycho.data.gaps import mask_gaps
from ptycho.data.reconstruction import strongest_mode
from ptycho.data.scan import ScanData
from ptycho.errors import DataError

TIKE_KEYS = ("data", "scan", "probe")


def read_tike(path: str | PathLike[str], *, plausibility: bool = True) -> ScanData:
    """Read a scan as tike stores it, and bring it to this package's conventions.

    ``data`` (1, n, N, N) holds intensity counts with the DC term at the corner: the square root is taken
    and the DC term moved to pixel (N/2, N/2). ``scan`` (1, n, 2) holds the [row, column] of each patch's
    corner about an arbitrary origin: positions become patch centres with the smallest corner of each axis
    at 0, ``scan - scan.min(axis=0) + N/2``. Of ``probe`` (…, N, N) the strongest mode is kept, in its own units:
    see `consistent_probe`. The leading axis may be missing.

    Parameters
    ----------
    path : path
        An NPZ file, or one compressed by bzip2.
    plausibility : bool
        As in `read_npz`.

    Returns
    -------
    ScanData

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is damaged, lacks a key, or holds something else than the layout above.
    """
    with open_archive(Path(path)) as archive:
        archive.require(TIKE_KEYS)
        intensity = _only_scan(archive, "data", 3)
        corners_yx = _only_scan(archive, "scan", 2).astype(np.float64)
        probe = strongest_mode(archive.read("probe"), f"probe in {path}")
    if corners_yx.shape != (len(intensity), 2) or not np.isfinite(corners_yx).all():
        raise DataError(
            f"scan in {path} has shape {corners_yx.shape} but must be finite and ({len(intensity)}, 2), one "
            f"[row, column] for each of the {len(intensity)} frames in data; mend the file."
        )
    with errors_naming(path):
        shifted = (
            (block, np.fft.fftshift(frames.astype(np.float32, copy=False), axes=(-2, -1)))
            for block, frames in blocks_of(intensity)
        )
        counts, mask = mask_gaps(made_of(intensity.shape, np.float32, shifted, what=f"data in {path}"))
        scan = ScanData(
            amplitude=made_of(counts.shape, np.float32, _square_roots(counts), what=f"the scan in {path}"),
            positions_yx=corners_yx - corners_yx.min(axis=0) + intensity.shape[-1] / 2,
            probe=probe,
            mask=mask,
        )
        if plausibility:
            check_plausible(scan)
    return scan


def _only_scan(archive: Archive, key: str, ndim: int) -> np.ndarray:
    shape, dtype = archive.declared(key)
    one = shape[1:] if len(shape) == ndim + 1 and shape[0] == 1 else shape
    if len(one) != ndim or 0 in one or dtype.kind not in "biuf":
        raise DataError(
            f"{key} in {archive.name} is {dtype} of shape {shape} but must be real numbers with "
            f"{ndim} axes, or {ndim + 1} of which the first is 1; store one scan per file."
        )
    return archive.read_mapped(key).reshape(one)


def _square_roots(intensity: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield sqrt(intensity), float32, in blocks."""
    lowest = min(float(frames.min()) for _, frames in blocks_of(intensity))
    if not lowest >= 0:
        raise DataError(
            f"data has values down to {lowest:g} but counts are never negative or NaN; "
            "set negative ones to zero, as numpy.clip(data, 0, None) does."
        )
    for block, frames in blocks_of(intensity):
        yield block, np.sqrt(frames)


FORMAT = Format(
    name="tike",
    title="a scan of tike",
    container=Archive,
    recognises=lambda archive: all(key in archive for key in TIKE_KEYS),
    scan=lambda path, labels: read_tike(path, plausibility=False),
)
