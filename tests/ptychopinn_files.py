"""Files in the layout of PtychoPINN, written by hand, and plain NumPy twins of the networks in them."""

import io
import json
import zipfile

import h5py
import numpy as np
import scipy.signal
import scipy.special

ENCODER = {64: (32, 64, 128), 128: (16, 32, 64, 128), 256: (8, 16, 32, 64, 128)}
DECODER = {64: (64, 32), 128: (128, 64, 32), 256: (256, 128, 64, 32)}


class Description:
    """The ``layers`` of a saved model, and random weights (kernel, bias) in the order of its convolutions."""

    def __init__(self, rng):
        self.rng, self.layers, self.weights, self.sizes = rng, [], [], {}

    def add(self, kind, name, sources, **settings):
        tensors = [
            {"class_name": "__keras_tensor__", "config": {"shape": None, "keras_history": [source, 0, 0]}}
            for source in sources
        ]
        args = [tensors[0] if len(tensors) == 1 else tensors]
        nodes = [{"args": args, "kwargs": {}}] if sources else []
        config = {"name": name, **settings}
        self.layers.append({"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes})
        return name

    def convolution(self, source, n_in, n_out, activation="relu"):
        name = f"conv2d_{len(self.weights) + 37}"
        self.weights.append(
            (
                self.rng.normal(0, np.sqrt(1.5 / (9 * n_in)), (3, 3, n_in, n_out)).astype("f"),
                self.rng.normal(0, 0.2, n_out).astype("f"),
            )
        )
        settings = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "use_bias": True}
        return self.add("Conv2D", name, [source], filters=n_out, activation=activation, **settings)

    def pool(self, source):
        name = f"max_pooling2d_{len(self.layers)}"
        return self.add("MaxPooling2D", name, [source], pool_size=[2, 2], strides=[2, 2], padding="same")

    def up(self, source):
        name = f"up_sampling2d_{len(self.layers)}"
        return self.add("UpSampling2D", name, [source], size=[2, 2], interpolation="nearest")

    def encoder(self, source, n_in, filters):
        for count in filters:
            source = self.convolution(self.convolution(source, n_in, count), count, count)
            source, n_in = self.pool(source), count
        return source, n_in

    def config(self, outputs):
        outputs = [[name, 0, 0] for name in outputs]
        return {"class_name": "Functional", "config": {"layers": self.layers, "output_layers": outputs}}


def pinn_description(side, gridsize, scale, *, activation="sigmoid", use_polar=True, seed=0):
    """Encoder first, then the two branches layer by layer in turn: for N = 64 the numbering of 22 layers."""
    made, channels = Description(np.random.default_rng(seed)), gridsize**2
    scaled = [round(count * scale) for count in ENCODER[side]]
    made.add("InputLayer", "input", [], batch_shape=[None, side, side, channels])
    made.add("InputLayer", "input_positions", [], batch_shape=[None, 1, 2, channels])
    made.add("IntensityScaler", "scaler", ["input"])
    encoded, n_in = made.encoder("scaler", channels, scaled)
    tails = [encoded, encoded]
    for count in DECODER[side]:
        filters = round(count * scale)
        for n_from in (n_in, filters):
            tails = [made.convolution(tail, n_from, filters) for tail in tails]
        tails, n_in = [made.up(tail) for tail in tails], filters
    ends = [made.add("GetItem", f"last_{branch}", [tail]) for branch, tail in enumerate(tails)]
    filters = round(32 * scale)
    for n_from in (4, filters):
        ends = [made.convolution(end, n_from, filters) for end in ends]
    borders = [made.convolution(made.up(end), filters, channels, "swish") for end in ends]
    starts = [made.add("GetItem", f"first_{branch}", [tail]) for branch, tail in enumerate(tails)]
    centres = [made.convolution(start, n_in - 4, channels, "linear") for start in starts]
    made.add("ActivationLayer", "amp", [centres[0]], activation_name=activation, scale=1.0)
    made.add("ActivationLayer", "phi", [centres[1]], activation_name="tanh", scale=np.pi)
    for branch, centre in enumerate(("amp", "phi")):
        made.add("PadAndAdd", f"sum_{branch}", [centre, borders[branch]])
    polar = {} if use_polar is None else {"use_polar": use_polar}
    made.add("CombineComplexLayer", "obj", ["sum_0", "sum_1"], **polar)
    made.add("ReassemblePatchesLayer", "padded_obj_2", ["obj", "input_positions"], padded_size=side + 20)
    made.add("TrimLayer", "trimmed", ["padded_obj_2"])
    return made


def weights_hdf5(weights, **datasets):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, pair in enumerate(weights):
            for index, values in enumerate(pair):
                key = f"conv2d_{number}" if number else "conv2d"
                file[f"layers/{key}/vars/{index}"] = values
        for path, values in datasets.items():
            file[path] = values
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def bundle_members(config, hdf5, *, dill=b"never read"):
    model = zipped({"metadata.json": "{}", "config.json": json.dumps(config), "model.weights.h5": hdf5})
    members = {"manifest.dill": dill}
    for folder in ("autoencoder", "diffraction_to_obj"):
        members[f"{folder}/model.keras"] = model if folder == "diffraction_to_obj" else b"left alone"
        members |= {f"{folder}/custom_objects.dill": dill, f"{folder}/params.dill": dill}
        members[f"{folder}/model.h5"] = b"left alone"
    return members


def write_bundle(path, description, *, weights=None, outputs=("trimmed",), dill=b"never read"):
    hdf5 = weights_hdf5(description.weights if weights is None else weights)
    path.write_bytes(zipped(bundle_members(description.config(outputs), hdf5, dill=dill)))
    return path


def baseline_description(side, scale, seed=0):
    made = Description(np.random.default_rng(seed))
    filters = [round(count * scale) for count in (32, 64, 128)]
    made.add("InputLayer", "input", [], batch_shape=[None, side, side, 1])
    encoded, n_in = made.encoder("input", 1, filters)
    outputs = []
    for _ in range(2):
        tail, n_from = encoded, n_in
        for count in reversed(filters):
            tail = made.up(made.convolution(made.convolution(tail, n_from, count), count, count))
            n_from = count
        outputs.append(made.convolution(tail, n_from, 1, "linear"))
    return made, outputs


def write_keras2_baseline(path, description, outputs):
    """Write `description` as Keras 2 does: nested lists for links, ``batch_input_shape``, ``kernel:0``."""
    layers = json.loads(json.dumps(description.layers))
    for layer in layers:
        layer["inbound_nodes"] = [
            [[node["args"][0]["config"]["keras_history"][0], 0, 0, {}] for node in layer["inbound_nodes"]]
        ]
        if "batch_shape" in layer["config"]:
            layer["config"]["batch_input_shape"] = layer["config"].pop("batch_shape")
    config = {"layers": layers, "output_layers": [[name, 0, 0] for name in outputs]}
    names = [layer["name"] for layer in layers if layer["class_name"] == "Conv2D"]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        for name, (kernel, bias) in zip(names, description.weights, strict=True):
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = kernel, bias
    return path


def convolve(image, weights, activation=lambda x: np.maximum(x, 0)):
    """Correlate (H, W, Ci) with a kernel (3, 3, Ci, Co), zeros outside."""
    kernel, bias = (np.asarray(part, np.float64) for part in weights)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    planes = [
        scipy.signal.correlate(padded, kernel[..., index], mode="valid", method="direct")[..., 0]
        for index in range(kernel.shape[-1])
    ]
    return activation(np.stack(planes, axis=-1) + bias)


def _pool(image):
    height, width, channels = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, channels).max(axis=(1, 3))


