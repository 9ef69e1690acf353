"""A trained model as a folder of plain data: JSON, Keras weights and the probes.

The network is rebuilt from `Architecture` and filled with numbers, so loading runs nothing from the files.

``bundle.json`` (schema version, architecture, training record), ``network.weights.h5`` (Keras weights) and,
if known, ``probes.npy``; in schema version 1 ``probe.npy``, that of the first scan alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np

from ptycho._io.archive import read_npy
from ptycho._io.atomic import staged_files
from ptycho._io.regular import open_regular
from ptycho.errors import DataError
from ptycho.models._checkpoint import CHECKPOINT
from ptycho.models._keras_file import weights_file
from ptycho.models._untrusted import Numbers, open_hdf5
from ptycho.models.networks import Architecture, build_network, outline_network
from ptycho.models.patch_model import PatchModel

SCHEMA_VERSION = 2
_READ_VERSIONS = (1, SCHEMA_VERSION)
_DESCRIPTION, _WEIGHTS, _PROBES = "bundle.json", "network.weights.h5", "probes.npy"
_FIRST_PROBE = "probe.npy"
# A description and the record of a training of thousands of epochs.
_MAX_DESCRIPTION_BYTES = 16 << 20
BUNDLE_FILES = (_DESCRIPTION, _WEIGHTS, _PROBES, _FIRST_PROBE)


def is_bundle(folder: str | os.PathLike[str]) -> bool:
    """Return whether `folder` holds a model of this project."""
    return (Path(folder) / _DESCRIPTION).is_file()


def bundle_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the files of the model in `folder` that exist."""
    return [path for name in BUNDLE_FILES if (path := Path(folder) / name).is_file()]


