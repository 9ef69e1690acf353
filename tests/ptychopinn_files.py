"""Files in the layout of PtychoPINN, written by hand."""

import io
import json
import zipfile

import h5py
import numpy as np

ENCODER = {64: (32, 64, 128), 128: (16, 32, 64, 128), 256: (8, 16, 32, 64, 128)}
DECODER = {64: (64, 32), 128: (128, 64, 32), 256: (256, 128, 64, 32)}
OPERATIONS = ("GetItem", "Silu", "Multiply", "Add")
# Every way in which PtychoPINN can build its network, by the settings that differ from its usual ones.
VARIANTS = {
    "usual": {},
    "rectangular": {"use_polar": False},
    "groups of four": {"gridsize": 2},
    "probe.big off": {"gridsize": 2, "probe_big": False},
    "pad_object off": {"pad_object": False},
    "object.big off": {"object_big": False},
    "object.big off, groups of four": {"gridsize": 2, "object_big": False},
    "one amplitude for four phases": {"gridsize": 2, "one_amplitude": True, "use_polar": None},
}


class Description:
    """The ``layers`` of a saved model, and random weights (kernel, bias) in the order of its convolutions."""

    def __init__(self, rng):
        self.rng, self.layers, self.weights, self.sizes = rng, [], [], {}

    def add(self, kind, name, sources, /, *, arguments=(), **settings):
        """Add a layer called with `sources`, as a list if they are several, and with further `arguments`.

        Operations take several sources one by one.
        """
        tensors = [
            {"class_name": "__keras_tensor__", "config": {"shape": None, "keras_history": [source, 0, 0]}}
            for source in sources
        ]
        args = tensors if len(tensors) == 1 or kind in OPERATIONS else [tensors]
        nodes = [{"args": [*args, *arguments], "kwargs": {}}] if sources else []
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

    def part(self, source, start, stop):
        """Add the operation ``source[..., start:stop]``."""
        limits = {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": None}}
        name = f"get_item_{len(self.layers)}"
        return self.add(
            "GetItem", name, [source], arguments=[[{"class_name": "__ellipsis__", "config": {}}, limits]]
        )

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


def pinn_description(
    side=64,
    gridsize=1,
    scale=0.25,
    *,
    activation="sigmoid",
    use_polar=True,
    probe_big=True,
    pad_object=True,
    object_big=True,
    one_amplitude=False,
    seed=0,
):
    """Encoder first, then the two branches layer by layer in turn: for N = 64 the usual 22 convolutions."""
    made, channels = Description(np.random.default_rng(seed)), gridsize**2
    counts = (1 if one_amplitude or not object_big else channels, channels if object_big else 1)
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
    borders, centres = _heads(made, tails, n_in, counts, side, scale, probe_big, pad_object)
    made.add("ActivationLayer", "amp", [centres[0]], activation_name=activation, scale=1.0)
    made.add("ActivationLayer", "phi", [centres[1]], activation_name="tanh", scale=np.pi)
    images = ["amp", "phi"]
    if pad_object:
        padding = [[side // 4, side // 4]] * 2
        images = [
            made.add("ZeroPadding2D", name, [image], padding=padding)
            for name, image in (("amp_padded", "amp"), ("phase_padded", "phi"))
        ]
    if borders:
        images = [
            made.add("Add", f"add_{branch}", list(pair))
            for branch, pair in enumerate(zip(images, borders, strict=True))
        ]
    made.add("CombineComplexLayer", "obj", images, **({} if use_polar is None else {"use_polar": use_polar}))
    if object_big:
        made.add("ReassemblePatchesLayer", "padded_obj_2", ["obj", "input_positions"])
    else:
        made.add("PadReconstructionLayer", "padded_obj_2", ["obj"])
    made.add("TrimReconstructionLayer", "trimmed", ["padded_obj_2"], output_size=side)
    return made


def _heads(made, tails, n_in, counts, side, scale, probe_big, pad_object):
    """Add what follows the last features: masked images of the border, and images of the centre."""
    filters = round(scale * 2048 / side)
    if not pad_object:
        for n_from in (n_in, filters):
            tails = [made.convolution(tail, n_from, filters) for tail in tails]
        tails = [made.up(tail) for tail in tails]
        return [], [
            made.convolution(*tail, "linear") for tail in zip(tails, (filters, filters), counts, strict=True)
        ]
    borders = []
    if probe_big:
        ends = [made.part(tail, -4, None) for tail in tails]
        for n_from in (4, filters):
            ends = [made.convolution(end, n_from, filters) for end in ends]
        ends = [made.up(end) for end in ends]
        for branch, (end, count) in enumerate(zip(ends, counts, strict=True)):
            silu = made.add("Silu", f"silu_{branch}", [made.convolution(end, filters, count, "linear")])
            mask = made.add("CenterMaskLayer", f"mask_{branch}", [silu], N=side, c=1, kind="border")
            borders.append(made.add("Multiply", f"multiply_{branch}", [silu, mask]))
    starts = [made.part(tail, None, -4) for tail in tails]
    return borders, [
        made.convolution(*start, "linear") for start in zip(starts, (n_in - 4,) * 2, counts, strict=True)
    ]


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


def keras_2_config(description, outputs, *, mask=None):
    """Return the ``config`` of `description` as Keras 2 writes it.

    Nested lists for links, operations under the names of TensorFlow's functions, tuples wrapped. With an array as
    `mask` this is written out where an image is multiplied by the layer of that name.
    """
    layers = [_keras_2_layer(layer, mask) for layer in json.loads(json.dumps(description.layers))]
    return {"name": "model", "layers": layers, "output_layers": [[name, 0, 0] for name in outputs]}


_FUNCTIONS = {
    "GetItem": ("SlicingOpLambda", "__operators__.getitem"),
    "Silu": ("TFOpLambda", "nn.silu"),
    "Multiply": ("TFOpLambda", "math.multiply"),
    "Add": ("TFOpLambda", "__operators__.add"),
}


def _keras_2_layer(layer, mask):
    config = layer["config"]
    if "batch_shape" in config:
        shape = {"class_name": "__tuple__", "items": config.pop("batch_shape")}
        config["batch_input_shape"] = shape
    if not layer["inbound_nodes"]:
        return layer
    arguments = layer["inbound_nodes"][0]["args"]
    if layer["class_name"] not in OPERATIONS:
        tensors = arguments[0] if isinstance(arguments[0], list) else arguments
        node = [[tensor["config"]["keras_history"][0], 0, 0, {}] for tensor in tensors]
        return layer | {"inbound_nodes": [node]}
    names = [argument["config"]["keras_history"][0] for argument in arguments if isinstance(argument, dict)]
    keywords = {}
    if layer["class_name"] == "GetItem":
        limits = arguments[1][1]["config"]
        items = [{"class_name": "__ellipsis__"}, limits]
        keywords = {"slice_spec": {"class_name": "__tuple__", "items": items}}
    elif len(names) == 2:
        keywords = {"y": [names[1], 0, 0], "name": None}
    node = [names[0], 0, 0, keywords]
    if mask is not None and layer["class_name"] == "Multiply":
        node = ["_CONSTANT_VALUE", -1, mask.tolist(), {"y": [names[0], 0, 0], "name": None}]
    kind, function = _FUNCTIONS[layer["class_name"]]
    return {
        "class_name": kind,
        "name": layer["name"],
        "config": {"name": config["name"], "function": function},
        "inbound_nodes": [node],
    }


def write_keras2_baseline(path, description, outputs):
    """Write `description` as an HDF5 file of Keras 2."""
    config = keras_2_config(description, outputs)
    names = [layer["name"] for layer in config["layers"] if layer["class_name"] == "Conv2D"]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        for name, (kernel, bias) in zip(names, description.weights, strict=True):
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = kernel, bias
    return path


def store_last_steps_as_code(description):
    """Make the last steps Lambda layers, as files until July 2025 have them."""
    for layer in description.layers:
        if layer["name"] in ("amp", "phi", "obj", "padded_obj_2", "trimmed"):
            layer["class_name"] = "Lambda"
            layer["config"] = {"name": layer["name"], "function": ["never read", None, None]}


def _varint(number):
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + _varint(rest) if rest else bytes([head])


def protobuf_field(number, content):
    """One field of a protobuf message: a whole number, or bytes."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def keras_metadata(config):
    """A ``keras_metadata.pb`` with `config` as that of the root, among parts as Keras writes them."""

    def node(number, path, text):
        fields = ((2, number), (3, path), (4, b"_tf_keras_layer"), (5, text), (6, b"\x08\x02\x10\x01"))
        return protobuf_field(1, b"".join(protobuf_field(*field) for field in fields))

    root = json.dumps({"name": "model", "class_name": "Functional", "config": config}).encode()
    part = json.dumps(config["layers"][2]).encode()
    return node(2, b"root.layer-2", part) + node(0, b"root", root) + node(3000, b"root.layer-3", part)


def write_saved_model(folder, description, outputs=("trimmed",), **options):
    """Write `description` into `folder` as Keras 2 saves a model without HDF5."""
    import tensorflow as tf

    config = keras_2_config(description, outputs, **options)
    parts = {
        f"layer_with_weights-{number}": tf.train.Checkpoint(
            kernel=tf.Variable(kernel), bias=tf.Variable(bias)
        )
        for number, (kernel, bias) in enumerate(description.weights)
    }
    (folder / "variables").mkdir(parents=True)
    tf.train.Checkpoint(**parts).write(str(folder / "variables" / "variables"))
    (folder / "keras_metadata.pb").write_bytes(keras_metadata(config))
    (folder / "saved_model.pb").write_bytes(b"never read")
    (folder / "fingerprint.pb").write_bytes(b"never read")
    return folder
