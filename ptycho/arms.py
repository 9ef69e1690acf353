"""What is compared: an `Arm` is a trained model or a finished reconstruction; `load_arm` opens its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ptycho.data.reconstruction import read_reconstruction
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.inference import BatchObserver, ObjectImage
from ptycho.models.bundle import is_bundle, load_bundle
from ptycho.models.legacy_bundle import is_legacy, load_legacy
from ptycho.models.networks import ModelKind
from ptycho.models.patch_model import PatchModel

BatchSize = int | Literal["auto"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Arm:
    """One column of the comparison: a model to run, or a finished reconstruction.

    Attributes
    ----------
    label : str
        Its name in every table, file and plot.
    source : PatchModel or ObjectImage
        A model to run, or an image that is finished; one with ``origin_yx=None`` (it is not known where it
        lies) is registered over the whole range.
    predict_batch_size : "auto" or int
        Groups of frames that a model predicts at once; an integer is the first size and the upper limit.
    max_predict_batch_size : int, optional
        Upper limit of the planned size.
    max_groups : int, optional
        Run no more than the first so many groups of frames, to look into a model.
    observer : callable, optional
        Called with what went into and came out of the model, batch by batch (`ptycho.patch_dump`).
    seconds : float, optional
        How long a finished reconstruction took, as its file says.
    """

    label: str
    source: PatchModel | ObjectImage
    predict_batch_size: BatchSize = "auto"
    max_predict_batch_size: int | None = None
    max_groups: int | None = None
    observer: BatchObserver | None = None
    seconds: float | None = None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the file of a model left open and how it was taken, a sentence each."""
        return self.source.assumptions if isinstance(self.source, PatchModel) else ()


def load_arm(
    path: str | os.PathLike[str],
    label: str | None = None,
    *,
    scan: ScanData | None = None,
    subset: ScanData | None = None,
    role: ModelKind | None = None,
    predict_batch_size: BatchSize = "auto",
    max_predict_batch_size: int | None = None,
) -> Arm:
    """Open a model, of this project or of PtychoPINN, or the NPZ of a finished reconstruction.

    Parameters
    ----------
    path : path
        A folder written by ``ptycho-train``; PtychoPINN's ``wts.h5.zip``, ``baseline_model.h5`` or another
        of its files, or a folder that holds one at any depth (docs/formats.md); or an NPZ with
        `reconstructed_object`.
    label : str, optional
        Default: the kind of the model or the name of the algorithm.
    scan : ScanData, optional
        The whole scan that a finished reconstruction was made from: where both know the positions, the
        image's place in the scan's frame follows from them.
    subset : ScanData, optional
        Frames drawn from `scan`, of which alone the reconstruction may have been made.
    role : {"pinn", "baseline"}, optional
        Which model it must be, and which to take from a folder of PtychoPINN's that holds both.

    Raises
    ------
    FileNotFoundError, DataError
        If there is nothing to open, or it is damaged or another model than `role` asks for.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"{path} does not exist; name a model's folder or file, or the NPZ of a finished reconstruction."
        )
    if not is_bundle(path) and is_legacy(path):
        model = load_legacy(path, role)
    elif Path(path).is_file():
        if role is not None:
            raise DataError(
                f"{path} is no model but a {role} is wanted; name the folder of a training run, or a "
                "wts.h5.zip or baseline_model.h5."
            )
        return _finished_arm(Path(path), label, [known for known in (scan, subset) if known is not None])
    else:
        model = load_bundle(path)
    if role is not None and model.architecture.kind != role:
        raise DataError(
            f"{path} holds a {model.architecture.kind} but a {role} is wanted; name another folder, or give the "
            "model any label with --arm LABEL=PATH."
        )
    return Arm(
        label=label or {"pinn": "PtychoPINN", "baseline": "Baseline"}[model.architecture.kind],
        source=model,
        predict_batch_size=predict_batch_size,
        max_predict_batch_size=max_predict_batch_size,
    )


def _finished_arm(path: Path, label: str | None, scans: Sequence[ScanData]) -> Arm:
    finished = read_reconstruction(path)
    origin = finished.origin_in(*scans) if scans else None
    coverage = finished.coverage
    if coverage is None:
        coverage = np.ones(finished.object.shape, np.float32)
    return Arm(
        label=label or finished.label,
        source=ObjectImage(finished.object, coverage, origin),
        seconds=finished.seconds,
    )
