"""Models trained by PtychoPINN: its ``wts.h5.zip`` and ``baseline_model.h5``, read as numbers alone.

The weights go into this project's own network, so nothing in the files is run: pickles (``*.dill``) are not
opened, and of a model's description only names, numbers and what feeds what are read.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ptycho.errors import DataError
from ptycho.models._untrusted import Hdf5Numbers, open_hdf5, open_zip
from ptycho.models.legacy_bundle._graph import CONVOLUTION, Graph, Wiring, graph_of, parse_graph, wiring
from ptycho.models.networks import Architecture, ModelKind, build_network, outline_network
from ptycho.models.patch_model import PatchModel

if TYPE_CHECKING:
    import keras

_BUNDLE, _BASELINE = "wts.h5.zip", "baseline_model.h5"
_SUFFIXES = (".zip", ".h5", ".hdf5")
_MODEL = "diffraction_to_obj/model.keras"
# Both networks end their encoder with 128 filters, times n_filters_scale, at every N.
_LAST_ENCODER_FILTERS = 128
_AMPLITUDE_ACTIVATIONS = ("sigmoid", "silu", "swish", "softplus", "relu")
_BASELINE_LAYERS = ("InputLayer", CONVOLUTION, "MaxPooling2D", "UpSampling2D")
# What must be alike in a layer of theirs and of ours, by class; other settings do not change its result. Pooling
# of 2 pads nothing on an even side, whatever its `padding`.
_DECISIVE = {
    CONVOLUTION: ("kernel_size", "strides", "padding", "dilation_rate", "groups", "use_bias", "data_format"),
    "MaxPooling2D": ("pool_size", "strides", "data_format"),
    "UpSampling2D": ("size", "interpolation", "data_format"),
}


def is_legacy(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a file of PtychoPINN's with a model, or a folder that holds one."""
    source = Path(path)
    return source.name.endswith(_SUFFIXES) if source.is_file() else bool(_files_in(source))


def load_legacy(path: str | os.PathLike[str], role: ModelKind | None = None) -> PatchModel:
    """Read a model trained by PtychoPINN.

    Parameters
    ----------
    path : path
        ``wts.h5.zip``, ``baseline_model.h5``, the folder that holds the first, or a folder with the second
        anywhere below it.
    role : {"pinn", "baseline"}, optional
        Which of the two files to read from a folder with both.

    Returns
    -------
    PatchModel
        Without a probe, which these files keep in a pickle.

    Raises
    ------
    FileNotFoundError, DataError
        If there is no such file, or it is damaged, unsafe, or holds another network.
    """
    file = _chosen_file(Path(path), role)
    with ExitStack() as stack:
        open_file = _open_bundle if file.name.endswith(".zip") else _open_keras_hdf5
        return _model(open_file(file, stack), file)


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [folder / _BUNDLE, *sorted(folder.rglob(_BASELINE))]
    return [file for file in files if file.is_file()]


def _chosen_file(path: Path, role: ModelKind | None) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{path} does not exist; name {_BUNDLE}, {_BASELINE} or a folder with one.")
    files = _files_in(path)
    if role is not None:
        preferred = _BUNDLE if role == "pinn" else _BASELINE
        files = [file for file in files if file.name == preferred] or files
    if not files:
        raise DataError(f"{path} holds neither {_BUNDLE} nor {_BASELINE}; name the folder of a training run.")
    if len(files) > 1:
        found = ", ".join(str(file.relative_to(path)) for file in files)
        raise DataError(
            f"{path} holds {len(files)} models ({found}) but one is needed; name the file itself."
        )
    return files[0]


@dataclass(frozen=True)
class _Saved:
    """A saved network: its graph, and for each convolution where its kernel and bias are."""

    graph: Graph
    numbers: Hdf5Numbers
    paths: Mapping[str, tuple[str, str]]


def _open_bundle(file: Path, stack: ExitStack) -> _Saved:
    model = stack.enter_context(open_zip(file, str(file))).read(_MODEL)
    name = f"{file}/{_MODEL}"
    members = stack.enter_context(open_zip(model, name))
    graph = parse_graph(members.read("config.json"), f"{name}/config.json")
    weights = f"{name}/model.weights.h5"
    numbers = stack.enter_context(open_hdf5(members.read("model.weights.h5"), weights))
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
                f"{key} in {weights} belongs to layer {noted[0]} but config.json has {convolution} in its place; "
                "the two are not of one model, so copy the file again."
            )
    _refuse_other_weights(numbers, paths.values())
    return _Saved(graph, numbers, paths)


def _refuse_other_weights(numbers: Hdf5Numbers, used: Any) -> None:
    known = {path for pair in used for path in pair}
    for path in numbers.paths():
        # Single numbers are scales of the intensity, which cancel in inference.
        trained = "/vars/" in path and not path.startswith("optimizer") and path not in known
        if trained and math.prod(numbers.shape(path, path)) > 1:
            raise DataError(
                f"{numbers.name} has trained numbers at {path} for which this network has no layer; "
                "only PtychoPINN's plain convolutional networks can be read."
            )


