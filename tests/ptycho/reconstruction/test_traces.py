"""A network is traced once for plan and reconstruction, whatever the batches, and once for each arm."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from autobatch.testing import inject_oom
from ptycho.comparison import ComparisonSettings, ModelArm, compare
from ptycho.models.networks import Architecture
from ptycho.models.patch_model import PatchModel
from ptycho.reconstruction import InferenceSettings, plan_inference, reconstruct


class Counting(keras.layers.Layer):
    """Passes frames on and counts how often it is called by Python: for every trace, not for every batch."""

    n_calls = 0

    def call(self, frames):
        self.n_calls += 1
        return frames


def _model():
    frames = keras.Input((16, 16, 1))
    counting = Counting()
    network = keras.Model(frames, [1 + counting(frames), frames])
    return PatchModel(network, Architecture(kind="baseline", patch_size=16, n_filters_scale=0.25)), counting


@pytest.mark.parametrize("failing", [[], [0, 2]])
def test_a_network_is_traced_once_for_batches_of_every_size(make_scan, failing):
    scan = make_scan(n=23)
    model, counting = _model()
    settings = InferenceSettings(crop_size=8, predict_batch_size=8)
    before = counting.n_calls
    assert plan_inference(model, scan, settings).batches.batch_size == 8
    with inject_oom(at=failing, label="patches"):
        run = reconstruct(model, scan, settings)
    sizes = run.prediction.batch_sizes
    assert sum(sizes) == 23
    assert len(set(sizes)) > 1
    assert counting.n_calls - before == 1
    model.predict_batch(np.ones((5, 16, 16, 1), np.float32))
    assert counting.n_calls - before == 1


def test_many_arms_are_no_retracing(make_scan, retracings):
    arms = [ModelArm(label=f"arm {number}", model=_model()[0]) for number in range(6)]
    settings = ComparisonSettings(crop_size=8, register="none")
    assert len(compare(arms, make_scan(n=23), settings=settings).arms) == 6
    assert retracings.taken() == []
