"""What tells the weights of one network from those of another."""

import keras
import numpy as np

from ptycho.models import NetworkDescription
from ptycho.models.own_network import network_of_callable, network_of_keras
from ptycho.models.own_network._saved_model import _digest_of_files
from ptycho.models.patch_model import digest_of_weights


def _network(value):
    frames = keras.Input((8, 8, 1))
    dense = keras.layers.Dense(2, kernel_initializer=keras.initializers.Constant(value), name="two")
    return keras.Model(frames, dense(frames))


def test_equal_weights_have_one_digest_and_others_another():
    next_one = np.nextafter(np.float32(0.5), np.float32(1))
    digests = [digest_of_weights(_network(value)) for value in (0.5, 0.5, next_one)]
    assert digests[0] == digests[1] != digests[2]


def test_a_keras_network_of_ones_own_is_told_by_its_weights():
    description = NetworkDescription(outputs=("amplitude", "phase"))
    found = [network_of_keras(_network(x), name="two", description=description) for x in (0.5, 0.25)]
    assert found[0].weights_digest() != found[1].weights_digest()


def test_nothing_tells_one_function_from_another():
    assert network_of_callable(lambda frames: frames, name="f").weights_digest() is None


def test_a_folder_is_told_by_names_and_contents(tmp_path):
    for name, content in (("a", b"12"), ("b", b"12"), ("c", b"21")):
        (tmp_path / name / "variables").mkdir(parents=True)
        (tmp_path / name / "variables" / "data").write_bytes(content)
    first, same, other = (_digest_of_files(tmp_path / name) for name in "abc")
    assert first == same != other
