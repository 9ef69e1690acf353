"""Opening a trained model, whoever wrote its files."""

from __future__ import annotations

import os
from pathlib import Path

from ptycho.errors import DataError
from ptycho.models.bundle import is_bundle, load_bundle
from ptycho.models.legacy_bundle import is_legacy, load_legacy
from ptycho.models.networks import ModelKind
from ptycho.models.patch_model import PatchModel


def is_model(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a folder or file that `load_model` would try to read.

    Parameters
    ----------
    path : path

    Returns
    -------
    bool
        False for a file that holds no network, such as the NPZ of a finished reconstruction.
    """
    return is_bundle(path) or is_legacy(path)


def load_model(path: str | os.PathLike[str], *, kind: ModelKind | None = None) -> PatchModel:
    """Open a trained model, of this project or of PtychoPINN; nothing in its files is run.

    Parameters
    ----------
    path : path
        A folder written by ``ptycho-train``; PtychoPINN's ``wts.h5.zip`` or ``baseline_model.h5``, a ``.keras``
        file, the folder of a SavedModel, or a folder that holds one of these anywhere below it.
    kind : {"pinn", "baseline"}, optional
        Which network it must be, and which to take from a folder of PtychoPINN's that holds both.

    Returns
    -------
    PatchModel
        Its `predict_batch` maps frames (B, N, N, C) float32 to patches (B, N, N) complex64.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    DataError
        There is no model in it, it is damaged, or it is another network than `kind` asks for.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"{path} does not exist; name a model's folder, or PtychoPINN's wts.h5.zip or baseline_model.h5."
        )
    if Path(path).is_file() and not is_legacy(path):
        wanted = "model" if kind is None else kind
        raise DataError(
            f"{path} is no model but a {wanted} is wanted; name the folder of a training run, or a "
            "wts.h5.zip or baseline_model.h5."
        )
    model = load_bundle(path) if is_bundle(path) or not is_legacy(path) else load_legacy(path, kind)
    found = model.architecture.kind
    if kind is not None and found != kind:
        raise DataError(
            f"{path} holds a {found} but a {kind} is wanted; name another folder, or leave open which it is "
            "(in compare-models: --arm LABEL=PATH)."
        )
    return model