def _open_keras_hdf5(file: Path, stack: ExitStack) -> _Saved:
    numbers = stack.enter_context(open_hdf5(file, str(file)))
    description = "".join(numbers.texts("", "model_config"))
    if not description:
        raise DataError(f"{file} has no model_config, so it holds no whole Keras model; name {_BASELINE}.")
    graph = parse_graph(description, f"model_config in {file}")
    paths = {}
    for layer in graph.convolutions():
        names = {
            name.removesuffix(":0").rsplit("/")[-1]: f"model_weights/{layer}/{name}"
            for name in numbers.texts(f"model_weights/{layer}", "weight_names")
        }
        missing = f"model_weights/{layer}"
        paths[layer] = (names.get("kernel", f"{missing}/kernel"), names.get("bias", f"{missing}/bias"))
    return _Saved(graph, numbers, paths)


@dataclass(frozen=True)
class _Reading:
    """What the description says of a network beyond its shape.

    `ends` names the layers with amplitude and phase, `whole` every layer that an object depends on.
    """

    kind: ModelKind
    ends: tuple[str, str]
    whole: tuple[str, ...]
    combine: Literal["polar", "rectangular"] = "polar"
    amplitude_activation: str | None = None


def _model(saved: _Saved, file: Path) -> PatchModel:
    graph = saved.graph
    reading = _read_pinn(graph) if {"amp", "phi", "obj"} <= graph.layers.keys() else _read_baseline(graph)
    theirs = wiring(graph, *reading.ends)
    architecture = _architecture(saved, reading.kind, theirs)
    outline = outline_network(architecture)
    own = graph_of(outline.get_config(), outline.name)
    ours = wiring(own, "amplitude", "phase")
    if theirs.links != ours.links:
        raise DataError(
            f"{graph.source} wires {len(theirs.names)} convolutions in another way than the "
            f"{architecture.kind} of N = {architecture.patch_size}, which has {len(ours.names)}"
            f"{_first_difference(theirs.names, theirs.links, ours.links)}; only PtychoPINN's standard networks "
            "can be read."
        )
    _check_settings(graph, own, reading, dict(zip(theirs.names, ours.names, strict=True)))
    partners = list(zip(theirs.names, ours.names, strict=True))
    _check_size(saved, architecture, [(name, outline.get_layer(target)) for name, target in partners])
    network = build_network(architecture)
    # Layers without a name of their own are numbered through the process: only their order is the same.
    target_of = dict(zip((layer.name for layer in outline.layers), network.layers, strict=True))
    for name, target in partners:
        target_of[target].set_weights([saved.numbers.read(path, name) for path in saved.paths[name]])
    if reading.amplitude_activation is not None:
        _set_activation(network, reading.amplitude_activation)
    return PatchModel(
        network,
        architecture,
        training={"source": file.name},
        combine=reading.combine,
        support_size=architecture.patch_size // 2 if architecture.kind == "pinn" else None,
    )


def _check_size(
    saved: _Saved, architecture: Architecture, layers: Sequence[tuple[str, keras.layers.Layer]]
) -> None:
    """Refuse weights of other shapes, or of more bytes than the file has, before a network is built for them."""
    n_bytes = sum(
        saved.numbers.check(path, tuple(variable.shape), name)
        for name, layer in layers
        for path, variable in zip(saved.paths[name], layer.weights, strict=True)
    )
    if n_bytes > saved.numbers.n_bytes:
        raise DataError(
            f"{saved.numbers.name} has {saved.numbers.n_bytes} bytes but declares {n_bytes} bytes of weights for a "
            f"{architecture.kind} of N = {architecture.patch_size}; they are not all there, so nothing is built: "
            "copy the file again."
        )


def _set_activation(network: keras.Model, activation: str) -> None:
    import keras

    network.get_layer("amplitude_centre").activation = keras.activations.get(activation)


def _first_difference(
    names: Sequence[str], theirs: Sequence[tuple[int, ...]], ours: Sequence[tuple[int, ...]]
) -> str:
    for name, found, expected in zip(names, theirs, ours, strict=False):
        if found != expected:
            return f" (layer {name} is the first that differs)"
    return ""


def _read_pinn(graph: Graph) -> _Reading:
    whole = ("obj",)
    _refuse_lambda(graph, whole)
    phase, scale = _activation(graph, "phi")
    if phase != "tanh" or not math.isclose(scale, math.pi, rel_tol=1e-6):
        raise DataError(
            f"layer phi in {graph.source} is {phase} times {scale:g} but must be tanh times pi; "
            "no other phase can be read."
        )
    amplitude, scale = _activation(graph, "amp")
    if amplitude not in _AMPLITUDE_ACTIVATIONS or scale != 1:
        raise DataError(
            f"layer amp in {graph.source} is {amplitude} times {scale:g} but must be one of "
            f"{', '.join(_AMPLITUDE_ACTIVATIONS)}, unscaled; no other amplitude can be read."
        )
    # Bundles from before the setting was introduced do not name it.
    polar = graph.layers["obj"].settings.get("use_polar", False) is True
    return _Reading("pinn", ("amp", "phi"), whole, "polar" if polar else "rectangular", amplitude)


