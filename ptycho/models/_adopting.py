"""The weights of PtychoPINN's networks in those of this project, where the two compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.errors import DataError, SettingsError
from ptycho.models.networks import Architecture, build_network, outline_network
from ptycho.models.patch_model import PatchModel

if TYPE_CHECKING:
    import keras

# Which images depend on a convolution, how many others it depends on, and whether any depends on it.
_Role = tuple[frozenset[int], int, bool]
_INNERMOST_FILTERS = 128
# Rounding of float32 through some twenty layers, against differences of whole values where a layer differs.
_TOLERANCE = 1e-3
_REFUSAL = "this program cannot train it; begin with random weights"


def as_trainable(model: PatchModel) -> PatchModel:
    """Return the network of a model as this project builds it, to be trained on and kept in a bundle.

    The weights of a network of PtychoPINN's go into that of the `Architecture` with the same layers. Filters that
    only the latter has, in the border of a patch, add nothing at first. Whether both compute the same is tried on
    random frames.

    Parameters
    ----------
    model : PatchModel
        Any that `load_model` gives.

    Returns
    -------
    PatchModel
        With the same patches within `trusted_crop_size`; `model` itself if it is of this project.

    Raises
    ------
    DataError
        Its layers are others, such as those of ``pad_object`` off, or its two images are real and imaginary part.
    """
    if isinstance(model.architecture, Architecture):
        return model
    if model.combine != "polar":
        raise DataError(
            f"the {model.architecture.kind} joins its two images as {model.combine}, not as amplitude and phase; "
            f"{_REFUSAL}."
        )
    theirs = {role: layer.get_weights() for role, layer in _convolutions(model.network).items()}
    architecture = _architecture_of(model, theirs)
    _check_shapes(theirs, _convolutions(outline_network(architecture)), architecture)
    network = build_network(architecture)
    rng = np.random.default_rng(0)
    for role, layer in _convolutions(network).items():
        layer.set_weights(_widened(theirs.get(role), role, layer.get_weights(), rng))
    adopted = PatchModel(network, architecture, model.probes, model.training)
    _check_same(model, adopted)
    return adopted


def _convolutions(network: keras.Model) -> dict[_Role, Any]:
    """Return the convolutions of a network by what they are for."""
    above: dict[int, frozenset[str]] = {}
    convolutions = {}
    for operation in network.operations:
        parents = [node.operation for node in operation._inbound_nodes[0].parent_nodes]
        above[id(operation)] = frozenset().union(*(above[id(parent)] for parent in parents))
        if type(operation).__name__ == "Conv2D":
            convolutions[operation.name] = (operation, above[id(operation)])
            above[id(operation)] |= {operation.name}
    images = [above[id(output._keras_history.operation)] for output in network.outputs]
    inner = frozenset().union(*(needed for _, needed in convolutions.values()))
    roles = {}
    for name, (layer, needed) in convolutions.items():
        feeds = frozenset(number for number, image in enumerate(images) if name in image)
        roles[feeds, len(needed), name in inner] = layer
    return roles


def _architecture_of(model: PatchModel, theirs: Mapping[_Role, list[np.ndarray]]) -> Architecture:
    shared = [weights for (feeds, _, _), weights in theirs.items() if len(feeds) == 2]
    try:
        return Architecture(
            kind=model.architecture.kind,
            patch_size=model.patch_size,
            gridsize=model.gridsize,
            n_filters_scale=max(len(bias) for _, bias in shared) / _INNERMOST_FILTERS,
        )
    except (SettingsError, ValueError) as error:
        raise DataError(
            f"there is no network of this program like the {model.architecture.kind} ({error})"
        ) from error


def _check_shapes(
    theirs: Mapping[_Role, list[np.ndarray]], ours: Mapping[_Role, Any], architecture: Architecture
) -> None:
    without_like = [
        role
        for role, (kernel, _) in theirs.items()
        if role not in ours
        or any(their > our for their, our in zip(kernel.shape, ours[role].kernel.shape, strict=True))
    ]
    if without_like:
        raise DataError(
            f"{len(without_like)} of the {len(theirs)} convolutions of the {architecture.kind} have no like, or one of "
            f"fewer filters, in the network of this program for N = {architecture.patch_size}; {_REFUSAL}."
        )


def _widened(
    theirs: list[np.ndarray] | None, role: _Role, ours: list[np.ndarray], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return `theirs` in kernel and bias of the shapes of `ours`, so that what is added has no effect at first."""
    kernel, bias = (np.zeros_like(each) for each in ours)
    feeds_others = role[2]
    if theirs is None and not feeds_others:
        return [kernel, bias]
    # Random numbers, which can learn (He et al., doi:10.1109/ICCV.2015.123), once what they feed is no longer zero.
    kernel[...] = rng.normal(scale=np.sqrt(2 / np.prod(kernel.shape[:3])), size=kernel.shape)
    if theirs is not None:
        n_in, n_out = theirs[0].shape[2:]
        kernel[:, :, :, :n_out] = 0
        kernel[:, :, :n_in, :n_out] = theirs[0]
        bias[:n_out] = theirs[1]
    return [kernel, bias]


def _check_same(model: PatchModel, adopted: PatchModel) -> None:
    """Refuse a network that computes something else within the pixels that count."""
    side, channels = model.patch_size, model.gridsize**2
    frames = np.random.default_rng(1).gamma(0.5, size=(2, side, side, channels)).astype(np.float32)
    start = (side - model.trusted_crop_size) // 2
    inner = slice(start, side - start)
    for their, our in zip(model.images_of(frames), adopted.images_of(frames), strict=True):
        their, our = their[:, inner, inner], our[:, inner, inner]
        if their.shape != our.shape or not np.abs(their - our).max() <= _TOLERANCE * np.abs(their).max():
            raise DataError(
                f"the {model.architecture.kind} has layers of other settings than the network that this program "
                f"builds, so its weights mean something else there; {_REFUSAL}."
            )
