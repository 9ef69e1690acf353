"""Weights as Keras lays them out in HDF5: ``layers/conv2d_3/vars/0``, classes counted in the order of the layers."""

from __future__ import annotations

import re
from collections import Counter
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def snake_case(kind: str) -> str:
    """Return a class as Keras names its group: ``Conv2D`` is ``conv2d``, ``MaxPooling2D`` ``max_pooling2d``."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def weights_file(network: keras.Model) -> bytes:
    """Return what `keras.Model.save_weights` would write, made in memory.

    HDF5's library ends the whole process when a file that it writes meets a full disk; bytes that are written as
    such raise an error instead.
    """
    import h5py

    buffer, counted = BytesIO(), Counter[str]()
    with h5py.File(buffer, "w") as file:
        for layer in network.layers:
            kind = snake_case(type(layer).__name__)
            group = file.create_group(
                f"layers/{kind}_{counted[kind]}/vars" if counted[kind] else f"layers/{kind}/vars"
            )
            group.attrs["name"] = layer.name
            counted[kind] += 1
            for number, variable in enumerate(layer.weights):
                group[str(number)] = np.asarray(variable)
        file.create_group("vars").attrs["name"] = network.name
    return buffer.getvalue()
