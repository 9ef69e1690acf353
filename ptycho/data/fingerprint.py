"""What tells a scan from others without reading all of it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ptycho.data.scan import ScanData

_FRAMES_LOOKED_AT = 64


def scan_fingerprint(scan: ScanData) -> dict[str, Any]:
    """Return what tells a scan from others without reading all of it.

    Parameters
    ----------
    scan : ScanData
        64 of its frames are looked at.

    Returns
    -------
    dict
        Of JSON's types.
    """
    chosen = np.unique(np.linspace(0, scan.n_frames - 1, _FRAMES_LOOKED_AT).astype(int))
    mask = np.ones(0, bool) if scan.mask is None else scan.mask
    return {
        "n_frames": scan.n_frames,
        "patch_size": scan.patch_size,
        "positions": digest_of(scan.positions_yx),
        "probe": digest_of(scan.probe),
        "mask": digest_of(mask),
        "frames": digest_of(scan.frames(chosen)),
    }


def digest_of(array: np.ndarray) -> str:
    """Return the SHA-256 of an array, its shape and its type.

    Parameters
    ----------
    array : ndarray

    Returns
    -------
    str
    """
    hasher = hashlib.sha256(repr((array.shape, array.dtype.str)).encode())
    hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()
