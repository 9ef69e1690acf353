"""TensorFlow's devices and allocator, with a stand-in for a machine that has cards."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from autobatch import _allocators, _tensorflow, enable_memory_growth

REPOSITORY = Path(__file__).parents[2]


class FakeConfig:
    """As much of ``tf.config`` as is used, for cards that are not there."""

    def __init__(self, names, *, visible=None, limits=None, is_started=False):
        self.cards = [SimpleNamespace(name=f"/physical_device:GPU:{place}") for place in range(len(names))]
        self.names, self.limits, self.is_started = names, limits or {}, is_started
        self.visible = range(len(names)) if visible is None else visible
        self.grown = []
        self.experimental = self

    def list_physical_devices(self, kind):
        return self.cards

    def get_visible_devices(self, kind):
        return [self.cards[place] for place in self.visible]

    def get_device_details(self, card):
        return {"device_name": self.names[self.cards.index(card)]}

    def get_logical_device_configuration(self, card):
        limits = self.limits.get(self.cards.index(card))
        return limits and [SimpleNamespace(memory_limit=megabytes) for megabytes in limits]

    def get_memory_growth(self, card):
        return card in self.grown

    def set_memory_growth(self, card, enable):
        if self.is_started:
            raise RuntimeError("Physical devices cannot be modified after being initialized")
        self.grown.append(card)


@pytest.fixture
def pretend(monkeypatch):
    for name in ("TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR"):
        monkeypatch.delenv(name, raising=False)

    def with_config(*args, **settings):
        config = FakeConfig(*args, **settings)
        monkeypatch.setitem(
            sys.modules, "tensorflow", SimpleNamespace(config=config, errors=None, __version__="0")
        )
        return config

    return with_config


def test_hidden_cards_keep_their_place_and_twins_their_rank(pretend):
    pretend(["A100", "T4", "A100"], visible=[2, 1])
    found = [(gpu.name, gpu.cuda_index, gpu.card_name, gpu.rank_among_alike) for gpu in _tensorflow.gpus()]
    assert found == [("GPU:0", 2, "A100", 1), ("GPU:1", 1, "T4", 0)]


def test_a_card_divided_by_the_program_makes_several_devices(pretend):
    pretend(["A100", "T4"], limits={0: [3000, 5000]})
    found = [(gpu.name, gpu.cuda_index, gpu.configured_limit_bytes) for gpu in _tensorflow.gpus()]
    assert found == [("GPU:0", 0, 3000 << 20), ("GPU:1", 0, 5000 << 20), ("GPU:2", 1, None)]


def test_the_environment_decides_about_growth(pretend, monkeypatch):
    pretend(["T4"])
    assert not _tensorflow.gpus()[0].grows
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    assert _tensorflow.gpus()[0].grows
    monkeypatch.setenv("TF_GPU_ALLOCATOR", "cuda_malloc_async")
    assert _tensorflow.gpus()[0].is_async


def test_growth_is_turned_on_for_every_visible_card_and_said(pretend, caplog):
    config = pretend(["A100", "T4", "A100"], visible=[0, 2])
    with caplog.at_level("INFO", logger="autobatch"):
        said = enable_memory_growth()
    assert config.grown == [config.cards[0], config.cards[2]]
    assert said == "GPU memory grows as needed on 2 GPU(s)." == caplog.messages[0]


@pytest.mark.parametrize(
    ("name", "value"), [("TF_FORCE_GPU_ALLOW_GROWTH", "false"), ("TF_GPU_ALLOCATOR", "cuda_malloc_async")]
)
def test_the_users_environment_is_respected(pretend, monkeypatch, name, value):
    config = pretend(["T4"])
    monkeypatch.setenv(name, value)
    assert f"{name}={value}" in enable_memory_growth()
    assert config.grown == []


def test_a_configured_limit_a_started_device_and_no_device_are_left_alone(pretend):
    assert "has a configured limit" in (pretend(["T4"], limits={0: [1000]}) and enable_memory_growth())
    assert "already in use" in (pretend(["T4"], is_started=True) and enable_memory_growth())
    assert "sees no GPU" in (pretend([]) and enable_memory_growth())


def test_growth_needs_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(RuntimeError, match="TensorFlow is not imported; import it before"):
        enable_memory_growth()
    assert (_tensorflow.gpus(), _tensorflow.version(), _tensorflow.is_started()) == ([], "", False)


@pytest.mark.parametrize(
    ("device", "name"), [("cpu", "CPU:0"), ("host", "CPU:0"), ("GPU:1", "GPU:1"), (None, "GPU:0")]
)
def test_the_allocator_of_a_device(pretend, device, name):
    pretend(["T4", "T4"])
    assert _allocators.name(device) == name


def test_looking_does_not_start_tensorflow_and_the_limit_is_read_from_the_started_device():
    code = """
import json
import tensorflow as tf
from autobatch import _tensorflow, device_memory
before = [_tensorflow.allocator_statistics("CPU:0"), _tensorflow.limit_bytes("CPU:0")]
device_memory()
started = [_tensorflow.is_started()]
tf.constant(1.0)
started.append(_tensorflow.is_started())
statistics = _tensorflow.allocator_statistics("CPU:0")
print(json.dumps([before, started, statistics.peak_bytes, _tensorflow.limit_bytes("CPU:0"),
                  _tensorflow.allocator_statistics("GPU:7")]))
"""
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPU_ALLOCATOR_USE_BFC": "0",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    before, started, peak_bytes, limit_bytes, missing = json.loads(finished.stdout)
    assert before == [None, None]
    assert started == [False, True]
    assert peak_bytes == 0
    assert limit_bytes == 256 << 20
    assert missing is None


def test_the_highest_peak_outlives_a_reset(pretend, monkeypatch):
    config, peak = pretend(["T4"]), {"current": 3, "peak": 8}
    config.get_memory_info = lambda device: dict(peak)
    config.reset_memory_stats = lambda device: peak.update(peak=3)
    monkeypatch.setattr(_tensorflow, "is_started", lambda: True)
    monkeypatch.setattr(_tensorflow, "_highest_peaks", {})
    sys.modules["tensorflow"].errors = SimpleNamespace(OpError=RuntimeError)
    _tensorflow.reset_peak("GPU:0")
    statistics = _tensorflow.allocator_statistics("GPU:0")
    assert statistics is not None
    assert (statistics.peak_bytes, statistics.highest_peak_bytes) == (3, 8)
