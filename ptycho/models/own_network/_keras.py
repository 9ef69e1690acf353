"""A Keras model as a network of the user's own: in memory, or a ``.keras`` file that is opened without trust."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autobatch import keras_model_cost
from ptycho.errors import DataError
from ptycho.models._untrusted import open_hdf5, open_zip
from ptycho.models.description import NetworkDescription
from ptycho.models.networks import shapes_alone
from ptycho.models.own_network._network import OwnNetwork, TensorNetwork
from ptycho.models.own_network._seen import FrameLayout, Seen, SeenOutput, described
from ptycho.models.patch_model import digest_of_weights

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from autobatch import BatchCost

_DESCRIPTION, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {"metadata.json", _DESCRIPTION, _WEIGHTS}
_MAX_TEXT = 16 << 20
# Where the classes of a description may live: layers, what belongs to them, and operations on arrays. A layer that
# runs code or reads files is none of these, or is named below.
_MODULES = re.compile(
    r"keras(\.(layers|initializers|regularizers|constraints|models|activations|dtype_policies"
    r"|src\.models\.(functional|sequential)|src\.ops\.(numpy|nn|math|image|linalg)))?"
)
_REFUSED = re.compile(
    r"Lambda|.*(Lookup|Hash|Vectorization|Discretization|FeatureSpace|SavedModel|TFSM|Torch|Jax|Flax).*"
)
# Python values that Keras wraps.
_WRAPPED = re.compile(r"__\w+__")


def network_of_keras(
    model: keras.Model,
    *,
    name: str,
    description: NetworkDescription | None = None,
    file: Path | None = None,
    is_saved: bool = False,
) -> OwnNetwork:
    """Return a Keras model as a model of this program; `is_saved` says whether it has been read from a file.

    Raises
    ------
    TypeError
        `model` is no Keras model that knows its inputs.
    DataError, SettingsError
        Nothing says what its outputs are, or what is said does not fit it.
    """
    seen = _seen(model, name, is_saved)
    layout = seen.layout
    completed, assumptions = described(seen, description, file)
    graph, dtype = _graph_of(model)

    def compute(frames: np.ndarray) -> Any:
        import tensorflow as tf

        return graph(tf.convert_to_tensor(layout.entering(frames), dtype))

    return OwnNetwork(
        compute=compute,
        description=completed,
        name=name,
        assumptions=assumptions,
        memory_key=_memory_key(model),
        estimate=lambda frame_shape: _estimate(model, layout, frame_shape),
        identity=lambda: digest_of_weights(model),
        in_graph=TensorNetwork(graph, layout.entering, dtype),
    )


def _seen(model: keras.Model, name: str, is_saved: bool) -> Seen:
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise TypeError(
            f"{name} is {model!r} but must be a Keras model that knows its inputs, functional or Sequential; "
            "compare another one with Arm.from_callable."
        )
    names = _output_names(model, len(outputs))
    return Seen(
        name,
        [tuple(each.shape) for each in inputs],
        [
            SeenOutput(label, tuple(each.shape), "complex" in str(each.dtype))
            for label, each in zip(names, outputs, strict=True)
        ],
        is_saved,
    )


def _output_names(model: keras.Model, n_outputs: int) -> list[str]:
    """Return what a model calls its outputs: the keys of a dictionary, else the names of the last layers."""
    structure = getattr(model, "_outputs_struct", None)
    if isinstance(structure, dict):
        return [str(key) for key in structure]
    names = [str(name) for name in getattr(model, "output_names", ())]
    return names if len(names) == n_outputs else [f"output {number}" for number in range(n_outputs)]


def _graph_of(model: keras.Model) -> tuple[Any, tf.DType]:
    """Return the model as one graph for every size of a batch, traced once, and the type of the tensor that it takes.

    Keras traces each size anew.
    """
    import tensorflow as tf

    spec = tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype)
    return tf.function(lambda batch: model(batch, training=False), input_signature=[spec]), spec.dtype


def _estimate(model: keras.Model, layout: FrameLayout, frame_shape: tuple[int, int, int]) -> BatchCost | None:
    try:
        return keras_model_cost(model, input_shapes=layout.item_shape(frame_shape))
    except ValueError:
        # What cannot be traced is measured.
        return None


def _memory_key(model: keras.Model) -> str:
    layers = [
        (type(layer).__name__, layer.compute_dtype, [tuple(weight.shape) for weight in layer.weights])
        for layer in model.layers
    ]
    return hashlib.sha256(repr((layers, model.input_shape, model.output_shape)).encode()).hexdigest()


def read_keras(path: Path) -> keras.Model:
    """Read a ``.keras`` file of standard layers; nothing in it is run, nothing outside of it read.

    Raises
    ------
    DataError
        It is damaged, or needs anything but Keras' own layers.
    """
    with ExitStack() as stack:
        members = stack.enter_context(open_zip(path, str(path)))
        if others := set(members.names()) - _MEMBERS:
            raise DataError(
                f"{path} holds {', '.join(sorted(others))} beside a network of Keras' own layers; {_IN_PYTHON}"
            )
        config = _config(members.read(_DESCRIPTION), path)
        numbers = stack.enter_context(open_hdf5(members.read(_WEIGHTS), f"{path}/{_WEIGHTS}"))
        _refuse_missing_bytes(config, numbers.n_bytes, path)
    import keras

    try:
        with warnings.catch_warnings():
            # Keras only warns of weights it does not find and leaves random numbers in their place.
            warnings.simplefilter("error", UserWarning)
            model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, UserWarning) as error:
        raise _unreadable(path, error) from error
    for variable in model.weights:
        if not np.isfinite(variable.numpy()).all():
            raise DataError(f"{variable.path} in {path} has NaN or infinite weights; train the network anew.")
    return model


_OUT_OF_FILES = "load it in a program that you trust and compare the model with Arm.from_keras(label, model)."
_IN_PYTHON = f"such a file is not opened here: {_OUT_OF_FILES}"


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(
        f"{path} is no Keras model that can be read ({reason}); save it anew, or {_OUT_OF_FILES}"
    )


def _config(text: bytes, path: Path) -> dict[str, Any]:
    """Return the description of a model in which every class is one of Keras' own that neither runs code nor reads."""
    try:
        if len(text) > _MAX_TEXT:
            raise ValueError(f"{len(text)} characters, more than {_MAX_TEXT}")
        config = json.loads(text)
        config["compile_config"] = None
        classes = list(_classes(config))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path} does not describe a Keras model ({error}); save it anew.") from error
    for name, module, registered in classes:
        if _WRAPPED.fullmatch(name):
            continue
        known = _MODULES.fullmatch(module) is not None and re.fullmatch(r"[A-Z]\w*", name) is not None
        # Keras notes a registered name of its own classes too, such as Functional.
        if not known or _REFUSED.fullmatch(name) or registered not in ("", name):
            raise DataError(
                f"{path} has a {registered or f'{module}.{name}'}, which is code of its own or reads files; "
                f"{_IN_PYTHON}"
            )
    return config


def _classes(value: Any) -> Iterator[tuple[str, str, str]]:
    """Yield class, module and registered name of everything that a description names."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield tuple(str(value.get(key) or "") for key in ("class_name", "module", "registered_name"))  # pyright: ignore
        for child in value.values():
            yield from _classes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _classes(child)


def _refuse_missing_bytes(config: dict[str, Any], n_bytes: int, path: Path) -> None:
    """Refuse a network of more weights than the file has, before it is built."""
    import keras

    try:
        with shapes_alone():
            n_needed = keras.saving.deserialize_keras_object(config, safe_mode=True).count_params()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(path, error) from error
    # Two bytes a number is the smallest that Keras saves.
    if 2 * n_needed > n_bytes:
        raise DataError(
            f"{path} declares {n_needed} weights but holds {n_bytes} bytes; they are not all there, so copy it again."
        )