def save_bundle(folder: str | os.PathLike[str], model: PatchModel) -> None:
    """Write a model into a folder, as plain data.

    The description is renamed into place last: a folder that has one is complete.

    Parameters
    ----------
    folder : path
        Made if need be.
    model : PatchModel

    Raises
    ------
    DataError
        If the bundle would lose something that decides what the model computes.
    """
    architecture = model.architecture
    if not isinstance(architecture, Architecture):
        raise DataError(
            f"the {architecture.kind} was built as the file of another program describes it, which a bundle cannot "
            "say; keep using that file."
        )
    if model.combine != "polar" or model.support_size is not None:
        raise DataError(
            f"the model joins its images as {model.combine} with a support of {model.support_size} px, which only "
            "PtychoPINN's own files can say; keep using those."
        )
    _refuse_other_activations(model, architecture)
    description = {
        "schema_version": SCHEMA_VERSION,
        "architecture": dataclasses.asdict(architecture),
        "training": model.training,
    }
    with staged_files(folder, replaces=BUNDLE_FILES, last=_DESCRIPTION) as parts:
        (parts / _WEIGHTS).write_bytes(weights_file(model.network))
        if model.probes is not None:
            # By way of memory: what NumPy raises on a full disk does not say that it is one.
            probes = BytesIO()
            np.save(probes, model.probes)
            (parts / _PROBES).write_bytes(probes.getvalue())
        (parts / _DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


def _refuse_other_activations(model: PatchModel, architecture: Architecture) -> None:
    usual = outline_network(architecture)
    for layer, expected in zip(model.network.layers, usual.layers, strict=True):
        found, wanted = (getattr(each, "activation", None) for each in (layer, expected))
        if found is not wanted:
            names = [getattr(function, "__name__", "none") for function in (found, wanted)]
            raise DataError(
                f"layer {layer.name} of the {architecture.kind} ends in {names[0]} but a bundle rebuilds it with "
                f"{names[1]}, so it would compute something else; keep using the file that the model came from."
            )


def load_bundle(folder: str | os.PathLike[str]) -> PatchModel:
    """Read the model in `folder`.

    Raises
    ------
    DataError
        If the folder holds no model, or one that is damaged or from a later version.
    """
    place = Path(folder)
    if not place.is_dir():
        raise DataError(f"{place} is not a folder; name the output folder of ptycho-train.")
    if not is_bundle(place):
        if (place / CHECKPOINT).is_file():
            raise DataError(
                f"{place} holds the state of a training that was stopped but no model; go on as it was "
                "begun, with `resume=True`."
            )
        raise DataError(
            f"{place} holds no model ({_DESCRIPTION} is missing); name the output folder of ptycho-train, or of "
            "a run of PtychoPINN with its wts.h5.zip or baseline_model.h5."
        )
    description = _read_description(place / _DESCRIPTION)
    try:
        architecture = Architecture(**description["architecture"])
        training = description["training"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{place / _DESCRIPTION} does not describe a model: {error}") from error
    # All that the files alone can tell comes before Keras is asked, which takes seconds to be there.
    probes = _read_probes(place, architecture.patch_size)
    _check_weights(place / _WEIGHTS, architecture)
    network = build_network(architecture)
    try:
        with warnings.catch_warnings():
            # Keras only warns of weights it does not find and leaves random numbers in their place.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(place / _WEIGHTS)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"the weights in {place / _WEIGHTS} do not fit the {architecture.kind} described beside them "
            f"({reason}); copy the folder again or train anew."
        ) from error
    return PatchModel(network, architecture, probes, training)


def _check_weights(path: Path, architecture: Architecture) -> None:
    """Refuse weights that are damaged, point out of their file or are not the network's, before they take memory."""
    with open_hdf5(path, str(path)) as numbers:
        reason = _why_not(numbers, architecture)
    if reason is not None:
        raise DataError(
            f"the weights in {path} do not fit the {architecture.kind} described beside them "
            f"({reason}); copy the folder again or train anew."
        )


def _why_not(numbers: Numbers, architecture: Architecture) -> str | None:
    # Beside the layers Keras notes the state of an optimiser, which no one reads.
    layers = [name for name in numbers.paths() if name.startswith("layers/")]
    declared = sum(numbers.check(name, numbers.shape(name, name), name) for name in layers)
    if declared > numbers.n_bytes:
        return f"{numbers.n_bytes} bytes but {declared} are declared"
    for name in layers:
        numbers.read(name, name)
    outlined = outline_network(architecture)
    needed = 4 * outlined.count_params()
    if needed > numbers.n_bytes:
        return f"{numbers.n_bytes} bytes but {needed} are needed"
    found = Counter(numbers.shape(name, name) for name in layers)
    expected = Counter(tuple(variable.shape) for variable in outlined.weights)
    for shape in (found - expected) + (expected - found):
        return f"{found[shape]} arrays of shape {shape} but {expected[shape]} are needed"
    return None


def _read_description(path: Path) -> dict:
    try:
        with open_regular(path) as file:
            content = file.read(_MAX_DESCRIPTION_BYTES + 1)
        if len(content) > _MAX_DESCRIPTION_BYTES:
            raise ValueError(f"it has more than {_MAX_DESCRIPTION_BYTES} bytes")
        description = json.loads(content.decode("utf-8"))
        version = description["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}); copy the folder again or train anew.") from error
    if version not in _READ_VERSIONS:
        raise DataError(
            f"{path} has schema version {version} but this version reads up to {SCHEMA_VERSION}; update "
            "ptycho-autobatch."
        )
    return description


def _read_probes(place: Path, side: int) -> np.ndarray | None:
    """Return the probes (K, N, N) of the training, None where the folder has none."""
    for name, n_axes in ((_PROBES, 3), (_FIRST_PROBE, 2)):
        path = place / name
        if not path.exists():
            continue
        probes = read_npy(path, mapped=True)
        if probes.dtype.kind not in "biufc":
            raise DataError(
                f"{path} holds {probes.dtype} but a probe is complex numbers; copy the folder again."
            )
        if probes.ndim != n_axes or not len(probes) or probes.shape[-2:] != (side, side):
            raise DataError(
                f"{path} has shape {probes.shape} but the model's patches are {side}x{side} pixels."
            )
        return probes.astype(np.complex64).reshape(-1, side, side)
    return None
