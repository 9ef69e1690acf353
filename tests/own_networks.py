"""Small networks of one's own whose patches are known: amplitude 2x + 1 and phase x/4 of each frame x."""

import numpy as np

SIDE = 16


def known_patches(frames):
    """The patches (B, N, N, C) of frames (B, N, N, C)."""
    return (2 * frames + 1) * np.exp(0.25j * frames)


def random_frames(count=3, side=SIDE, channels=1, seed=2):
    return np.random.default_rng(seed).random((count, side, side, channels), dtype=np.float32)


def known_keras(names=("amplitude", "phase"), *, side=SIDE, channels=1, joint=False, dtype="complex64"):
    """A Keras model that gives `known_patches`: in two outputs of these names, jointly, or as one complex one."""
    import keras

    frames = keras.Input((side, side, channels), name="frames")
    images = {
        "amplitude": keras.layers.Rescaling(2.0, offset=1.0, name=_name(names, 0))(frames),
        "phase": keras.layers.Rescaling(0.25, name=_name(names, 1))(frames),
    }
    if joint:
        return keras.Model(frames, keras.layers.Concatenate(name="images")(list(images.values())))
    return keras.Model(frames, list(images.values()))


def _name(names, number):
    return names[number] if names else None


def write_onnx(path, *, names=("amplitude", "phase"), side=SIDE, batch="batch", location=None):
    """An ONNX file (B, 1, N, N), channels first as PyTorch writes it, that gives `known_patches`."""
    from onnx import TensorProto, helper, save

    def number(name, value):
        tensor = helper.make_tensor(name, TensorProto.FLOAT, [1], [value])
        if location is not None and name == "two":
            tensor.ClearField("float_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location)
        return tensor

    shape = [batch, 1, side, side]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["frames", "two"], ["doubled"]),
            helper.make_node("Add", ["doubled", "one"], [names[0]]),
            helper.make_node("Mul", ["frames", "quarter"], [names[1]]),
        ],
        "known",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [number("two", 2.0), number("one", 1.0), number("quarter", 0.25)],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path