def _up(image):
    return image.repeat(2, axis=0).repeat(2, axis=1)


def _silu(x):
    return x * scipy.special.expit(x)


def pinn_twin(frames, weights, *, activation=scipy.special.expit):
    """Amplitude and phase (N, N, C) of frames (N, N, C), each weight taken by its number in the file.

    For N = 64: encoder 0 to 5, amplitude branch 6, 8 | 10, 12, border 14, 16, 18, centre 20; the phase branch
    has the numbers between.
    """
    side = frames.shape[0]

    def branch(first, centre_activation):
        x, number = encoded, first
        for _ in DECODER[side]:
            x = _up(convolve(convolve(x, weights[number]), weights[number + 2]))
            number += 4
        border = _up(convolve(convolve(x[..., -4:], weights[number]), weights[number + 2]))
        whole = convolve(border, weights[number + 4], _silu)
        inner = slice(side // 4, side - side // 4)
        whole[inner, inner] = convolve(x[..., :-4], weights[number + 6], centre_activation)
        return whole

    encoded = np.asarray(frames, np.float64)
    n_encoder = 2 * len(ENCODER[side])
    for number in range(0, n_encoder, 2):
        encoded = _pool(convolve(convolve(encoded, weights[number]), weights[number + 1]))
    return branch(n_encoder, activation), branch(n_encoder + 1, lambda x: np.pi * np.tanh(x))


def baseline_twin(frame, weights):
    """Amplitude and phase (N, N, 1) of a frame (N, N, 1); the branches lie one after the other in the file."""
    encoded = np.asarray(frame, np.float64)
    for number in (0, 2, 4):
        encoded = _pool(convolve(convolve(encoded, weights[number]), weights[number + 1]))
    images = []
    for first in (6, 13):
        x = encoded
        for number in (first, first + 2, first + 4):
            x = _up(convolve(convolve(x, weights[number]), weights[number + 1]))
        images.append(convolve(x, weights[first + 6], lambda x: x))
    return images


def merge_twin(patches, offsets_yx):
    """Sum of patches (N, N, C) shifted by `offsets_yx` (C, 2), and count of their central squares: (N, N)."""
    side = patches.shape[0]
    reach = int(np.ceil(np.abs(offsets_yx).max())) + 1
    sums = np.zeros((side + 2 * reach,) * 2, complex)
    counts = np.zeros(sums.shape)
    square = np.zeros((side, side))
    square[side // 4 : side - side // 4, side // 4 : side - side // 4] = 1
    for channel, (y, x) in enumerate(offsets_yx):
        for row, weight_y in ((int(np.floor(y)), 1 - y % 1), (int(np.floor(y)) + 1, y % 1)):
            for column, weight_x in ((int(np.floor(x)), 1 - x % 1), (int(np.floor(x)) + 1, x % 1)):
                window = (
                    slice(reach + row, reach + row + side),
                    slice(reach + column, reach + column + side),
                )
                sums[window] += weight_y * weight_x * patches[..., channel]
                counts[window] += weight_y * weight_x * square
    inner = slice(reach, reach + side)
    return sums[inner, inner], counts[inner, inner]
