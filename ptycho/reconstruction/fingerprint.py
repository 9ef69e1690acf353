"""What makes two runs the same: scan, model, settings and versions, as plain values that a file can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ptycho._version import __version__
from ptycho.data.scan import ScanData
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction.job import InferenceJob
from ptycho.reconstruction.settings import InferenceSettings

# They decide the bits of patches or of sums.
PACKAGES = ("tensorflow", "keras", "numpy", "numba")
# They change memory and speed alone; the shards stand for themselves.
_NOT_COMPARED = ("stitch_batch_size", "batch_memo", "shard_size")
_FRAMES_LOOKED_AT = 64


def fingerprint_of(job: InferenceJob, *, shard_size: int) -> dict[str, Any]:
    """Return what has to be the same where a run goes on.

    Parameters
    ----------
    job : InferenceJob
    shard_size : int
        Patches of a shard.

    Returns
    -------
    dict
        Of JSON's types: ``scan``, ``model``, ``settings`` and ``versions``.
    """
    # Of what is more than the settings of an inference nothing reaches the canvases.
    names = [field.name for field in fields(InferenceSettings) if field.name not in _NOT_COMPARED]
    return {
        "scan": scan_fingerprint(job.scan) | {"normalisation": job.normalisation},
        "model": model_fingerprint(job.model),
        "settings": {name: getattr(job.settings, name) for name in names} | {"shard_size": shard_size},
        "versions": versions(),
    }


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
        "positions": _digest(scan.positions_yx),
        "probe": _digest(scan.probe),
        "mask": _digest(mask),
        "frames": _digest(scan.frames(chosen)),
    }


def model_fingerprint(model: PatchPredictor) -> dict[str, Any]:
    """Return what tells a model from others.

    Parameters
    ----------
    model : PatchPredictor

    Returns
    -------
    dict
        Of JSON's types; ``weights`` is None for one that cannot tell.
    """
    described = asdict(model.description)
    return {
        "name": model.name,
        "description": described | {"outputs": list(described["outputs"])},
        "weights": model.weights_digest(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of this program and of the packages that decide bits; None for one that is not there."""
    return {"ptycho-autobatch": __version__} | {package: _version(package) for package in PACKAGES}


def differences(
    here: Mapping[str, Any], there: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Give what two fingerprints differ in.

    Parameters
    ----------
    here, there : mapping
    path : str
        What goes before the names.

    Yields
    ------
    name : str
        Such as "settings.crop_size".
    here, there : object
    """
    for key in sorted({*here, *there}):
        mine, theirs = here.get(key), there.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from differences(mine, theirs, f"{path}{key}.")
        elif mine != theirs:
            yield f"{path}{key}", mine, theirs


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _digest(array: np.ndarray) -> str:
    hasher = hashlib.sha256(repr((array.shape, array.dtype.str)).encode())
    hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()
