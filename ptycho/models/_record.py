"""What a training depends on: as ``bundle.json`` says it, and as one that goes on has to have it."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho._io.mapped import rows_of
from ptycho._version import __version__
from ptycho.data.scan import ScanData
from ptycho.models._course import best_epoch
from ptycho.models.familiarity import frame_statistics

if TYPE_CHECKING:
    from ptycho.models.networks import Architecture
    from ptycho.models.patch_model import PatchModel
    from ptycho.models.training import TrainingOrigin, TrainingSettings

_BLOCK_BYTES = 16 << 20
# What a network sees of a scan, and what it is to match.
_SEEN = ("amplitude", "positions_yx", "probe", "mask")
_LABELS = ("labels", "object_guess")


def data_fingerprint(scan: ScanData, *, supervised: bool) -> str:
    """Return a SHA-256 of the arrays of `scan` that a training depends on, whatever file they are in."""
    hasher = hashlib.sha256()
    for name in _SEEN + (_LABELS if supervised else ()):
        array = getattr(scan, name)
        if array is not None:
            hasher.update(repr((name, array.shape)).encode())
            for block in _blocks(array):
                hasher.update(np.ascontiguousarray(block).data)
    return hasher.hexdigest()


def conditions_of(
    architecture: Architecture, settings: TrainingSettings, start: PatchModel | None
) -> dict[str, Any]:
    """Return what must be the same, beside the scans, for a training to go on as if it had never been stopped."""
    free = {"max_minutes", "stop_patience", "checkpoint"}
    if settings.schedule == "plateau":
        free.add("epochs")
    return {
        "network": asdict(architecture),
        "settings": {name: value for name, value in asdict(settings).items() if name not in free},
        "first weights": None if start is None else _weights_fingerprint(start.network.get_weights()),
    }


def _weights_fingerprint(weights: Sequence[np.ndarray]) -> str:
    hasher = hashlib.sha256()
    for array in weights:
        hasher.update(repr(array.shape).encode())
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()


def training_record(
    settings: TrainingSettings,
    history: dict[str, list[float]],
    scans: Sequence[ScanData],
    fingerprints: Sequence[str],
    origin: TrainingOrigin,
) -> dict[str, Any]:
    """Return the record, as JSON has it; a number that is none is null."""
    return {
        "settings": asdict(settings),
        "n_frames": sum(scan.n_frames for scan in scans),
        "n_scans": len(scans),
        "epochs_run": len(history.get("loss", [])),
        "best_epoch": best_epoch(history.get("val_loss", [])) + 1,
        "best_validation_loss": min(history.get("val_loss", []), default=None),
        "history": {
            name: [value if np.isfinite(value) else None for value in values]
            for name, values in history.items()
        },
        "scans": [
            {
                "n_frames": scan.n_frames,
                "data_sha256": fingerprint,
                "frames": frame_statistics(scan).as_dict(),
                **file,
            }
            for scan, fingerprint, file in zip(scans, fingerprints, _files(origin, len(scans)), strict=True)
        ],
        "started_from": origin.start,
        "command": shlex.join(origin.command) or None,
        "versions": _versions(),
    }


def _files(origin: TrainingOrigin, n_scans: int) -> list[dict[str, Any]]:
    if not origin.files:
        return [{"file": None}] * n_scans
    return [{"file": file, **_content(Path(file))} for file in origin.files]


def _content(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    hasher = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            hasher.update(block)
    return {"bytes": file.stat().st_size, "sha256": hasher.hexdigest()}


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Give `array` in parts along its first axis, so that one in a file is never whole in memory."""
    step = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        yield rows_of(array, slice(start, start + step))


def _versions() -> dict[str, str]:
    found = {"ptycho-autobatch": __version__, "python": platform.python_version()}
    loaded = {name: sys.modules[name] for name in ("tensorflow", "keras", "numpy") if name in sys.modules}
    return found | {name: str(getattr(module, "__version__", None)) for name, module in loaded.items()}
