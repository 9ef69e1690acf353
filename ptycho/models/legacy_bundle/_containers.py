"""The files that hold a network: Keras' archive and HDF5, a SavedModel, and PtychoPINN's archive around them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ptycho.errors import DataError
from ptycho.models._keras_file import snake_case
from ptycho.models._untrusted import FolderMembers, Hdf5Numbers, Members, Numbers, open_hdf5, open_zip
from ptycho.models.legacy_bundle._graph import Graph, parse_graph
from ptycho.models.legacy_bundle._saved_model import description_in, open_checkpoint, weight_paths
from ptycho.models.legacy_bundle._words import OTHER_BACKEND, STORED_AS_CODE, WAY_OUT

ZIP_SIGNATURE, HDF5_SIGNATURE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
TORCH_SUFFIXES = (".pth", ".pt", ".ckpt")
METADATA, PROGRAM = "keras_metadata.pb", "saved_model.pb"
NETWORK = "diffraction_to_obj"
_KERAS = f"{NETWORK}/model.keras"
DESCRIPTION, _WEIGHTS = "config.json", "model.weights.h5"


@dataclass(frozen=True)
class Saved:
    """A saved network: its graph, and for each convolution where its kernel and bias are."""

    graph: Graph
    numbers: Numbers
    paths: Mapping[str, tuple[str, str]]


def open_saved(path: Path, stack: ExitStack) -> Saved:
    """Open the network in a file, or in the folder of a SavedModel; `stack` closes it.

    Raises
    ------
    DataError
        The file is damaged, unsafe, or holds a network in a form that is not read.
    """
    if path.is_dir():
        return _open_members(FolderMembers(path), stack)
    if path.name.endswith(TORCH_SUFFIXES):
        raise DataError(f"{path} is by its name a checkpoint of PyTorch; {OTHER_BACKEND}")
    with path.open("rb") as stream:
        signature = stream.read(len(HDF5_SIGNATURE))
    named_hdf5 = path.name.endswith((".h5", ".hdf5")) and not signature.startswith(ZIP_SIGNATURE)
    if signature == HDF5_SIGNATURE or named_hdf5:
        return _open_keras_hdf5(path, stack)
    return _open_members(stack.enter_context(open_zip(path, str(path))), stack)


def _open_members(members: Members, stack: ExitStack) -> Saved:
    """Open the one network in an archive or a folder: PtychoPINN's with several members, or Keras' own."""
    names = members.names()
    if (archive := _member(members, _KERAS)) is not None:
        name = f"{members.name}/{archive}"
        return _open_keras_archive(stack.enter_context(open_zip(members.read(archive), name)), stack)
    if DESCRIPTION in names and _WEIGHTS in names:
        return _open_keras_archive(members, stack)
    metadata = METADATA if METADATA in names else _member(members, f"{NETWORK}/{METADATA}")
    if metadata is not None:
        return _open_saved_model(members, metadata.removesuffix(METADATA), stack)
    raise DataError(_no_network(members.name, names))


def _member(members: Members, end: str) -> str | None:
    """Return the member that `end` names, wherever in the archive; refuse more than one."""
    found = [name for name in members.names() if f"/{name}".endswith((f"/{end}", f"_{end}"))]
    if len(found) > 1:
        raise DataError(
            f"{members.name} holds {len(found)} models ({', '.join(found)}) but one is needed; unpack it and name "
            "the file itself."
        )
    return found[0] if found else None


def _no_network(name: str, members: Sequence[str]) -> str:
    torch = [member for member in members if member.endswith((*TORCH_SUFFIXES, "/data.pkl"))]
    if torch:
        return f"{name} holds a model of PyTorch ({torch[0]}); {OTHER_BACKEND}"
    programs = [member for member in members if PurePosixPath(member).name == PROGRAM]
    if programs:
        return f"{name} holds a SavedModel ({programs[0]}) without {METADATA}; {STORED_AS_CODE}"
    held = ", ".join(members[:20]) or "nothing"
    return (
        f"{name} has no member {_KERAS}; it holds {held}. Name a file that PtychoPINN saved a model in, or "
        f"{WAY_OUT}."
    )


def _open_keras_archive(members: Members, stack: ExitStack) -> Saved:
    graph = parse_graph(members.read(DESCRIPTION), f"{members.name}/{DESCRIPTION}")
    weights = f"{members.name}/{_WEIGHTS}"
    numbers = stack.enter_context(open_hdf5(members.read(_WEIGHTS), weights))
    # Keras 2 calls the group by its attribute in that version.
    groups = ("layers", "_layer_checkpoint_dependencies")
    group = next((group for group in groups if f"{group}/conv2d/vars/0" in numbers.paths()), groups[0])
    # Keys count the layers of a class in the order of the description; they are not layer names.
    paths = {}
    for number, convolution in enumerate(graph.convolutions()):
        key = f"{group}/conv2d_{number}/vars" if number else f"{group}/conv2d/vars"
        paths[convolution] = (f"{key}/0", f"{key}/1")
        # Later versions of Keras note the layer's name beside its numbers.
        if (noted := numbers.texts(key, "name")) and noted != [convolution]:
            raise DataError(
                f"{key} in {weights} belongs to layer {noted[0]} but {DESCRIPTION} has {convolution} in its place; "
                "the two are not of one model, so name another file."
            )
    _refuse_other_weights(numbers, group, graph)
    return Saved(graph, numbers, paths)


def _refuse_other_weights(numbers: Hdf5Numbers, group: str, graph: Graph) -> None:
    """Refuse weights of layers that the description does not have: it is of another model."""
    described = Counter(snake_case(layer.kind) for layer in graph.layers.values())
    for path in numbers.paths():
        match = re.match(rf"{group}/(.+?)(?:_(\d{{1,6}}))?/", path)
        if match is None or int(match[2] or 0) < described[match[1]]:
            continue
        # Single numbers are scales of the intensity, which cancel in inference.
        if math.prod(numbers.shape(path, path)) > 1:
            raise DataError(
                f"{numbers.name} has trained numbers at {path} for which {DESCRIPTION} has no layer; "
                "the two are not of one model, so name another file."
            )


def _open_keras_hdf5(file: Path, stack: ExitStack) -> Saved:
    numbers = stack.enter_context(open_hdf5(file, str(file)))
    description = "".join(numbers.texts("", "model_config"))
    if not description:
        raise DataError(
            f"{file} has no model_config, so it holds no whole Keras model; name a file that a whole model was "
            "saved in."
        )
    graph = parse_graph(description, f"model_config in {file}")
    paths = {}
    for layer in graph.convolutions():
        names = {
            name.removesuffix(":0").rsplit("/")[-1]: f"model_weights/{layer}/{name}"
            for name in numbers.texts(f"model_weights/{layer}", "weight_names")
        }
        missing = f"model_weights/{layer}"
        paths[layer] = (names.get("kernel", f"{missing}/kernel"), names.get("bias", f"{missing}/bias"))
    return Saved(graph, numbers, paths)


def _open_saved_model(members: Members, folder: str, stack: ExitStack) -> Saved:
    name = f"{members.name}/{folder}{METADATA}"
    graph = parse_graph(description_in(members.read(folder + METADATA), name), name)
    numbers = open_checkpoint(members, folder, stack)
    return Saved(graph, numbers, weight_paths(numbers, graph.convolutions()))