def _activation(graph: Graph, name: str) -> tuple[str, float]:
    settings = graph.layers[name].settings
    activation = settings.get("activation_name", settings.get("activation"))
    scale = settings.get("scale", 1.0)
    if not isinstance(activation, str) or not isinstance(scale, (int, float)):
        raise DataError(
            f"layer {name} in {graph.source} does not name its activation (it has {activation!r} times {scale!r}); "
            "train it anew with a later version."
        )
    return activation, float(scale)


def _read_baseline(graph: Graph) -> _Reading:
    if len(graph.outputs) != 2:
        raise DataError(
            f"{graph.source} has {len(graph.outputs)} outputs and no layers amp, phi and obj but a baseline has two, "
            f"amplitude and phase; name a {_BUNDLE} or {_BASELINE}."
        )
    _refuse_lambda(graph, graph.outputs)
    for layer in graph.layers.values():
        if layer.kind not in _BASELINE_LAYERS:
            raise DataError(
                f"layer {layer.name} in {graph.source} is a {layer.kind} but a baseline has only "
                f"{', '.join(_BASELINE_LAYERS)}; only PtychoPINN's standard networks can be read."
            )
    return _Reading("baseline", (graph.outputs[0], graph.outputs[1]), graph.outputs)


def _refuse_lambda(graph: Graph, ends: Sequence[str]) -> None:
    for layer in graph.ancestors(ends):
        if layer.kind == "Lambda":
            raise DataError(
                f"layer {layer.name} in {graph.source} is a Lambda, which is stored as code and is not run; "
                "train the model anew with a version that has none."
            )


def _architecture(saved: _Saved, kind: ModelKind, theirs: Wiring) -> Architecture:
    graph = saved.graph
    side, channels = _input_shape(graph)
    if not theirs.n_encoder:
        raise DataError(
            f"{graph.source} has no convolutions shared by amplitude and phase; only PtychoPINN's standard "
            "networks can be read."
        )
    last = theirs.names[theirs.n_encoder - 1]
    filters = saved.numbers.shape(saved.paths[last][0], last)[-1:]
    try:
        return Architecture(
            kind=kind,
            patch_size=side,
            gridsize=math.isqrt(channels),
            n_filters_scale=(filters[0] if filters else 0) / _LAST_ENCODER_FILTERS,
        )
    except ValueError as error:
        raise DataError(f"{graph.source} describes a network that cannot be built: {error}") from error


def _input_shape(graph: Graph) -> tuple[int, int]:
    """Return the side N of a frame and the number of channels C."""
    inputs = [layer for layer in graph.layers.values() if layer.kind == "InputLayer"]
    named = [layer for layer in inputs if layer.name == "input"] or inputs[:1]
    settings = named[0].settings if named else {}
    shape = settings.get("batch_shape", settings.get("batch_input_shape"))
    match shape:
        case [_, int(height), int(width), int(channels)] if (
            height == width and channels > 0 and math.isqrt(channels) ** 2 == channels
        ):
            return height, channels
    raise DataError(
        f"the input of {graph.source} has shape {shape} but must be (batch, N, N, C), C a square number; "
        "only PtychoPINN's standard networks can be read."
    )


def _check_settings(graph: Graph, own: Graph, reading: _Reading, partner: Mapping[str, str]) -> None:
    """Refuse layers that compute something else than ours on the same weights."""
    reached = graph.ancestors(reading.whole)
    for kind in ("MaxPooling2D", "UpSampling2D"):
        counts = [Counter(layer.kind for layer in layers)[kind] for layers in (reached, own.layers.values())]
        if counts[0] != counts[1]:
            raise DataError(
                f"{graph.source} has {counts[0]} layers of {kind} but this network has {counts[1]}; only "
                "PtychoPINN's standard networks can be read."
            )
    patterns = {layer.kind: layer for layer in own.layers.values()}
    for layer in reached:
        for setting in _DECISIVE.get(layer.kind, ()):
            _check_setting(graph, layer.name, setting, layer.settings, patterns[layer.kind].settings)
        ours = own.layers[partner[layer.name]].settings if layer.name in partner else {}
        # What follows the last convolutions of a PINN was read from amp and phi.
        if ours.get("activation") in ("relu", "linear"):
            _check_setting(graph, layer.name, "activation", layer.settings, ours)


def _check_setting(
    graph: Graph, name: str, setting: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> None:
    expected = _plain(ours[setting])
    found = _plain(theirs.get(setting, expected))
    if found != expected:
        raise DataError(
            f"layer {name} in {graph.source} has {setting} {found} but this network has {expected}; only "
            "PtychoPINN's standard networks can be read."
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
