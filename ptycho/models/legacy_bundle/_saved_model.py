"""A network in TensorFlow's SavedModel, of which only the description and the numbers are read.

The program in ``saved_model.pb`` is not opened. Keras 2 wrote the description into ``keras_metadata.pb``, a
protobuf of which two kinds of field are needed; the numbers are a checkpoint of TensorFlow's.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.errors import DataError
from ptycho.models._protobuf import message_fields
from ptycho.models._untrusted import Members, Numbers

# The description is in it several times over, in parts and whole.
_MAX_METADATA = 64 << 20
_NODES, _PATH, _DESCRIPTION = 1, 3, 5
_INDEX, _DATA = "variables/variables.index", "variables/variables.data-00000-of-00001"
_VALUE = ".ATTRIBUTES/VARIABLE_VALUE"


def description_in(metadata: bytes, name: str) -> str:
    """Return the description of the whole network in a ``keras_metadata.pb``.

    Raises
    ------
    DataError
        It is no such file, or describes no functional model.
    """
    try:
        if len(metadata) > _MAX_METADATA:
            raise ValueError(f"{len(metadata)} bytes, more than {_MAX_METADATA}")
        for number, node in message_fields(metadata):
            fields = dict(message_fields(node)) if number == _NODES else {}
            if fields.get(_PATH) == b"root":
                return fields[_DESCRIPTION].decode("utf-8")
        raise ValueError("no node called root")
    except (ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"{name} does not describe a Keras model ({type(error).__name__}: {error}); "
            "name a model that PtychoPINN saved."
        ) from error


class CheckpointNumbers(Numbers):
    """The variables of a checkpoint, of which only shapes are known until one is read."""

    def __init__(self, reader: Any, name: str, n_bytes: int) -> None:
        super().__init__(name, n_bytes)
        self._reader = reader
        self._shapes = reader.get_variable_to_shape_map()
        self._types = reader.get_variable_to_dtype_map()

    def paths(self) -> list[str]:
        """Return the keys of all variables."""
        return list(self._shapes)

    def _declared(self, path: str) -> tuple[tuple[int, ...], np.dtype]:
        try:
            dtype = np.dtype(self._types[path].as_numpy_dtype)
        except (KeyError, TypeError):
            # NumPy has no counterpart: no numbers.
            dtype = np.dtype(object)
        return tuple(self._shapes[path]), dtype

    def _values(self, path: str) -> Any:
        import tensorflow as tf

        try:
            return self._reader.get_tensor(path)
        except (tf.errors.OpError, IndexError) as error:
            raise ValueError(str(error)) from error


def open_checkpoint(members: Members, folder: str, stack: ExitStack) -> CheckpointNumbers:
    """Open the numbers of the SavedModel in `folder`, "" or a path with a slash at its end, of `members`.

    TensorFlow reads from a file: the two members are copied, under names of this program's own, into a temporary
    folder that `stack` removes.

    Raises
    ------
    DataError
        They are missing or damaged.
    """
    import tensorflow as tf

    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ptycho-")))
    n_bytes = 0
    for member, name in ((_INDEX, "numbers.index"), (_DATA, "numbers.data-00000-of-00001")):
        content = members.read(folder + member)
        (scratch / name).write_bytes(content)
        n_bytes += len(content)
    name = f"{members.name}/{folder}variables"
    try:
        reader = tf.train.load_checkpoint(os.fspath(scratch / "numbers"))
        return CheckpointNumbers(reader, name, n_bytes)
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError) as error:
        reason = str(error).replace(f"{scratch}/", "")
        raise DataError(f"{name} cannot be read ({reason}); the file is damaged, copy it again.") from error


def weight_paths(numbers: Numbers, convolutions: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return where kernel and bias of each convolution are: the layers with a kernel, in their order."""
    pattern = re.compile(rf"layer_with_weights-(\d{{1,6}})/kernel/{re.escape(_VALUE)}")
    found = sorted(int(match[1]) for path in numbers.paths() if (match := pattern.fullmatch(path)))
    if len(found) != len(convolutions):
        raise DataError(
            f"{numbers.name} has {len(found)} kernels but the description beside it {len(convolutions)} "
            "convolutions; the two are not of one model, so name another file."
        )
    return {
        name: (f"layer_with_weights-{number}/kernel/{_VALUE}", f"layer_with_weights-{number}/bias/{_VALUE}")
        for name, number in zip(convolutions, found, strict=True)
    }
