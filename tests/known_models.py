"""Models that are opened, and costs that are estimated, once for as long as nothing changes, and ones of few layers."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from weakref import WeakKeyDictionary

from autobatch import keras_model_cost
from ptycho.models.bundle import load_bundle
from ptycho.models.patch_model import PatchModel

_COSTS: WeakKeyDictionary = WeakKeyDictionary()


def costs_once(monkeypatch):
    """Estimate the cost of each network once; what a cost is, `tests/autobatch/test_keras.py` shows."""
    monkeypatch.setattr("ptycho.models.patch_model.keras_model_cost", _known_cost)


def models_once(monkeypatch):
    """Open bundles of the same bytes once; what opening one does, `tests/ptycho/models/test_bundle.py` shows."""
    monkeypatch.setattr("ptycho.models.loading.load_bundle", _known_bundle)


def shallow_baselines(monkeypatch):
    """Give baselines one halving in place of three: layers are what TensorFlow takes time for, not their size."""
    monkeypatch.setattr("ptycho.models.networks._BASELINE_FILTERS", (16,))


def without_prediction_graphs(monkeypatch):
    """Predict layer by layer: a graph takes longer to trace than the one batch of a test to compute."""
    monkeypatch.setattr(PatchModel, "_graph", property(lambda self: partial(self.network, training=False)))


def _known_cost(network, *, inputs):
    if network not in _COSTS:
        _COSTS[network] = keras_model_cost(network, inputs=inputs)
    return _COSTS[network]


def _known_bundle(folder):
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    return _opened(_Bytes(Path(folder), tuple((path.name, path.read_bytes()) for path in files)))


class _Bytes:
    """A folder that equals every other one of the same files."""

    def __init__(self, folder, content):
        self.folder, self.content = folder, content

    def __hash__(self):
        return hash(self.content)

    def __eq__(self, other):
        return self.content == other.content


@cache
def _opened(files):
    return load_bundle(files.folder)
