"""An ONNX file as a network of the user's own, computed by onnxruntime on the CPU (extra ``onnx``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ptycho.errors import DataError
from ptycho.models._protobuf import message_fields
from ptycho.models.description import NetworkDescription
from ptycho.models.own_network._network import OwnNetwork
from ptycho.models.own_network._seen import Seen, SeenOutput, described

# Which fields of a message are messages that may hold numbers of another file, by the names of ONNX's format.
_HOLDS = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_FLOATS = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}


def network_of_onnx(
    path: Path, *, name: str, description: NetworkDescription | None, file: Path | None
) -> OwnNetwork:
    """Open an ONNX file; of the operations of a graph onnxruntime knows those that ONNX defines, and no code.

    Raises
    ------
    DataError
        onnxruntime is not installed or cannot read the file, or the network is not what is said of it.
    """
    session = _session(path)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    seen = Seen(
        name,
        [_shape(each) for each in inputs],
        [SeenOutput(each.name, _shape(each), "complex" in each.type) for each in outputs],
    )
    layout = seen.layout
    dtype = _FLOATS.get(inputs[0].type)
    if dtype is None or isinstance(inputs[0].shape[0], int):
        raise DataError(
            f"{path} takes {inputs[0].type} of shape {inputs[0].shape} but must take floating-point frames in batches "
            "of any size; export it again with a dynamic first axis."
        )
    completed, assumptions = described(seen, description, file)

    def compute(frames: np.ndarray) -> list[np.ndarray]:
        return session.run(None, {inputs[0].name: layout.entering(frames).astype(dtype, copy=False)})

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return OwnNetwork(
        compute=compute,
        description=completed,
        name=name,
        assumptions=assumptions,
        memory_key=digest,
        is_oom=_is_oom,
        identity=lambda: digest,
    )


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError(
            f"{path} is an ONNX file, which onnxruntime reads, but it is not installed; pip install "
            "'ptycho-autobatch[onnx]', or pip install onnxruntime."
        ) from error
    _refuse_files_elsewhere(path)
    options = onnxruntime.SessionOptions()
    # Its warnings, of folded constants for example, mean nothing to a user; errors are raised.
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its classes are children of Exception alone and differ from version to version.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path} is no ONNX file that onnxruntime reads ({reason}); export it anew."
        ) from error


def _refuse_files_elsewhere(path: Path) -> None:
    """Refuse numbers that are kept outside of the folder of the file."""
    try:
        locations = list(_locations(path.read_bytes(), "model"))
    except (ValueError, IndexError, RecursionError) as error:
        raise DataError(f"{path} is no ONNX file ({error}); export it anew.") from error
    for location in locations:
        part = PurePosixPath(location)
        inside = not part.is_absolute() and not {"..", "\\", ":"} & {*part.parts, *location}
        if not inside or not (path.parent / location).resolve().is_relative_to(path.parent.resolve()):
            raise DataError(
                f"{path} keeps its numbers in {location}, which is not in its folder; it is not opened: export it anew."
            )


def _locations(message: bytes, kind: str) -> Iterator[str]:
    """Yield the names of the files in which the tensors of a message keep their numbers."""
    if kind == "entry":
        entry = dict(message_fields(message))
        if entry.get(1) == b"location":
            yield entry.get(2, b"").decode("utf-8")
        return
    for number, content in message_fields(message):
        if number in _HOLDS[kind]:
            yield from _locations(content, _HOLDS[kind][number])


def _shape(value: Any) -> tuple[int | None, ...]:
    # Axes of any length have a name instead.
    return tuple(length if isinstance(length, int) else None for length in value.shape)


def _is_oom(error: BaseException) -> bool:
    return type(error).__module__.startswith("onnxruntime") and (
        "Failed to allocate memory" in str(error) or "bad allocation" in str(error)
    )
