"""What every test shares: threads, drawn examples, quick collections of garbage, and no retracing."""

from __future__ import annotations

import gc
import logging
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker a core: more threads than that would take turns. TensorFlow and OpenBLAS read these when imported.
    for _name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

# No test is timed: how long an example takes is the machine's affair. Where a failure must be seen again by others,
# the examples are the same every time.
settings.register_profile("suite", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if "CI" in os.environ else "suite")


# Longest first, so that no worker is left with one of them while the others have nothing to do; above all those
# that wait for TensorFlow to give up, ten seconds for each error.
LONG = (
    "ptycho/reconstruction/test_capped.py",
    "autobatch/test_real_oom.py",
    "ptycho/models/test_training.py",
    "ptycho/models/test_resuming.py",
    "ptycho/test_demo.py",
    "ptycho/comparison/test_compare.py",
    "ptycho/cli/test_compare_models.py",
    "ptycho/models/test_legacy_bundle.py",
    "test_documentation.py",
    "ptycho/stitching/test_stitching_tensorflow.py",
    "ptycho/cli/test_train.py",
    "ptycho/stitching/test_cpu.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the tests of long modules to the front; the workers take modules in this order."""
    places = {ROOT / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@pytest.fixture(scope="module", autouse=True)
def _quick_collections():
    """Leave what is there already out of later collections: with TensorFlow one takes a fifth of a second.

    The driver collects after every error of memory, so that the tests of it spent most of their time there.
    """
    gc.collect()
    gc.freeze()


class Retracings(logging.Handler):
    """Keeps TensorFlow's warnings that functions are traced again and again."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "retracing" in message:
            self._messages.append(message)

    def taken(self) -> list[str]:
        """Return what has been warned of since the last call."""
        messages, self._messages = self._messages, []
        return messages


@pytest.fixture(scope="session", autouse=True)
def retracings():
    """The watch over TensorFlow's log; a test that wants its function traced anew takes the warnings itself."""
    handler = Retracings()
    logger = logging.getLogger("tensorflow")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def _no_retracing(retracings):
    """Fail the test, or the fixture of a module, during which TensorFlow warns of retracing."""
    before = retracings.taken()
    _forget_traces()
    yield
    warned = before + retracings.taken()
    assert not warned, f"TensorFlow traced again and again: {warned[0]}"


def _forget_traces() -> None:
    """Begin TensorFlow's count anew: it counts by the code of a function, for all models of the process together."""
    module = sys.modules.get("tensorflow.python.eager.polymorphic_function.polymorphic_function")
    if module is not None:
        module._frequent_tracing_detector_manager._detectors.clear()
