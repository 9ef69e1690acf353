"""Scan files of any layout: which it is, told from the keys it holds, and reading it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal

from ptycho._io.archive import open_archive
from ptycho.data.npz import FRAME_KEYS, read_npz
from ptycho.data.scan import ScanData
from ptycho.data.tike import TIKE_KEYS, read_tike
from ptycho.errors import DataError


def detect_format(path: str | PathLike[str]) -> Literal["npz", "tike"]:
    """Return the layout of a scan file.

    Parameters
    ----------
    path : path
        An NPZ file, or one compressed by bzip2.

    Returns
    -------
    "npz" or "tike"
        The project's own (docs/formats.md), or that of `read_tike`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is damaged, or its keys are those of neither layout.
    """
    with open_archive(Path(path)) as archive:
        if any(key in archive for key in FRAME_KEYS):
            return "npz"
        if all(key in archive for key in TIKE_KEYS):
            return "tike"
        raise DataError(
            f"{path} holds {', '.join(archive.keys) or 'nothing'}, which is neither a scan of this package "
            f"(one of {', '.join(FRAME_KEYS)}) nor one of tike ({', '.join(TIKE_KEYS)}); pass another file."
        )


def read_scan(path: str | PathLike[str], *, labels: bool = True, plausibility: bool = True) -> ScanData:
    """Read a scan file of any layout that `detect_format` knows.

    Parameters
    ----------
    path : path
        The project's own NPZ, or one in tike's layout.
    labels, plausibility : bool
        As in `read_npz`. A file in tike's layout holds no labels, and is always checked for plausibility.

    Returns
    -------
    ScanData
        Amplitude (n, N, N) float32 with the DC term at pixel (N/2, N/2), patch centres (n, 2) float64 in pixels,
        row first.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is damaged, has none of the layouts, or breaks the data contract; the message says where.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ptycho.data import SimulationSettings, read_scan, simulate, write_npz
    >>> path = Path(tempfile.mkdtemp()) / "scan.npz"
    >>> write_npz(path, simulate(SimulationSettings(object_shape_yx=(80, 90), step_px=12.0)))
    >>> scan = read_scan(path)
    >>> scan.amplitude.shape, scan.patch_size
    ((6, 64, 64), 64)
    """
    if detect_format(path) == "tike":
        return read_tike(path)
    return read_npz(path, labels=labels, plausibility=plausibility)
