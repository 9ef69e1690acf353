"""What makes two runs the same: scan, model, settings and versions, as plain values that a file can hold."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ptycho._io.manifest import versions
from ptycho.data.fingerprint import scan_fingerprint
from ptycho.models.predictor import PatchPredictor
from ptycho.reconstruction.job import InferenceJob
from ptycho.reconstruction.settings import InferenceSettings

# They decide the bits of patches or of sums.
PACKAGES = ("tensorflow", "keras", "numpy", "numba")
# They change memory and speed alone; the shards stand for themselves.
_NOT_COMPARED = ("stitch_batch_size", "batch_memo", "shard_size")


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
        "versions": versions(PACKAGES),
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
