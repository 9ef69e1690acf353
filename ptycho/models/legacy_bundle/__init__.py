"""Models trained by PtychoPINN: its ``wts.h5.zip``, ``baseline_model.h5`` and their kin, read as numbers alone.

The weights go into a network of this program's own layers, built as the file describes it, so nothing in the
files is run: pickles (``*.dill``) and stored code are not opened, and of a model's description only names, numbers
and what feeds what are read.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import ExitStack
from pathlib import Path

from ptycho.errors import DataError
from ptycho.models._untrusted import open_zip
from ptycho.models.legacy_bundle._containers import DESCRIPTION, Saved, open_saved
from ptycho.models.legacy_bundle._graph import parse_graph
from ptycho.models.legacy_bundle._meaning import Meaning, has_names_of_a_pinn, meaning_of
from ptycho.models.legacy_bundle._network import Built, build, is_known, outline
from ptycho.models.legacy_bundle._places import chosen_model, is_model_file, models_in
from ptycho.models.legacy_bundle._words import FOREIGN_NETWORK
from ptycho.models.networks import ModelKind
from ptycho.models.patch_model import ForeignArchitecture, PatchModel

logger = logging.getLogger(__name__)

_UNNAMED = (
    "the file names no outputs; taken as PtychoPINN's baseline, whose layers it has: amplitude, then phase"
)


def is_legacy(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a file of PtychoPINN's with a model, or a folder that holds one."""
    place = Path(path)
    return is_model_file(place) if place.is_file() else bool(models_in(place))


def is_of_ptychopinn(file: Path) -> bool:
    """Return whether the network in a ``.keras`` file has PtychoPINN's layers; builds nothing.

    A PINN has names of its own. A baseline has none: its two outputs are called as Keras calls convolutions.
    """
    with ExitStack() as stack:
        members = stack.enter_context(open_zip(file, str(file)))
        try:
            graph = parse_graph(members.read(DESCRIPTION), str(file))
        except DataError:
            return False
    return has_names_of_a_pinn(graph) or (
        len(graph.outputs) == 2
        and all(re.fullmatch(r"conv2d(_\d+)?", name) for name in graph.outputs)
        and all(is_known(layer) for layer in graph.layers.values())
    )


def load_legacy(path: str | os.PathLike[str], role: ModelKind | None = None) -> PatchModel:
    """Read a model trained by PtychoPINN.

    Parameters
    ----------
    path : path
        ``wts.h5.zip``, ``baseline_model.h5`` or either under another name, a ``.keras`` file, the folder of a
        SavedModel, or a folder that holds one of these anywhere below it.
    role : {"pinn", "baseline"}, optional
        Which to read from a folder with both.

    Returns
    -------
    PatchModel
        Without a probe, which these files keep in a pickle. What the files do not say is in its `assumptions`.

    Raises
    ------
    FileNotFoundError, DataError
        If there is no such file, or it is damaged, unsafe, or holds another network.
    """
    file = chosen_model(Path(path), role)
    with ExitStack() as stack:
        saved = open_saved(file, stack)
        meaning = meaning_of(saved.graph)
        # Under this suffix anybody's network may lie; the other names are PtychoPINN's own.
        may_be_anyones = meaning.kind == "baseline" and file.suffix == ".keras"
        model = _model(saved, meaning, file.name, may_be_anyones=may_be_anyones)
    for assumption in model.assumptions:
        logger.warning("%s: %s", file, assumption)
    return model


def _model(saved: Saved, meaning: Meaning, name: str, *, may_be_anyones: bool) -> PatchModel:
    outlined = outline(meaning.graph, meaning.ends)
    _check_images(outlined, meaning)
    _check_size(saved, outlined)
    # Before the network is built, which takes most of the time, for what is damaged is refused here.
    weights = {
        layer: [saved.numbers.read(path, layer) for path in saved.paths[layer]]
        for layer in outlined.convolutions
    }
    built = build(meaning.graph, meaning.ends)
    for layer, convolution in built.convolutions.items():
        convolution.set_weights(weights[layer])
    return PatchModel(
        built.network,
        ForeignArchitecture(
            kind=meaning.kind,
            patch_size=meaning.patch_size,
            gridsize=meaning.gridsize,
            n_weights=built.network.count_params(),
        ),
        training={"source": name},
        combine=meaning.combine,
        support_size=meaning.patch_size // 2 if meaning.is_merged else None,
        assumptions=meaning.assumptions + ((_UNNAMED,) if may_be_anyones else ()),
    )


def _check_images(outlined: Built, meaning: Meaning) -> None:
    """Refuse images that make no patch of N x N pixels: of another size or number."""
    side, channels = meaning.patch_size, meaning.n_channels
    shapes = [tuple(image.shape[1:]) for image in outlined.network.outputs]
    counts = {shape[-1] for shape in shapes}
    # A PINN whose training did not put patches together gives one for the whole group.
    alone = meaning.kind == "pinn" and not meaning.is_merged
    expected = {1} if alone else {1, channels}
    if {shape[:-1] for shape in shapes} != {(side, side)} or not (
        counts <= expected and max(counts) == max(expected)
    ):
        raise DataError(
            f"{meaning.graph.name} gives images of shapes {shapes} but a {meaning.kind} of N = {side} and "
            f"{channels} frames gives {max(expected)} of {side} x {side}; {FOREIGN_NETWORK}"
        )


def _check_size(saved: Saved, outlined: Built) -> None:
    """Refuse weights of other shapes, or of more bytes than the file has, before a network is built for them."""
    n_bytes = sum(
        saved.numbers.check(path, tuple(variable.shape), name)
        for name, layer in outlined.convolutions.items()
        for path, variable in zip(saved.paths[name], layer.weights, strict=True)
    )
    if n_bytes > saved.numbers.n_bytes:
        raise DataError(
            f"{saved.numbers.name} has {saved.numbers.n_bytes} bytes but declares {n_bytes} bytes of weights for "
            f"{len(outlined.convolutions)} convolutions; they are not all there, so nothing is built: copy the file "
            "again."
        )
