"""The device of a run: memory growth is settled before the first use, a card that is missing is refused."""

import os
import sys

import pytest

from ptycho.errors import DataError
from ptycho.models import devices
from ptycho.models.devices import computing_on


def test_memory_growth_is_settled_and_said_before_the_first_use(monkeypatch, caplog):
    import tensorflow as tf

    import autobatch

    steps = []
    settle, look = autobatch.enable_memory_growth, tf.config.list_logical_devices
    monkeypatch.setattr(autobatch, "enable_memory_growth", lambda: steps.append("growth") or settle())
    # The first look at the logical devices starts TensorFlow; growth cannot be changed after it.
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: steps.append("use") or look(kind))
    with caplog.at_level("INFO", logger="autobatch"), computing_on("CPU"):
        steps.append("work")
    assert steps == ["growth", "use", "work"]
    assert "GPU memory" in caplog.text


def test_a_card_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="device is GPU:99 but TensorFlow sees"), computing_on("GPU:99"):
        raise AssertionError("nothing may run")


def test_a_program_without_standard_error_computes_all_the_same(monkeypatch):
    """As a service may run, or a command with `2>&-`."""

    def closed(descriptor):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(os, "dup", closed)
    with devices._native_messages_logged():
        done = True
    assert done
