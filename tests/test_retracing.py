"""The watch over TensorFlow's log: a function that is traced again and again is noticed."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf


def _traced_anew(n_times):
    for _ in range(n_times):
        tf.function(_doubled)(np.float32(2))


def _doubled(x):
    return 2 * x


def test_a_function_that_is_made_in_a_loop_is_noticed(retracings):
    _traced_anew(6)
    warned = retracings.taken()
    assert len(warned) == 2
    assert "_doubled" in warned[0]
    assert retracings.taken() == []


@pytest.mark.parametrize("turn", range(3))
def test_what_other_tests_have_traced_is_not_counted(retracings, turn):
    _traced_anew(4)
    assert retracings.taken() == []
