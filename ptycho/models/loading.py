"""Opening a trained model, whoever wrote its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from ptycho.errors import DataError
from ptycho.models.bundle import is_bundle, load_bundle
from ptycho.models.description import NetworkDescription
from ptycho.models.legacy_bundle import is_legacy, load_legacy
from ptycho.models.networks import ModelKind
from ptycho.models.own_network import is_own_network, load_own_network
from ptycho.models.patch_model import PatchModel
from ptycho.models.predictor import PatchPredictor


@dataclass(frozen=True)
class ModelSource:
    """Where a model came from, so that another process can open it.

    Attributes
    ----------
    path : str
    kind : {"pinn", "baseline"}, optional
    description : NetworkDescription, optional
        All three as for `load_model`.
    """

    path: str
    kind: ModelKind | None = None
    description: NetworkDescription | None = None

    def open(self) -> PatchPredictor:
        """Open the model, each time anew.

        Returns
        -------
        PatchPredictor

        Raises
        ------
        FileNotFoundError, DataError
            As `load_model`.
        """
        return load_model(self.path, kind=self.kind, description=self.description)


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
    return is_bundle(path) or is_own_network(path) or is_legacy(path)


@overload
def load_model(path: str | os.PathLike[str], *, kind: ModelKind) -> PatchModel: ...


@overload
def load_model(
    path: str | os.PathLike[str],
    *,
    kind: ModelKind | None = None,
    description: NetworkDescription | None = None,
) -> PatchPredictor: ...


def load_model(
    path: str | os.PathLike[str],
    *,
    kind: ModelKind | None = None,
    description: NetworkDescription | None = None,
) -> PatchPredictor:
    """Open a trained model, of this project, of PtychoPINN or of one's own; no code in its files is run.

    Parameters
    ----------
    path : path
        A folder written by ``ptycho-train``; PtychoPINN's ``wts.h5.zip`` or ``baseline_model.h5``, a ``.keras``
        file, the folder of a SavedModel, or a folder that holds one of these anywhere below it; a ``.keras`` or
        ``.onnx`` file of one's own, the folder of a SavedModel of one's own, or the JSON that describes one.
    kind : {"pinn", "baseline"}, optional
        Which network it must be, and which to take from a folder of PtychoPINN's that holds both.
    description : NetworkDescription, optional
        What a network of one's own takes and gives, in place of the JSON beside it.

    Returns
    -------
    PatchPredictor
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
    if Path(path).is_file() and not is_model(path):
        wanted = "model" if kind is None else kind
        raise DataError(
            f"{path} is no model but a {wanted} is wanted; name the folder of a training run, or a "
            "wts.h5.zip or baseline_model.h5."
        )
    model = _opened(path, kind, description)
    if kind is not None and model.kind != kind:
        elsewhere = f"ask for a {model.kind}" if model.kind else "pass it to a comparison with `load_arm`"
        raise DataError(
            f"{path} holds a {model.kind or 'network of its own kind'} but a {kind} is wanted; name another folder, "
            f"or {elsewhere}."
        )
    return model


def _opened(
    path: str | os.PathLike[str], kind: ModelKind | None, description: NetworkDescription | None
) -> PatchPredictor:
    if is_bundle(path):
        return load_bundle(path)
    if description is not None or is_own_network(path):
        return load_own_network(path, description)
    return load_legacy(path, kind) if is_legacy(path) else load_bundle(path)
