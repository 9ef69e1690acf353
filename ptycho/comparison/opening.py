"""`load_arm`: a model or a finished reconstruction out of its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ptycho.comparison.arms import Arm, FinishedArm, ModelArm
from ptycho.comparison.roles import ROLES
from ptycho.data import read_reconstruction
from ptycho.data.formats import is_reconstruction
from ptycho.data.scan import ScanData
from ptycho.image.placed import PlacedImage
from ptycho.models.description import NetworkDescription
from ptycho.models.loading import ModelSource, is_model, load_model
from ptycho.models.networks import ModelKind
from ptycho.reconstruction import BatchSize


def load_arm(
    path: str | os.PathLike[str],
    label: str | None = None,
    *,
    scan: ScanData | None = None,
    subset: ScanData | None = None,
    role: ModelKind | None = None,
    description: NetworkDescription | None = None,
    predict_batch_size: BatchSize | None = None,
    max_predict_batch_size: int | None = None,
    max_groups: int | None = None,
) -> Arm:
    """Open a model, of this project, of PtychoPINN or of one's own, or a finished reconstruction.

    Parameters
    ----------
    path : path
        A folder written by ``ptycho-train``; PtychoPINN's ``wts.h5.zip``, ``baseline_model.h5`` or another
        of its files, or a folder that holds one at any depth (docs/formats.md); a network of one's own, or the JSON
        that describes it (docs/how-to/your-own-network.md); or a file that `ptycho.data.read_reconstruction` reads.
    label : str, optional
        Default: that of the model's role or the name of the algorithm.
    scan : ScanData, optional
        The whole scan that a finished reconstruction was made from: where both know the positions, the
        image's place in the scan's frame follows from them.
    subset : ScanData, optional
        Frames drawn from `scan`, of which alone the reconstruction may have been made.
    role : {"pinn", "baseline"}, optional
        Which model it must be, and which to take from a folder of PtychoPINN's that holds both. A model without
        a label takes the role of its kind.
    description : NetworkDescription, optional
        What a network of one's own takes and gives, in place of the JSON beside it.
    predict_batch_size, max_predict_batch_size, max_groups : optional
        As in `ModelArm`.

    Returns
    -------
    ModelArm or FinishedArm

    Raises
    ------
    FileNotFoundError, DataError
        If there is nothing to open, or it is damaged or another model than `role` asks for.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"{path} does not exist; name a model's folder or file, or the file of a finished reconstruction."
        )
    # Models too lie in HDF5, so that only the contents tell.
    is_finished = Path(path).is_file() and (is_reconstruction(path) or not is_model(path))
    if role is None and description is None and is_finished:
        return _finished_arm(Path(path), label, [known for known in (scan, subset) if known is not None])
    source = ModelSource(str(Path(path).resolve()), role, description)
    model = load_model(path, kind=role, description=description)
    return ModelArm(
        label=label or (model.name if model.kind is None else ROLES[model.kind].label),
        role=model.kind if label is None else role,
        model=model,
        predict_batch_size=predict_batch_size,
        max_predict_batch_size=max_predict_batch_size,
        max_groups=max_groups,
        source=source,
    )


def _finished_arm(path: Path, label: str | None, scans: Sequence[ScanData]) -> FinishedArm:
    finished = read_reconstruction(path)
    origin_yx = finished.origin_in(*scans) if scans else None
    if finished.coverage is None:
        image = PlacedImage(finished.object, np.ones(finished.object.shape, bool), origin_yx)
    else:
        image = PlacedImage.of_coverage(finished.object, finished.coverage, origin_yx)
    return FinishedArm(
        label=label or finished.label,
        image=image,
        seconds=finished.seconds,
        probe=finished.probe,
        why_unplaced=finished.why_unplaced(*scans),
    )
