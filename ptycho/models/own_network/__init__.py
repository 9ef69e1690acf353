"""Networks of the user's own: a function, a Keras model, a ``.keras`` or ONNX file, a SavedModel's signature.

Beside a file may lie its description, ``two.json`` beside ``two.keras``: the fields of `NetworkDescription`. Named
itself, it says with ``model`` where the network is, or that has its name.
"""

from __future__ import annotations

import os
from pathlib import Path

from ptycho.errors import DataError
from ptycho.models.description import NetworkDescription
from ptycho.models.legacy_bundle import is_of_ptychopinn
from ptycho.models.own_network._keras import network_of_keras, read_keras
from ptycho.models.own_network._network import OwnNetwork
from ptycho.models.own_network._network import network_of_callable as network_of_callable
from ptycho.models.own_network._onnx import network_of_onnx
from ptycho.models.own_network._saved_model import is_saved_model, network_of_saved_model
from ptycho.models.own_network._seen import LONGEST_DESCRIPTION, read_description

__all__ = ["OwnNetwork", "is_own_network", "load_own_network", "network_of_callable", "network_of_keras"]

_KERAS, _ONNX, _JSON = ".keras", ".onnx", ".json"
_METADATA = "keras_metadata.pb"


def is_own_network(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a network that is neither this project's nor PtychoPINN's, or its description."""
    place = Path(path)
    if place.suffix in (_JSON, _ONNX):
        return place.is_file()
    is_network = place.suffix == _KERAS and place.is_file()
    if not is_network and not is_saved_model(place):
        return False
    if _is_described(_beside(place)):
        return True
    # PtychoPINN's SavedModels have a description by Keras 2, of which the network is built anew.
    return not is_of_ptychopinn(place) if is_network else not (place / _METADATA).exists()


def _is_described(file: Path) -> bool:
    """Return whether a JSON file is meant for a description: beside PtychoPINN's networks others may lie."""
    return file.is_file() and file.stat().st_size <= LONGEST_DESCRIPTION and b'"outputs"' in file.read_bytes()


def load_own_network(
    path: str | os.PathLike[str], description: NetworkDescription | None = None
) -> OwnNetwork:
    """Open a network of the user's own; of its file only arithmetic is run.

    Parameters
    ----------
    path : path
        A ``.keras`` or ``.onnx`` file, the folder of a SavedModel, or the ``.json`` that describes one.
    description : NetworkDescription, optional
        In place of the JSON file.

    Returns
    -------
    OwnNetwork

    Raises
    ------
    FileNotFoundError, DataError
        There is no such file, it is damaged or would run code, or nothing says what its outputs are.
    """
    place, file = _network_and_description(Path(path))
    file = None if description is not None else file
    named = {"name": place.name, "description": description, "file": file}
    if place.suffix == _KERAS and place.is_file():
        return network_of_keras(read_keras(place), is_saved=True, **named)
    if place.suffix == _ONNX and place.is_file():
        return network_of_onnx(place, **named)
    if is_saved_model(place):
        return network_of_saved_model(place, **named)
    raise DataError(
        f"{place} is no .keras or .onnx file and no folder of a SavedModel; name the network, or its description in "
        "JSON with its place as model."
    )


def _network_and_description(path: Path) -> tuple[Path, Path | None]:
    """Return where the network is and the JSON file that describes it, if there is one."""
    if path.suffix != _JSON:
        beside = _beside(path)
        return path, beside if beside.is_file() else None
    said = read_description(path)
    named = [path.parent / str(said["model"])] if "model" in said else _of_the_same_name(path)
    if len(named) != 1 or not named[0].exists():
        raise FileNotFoundError(
            f"{path} describes {', '.join(map(str, named)) or 'a network'} but "
            f"{'there is none' if len(named) < 2 else 'one is needed'}; say in it with model where the network is."
        )
    return named[0], path


def _of_the_same_name(path: Path) -> list[Path]:
    candidates = [path.with_suffix(_KERAS), path.with_suffix(_ONNX), path.with_suffix("")]
    return [candidate for candidate in candidates if candidate.exists()]


def _beside(path: Path) -> Path:
    return path.with_suffix(_JSON) if path.is_file() else path.parent / f"{path.name}{_JSON}"
