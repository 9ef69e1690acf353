"""The serving signature of a SavedModel as a network of the user's own.

A SavedModel is a program of TensorFlow's. It is run only if all of it is arithmetic on arrays: what reads, writes or
calls something is refused by its name.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.errors import DataError
from ptycho.models.description import NetworkDescription
from ptycho.models.own_network._network import OwnNetwork, TensorNetwork
from ptycho.models.own_network._seen import Seen, SeenOutput, described

PROGRAM = "saved_model.pb"
_SIGNATURE = "serving_default"
_MAX_PROGRAM = 256 << 20
# What is made when a SavedModel is loaded: nothing of these runs a part of the program.
_KINDS = {"user_object", "function", "bare_concrete_function", "variable", "constant", "captured_tensor"}
# Operations that turn arrays into arrays, and those that TensorFlow puts around them.
_ARITHMETIC = """
Abs Acos Acosh Add AddN AddV2 All Angle Any ArgMax ArgMin Asin Asinh Assert Atan Atan2 Atanh AvgPool
AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpace BatchToSpaceND BiasAdd Bitcast BroadcastArgs
BroadcastTo Bucketize Cast Ceil ClipByValue Complex ComplexAbs Concat ConcatV2 Conj Const Conv Conv2D
Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos Cosh CropAndResize Cumprod Cumsum DepthToSpace
DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput Dilation2D Div DivNoNan Einsum Elu EnsureShape
Equal Erf Erfc Erfinv Exp ExpandDims Expm1 ExtractImagePatches FFT FFT2D FFT3D Fill Floor FloorDiv FloorMod
FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual IFFT IFFT2D
IFFT3D IRFFT IRFFT2D Identity IdentityN Imag InvertPermutation IsFinite IsInf IsNan LRN LeakyRelu Less
LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul MatrixBandPart
MatrixDiagPartV3 MatrixDiagV3 Max MaxPool MaxPool3D MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mod Mul
MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 PartitionedCall Placeholder PlaceholderWithDefault
Pow PreventGradient Prod RFFT RFFT2D Range Rank ReadVariableOp Real RealDiv Reciprocal Relu Relu6
Reshape ResizeBicubic ResizeBilinear ResizeNearestNeighbor ResourceGather Reverse ReverseV2 Rint Roll Round
Rsqrt ScatterNd SegmentSum Select SelectV2 Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Softmax
Softplus Softsign SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference
Squeeze StatefulPartitionedCall StatelessIf StatelessWhile StopGradient StridedSlice Sub Sum Tan Tanh
TensorScatterAdd TensorScatterUpdate Tile TopKV2 Transpose TruncateDiv Unpack UnsortedSegmentSum VarHandleOp
Where Xdivy Xlog1py Xlogy ZerosLike
"""
_WAY_OUT = (
    "save the network as a .keras or .onnx file, or load it in a program that you trust and compare it with "
    "Arm.from_callable."
)


def is_saved_model(path: Path) -> bool:
    """Return whether `path` is the folder of a SavedModel."""
    return (path / PROGRAM).is_file()


def network_of_saved_model(
    path: Path, *, name: str, description: NetworkDescription | None, file: Path | None
) -> OwnNetwork:
    """Open the serving signature of a SavedModel.

    Raises
    ------
    DataError
        It is damaged, has no such signature, does more than arithmetic, or is not what is said of it.
    """
    loaded = _loaded(path)
    signature = loaded.signatures[_SIGNATURE]
    _refuse_other_operations(signature, path)
    inputs = list(signature.structured_input_signature[1].values())
    outputs = signature.structured_outputs
    seen = Seen(
        name,
        [tuple(spec.shape) for spec in inputs],
        [
            SeenOutput(key, tuple(outputs[key].shape), outputs[key].dtype.is_complex)
            for key in sorted(outputs, key=_place)
        ],
    )
    layout = seen.layout
    completed, assumptions = described(seen, description, file)
    (parameter,) = signature.structured_input_signature[1]

    def outputs_of(frames: Any) -> list[Any]:
        # What was loaded keeps the variables, which a signature alone does not.
        given = loaded.signatures[_SIGNATURE](**{parameter: frames})
        return [given[output.name] for output in seen.outputs]

    def compute(frames: np.ndarray) -> list[Any]:
        import tensorflow as tf

        return outputs_of(tf.convert_to_tensor(layout.entering(frames), inputs[0].dtype))

    # No estimate: in a program that is finished, batches and all that follows from them have no length.
    return OwnNetwork(
        compute=compute,
        description=completed,
        name=name,
        assumptions=assumptions,
        identity=lambda: _digest_of_files(path),
        in_graph=TensorNetwork(outputs_of, layout.entering, inputs[0].dtype),
    )


def _digest_of_files(folder: Path) -> str:
    hasher = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            hasher.update(repr((file.relative_to(folder).as_posix(), file.stat().st_size)).encode())
            hasher.update(file.read_bytes())
    return hasher.hexdigest()


def _place(key: str) -> tuple[int, str]:
    """Sort output_2 before output_10."""
    digits = key.rpartition("_")[2]
    return (int(digits) if digits.isdecimal() else 0, key)


def _loaded(path: Path) -> Any:
    """Return what TensorFlow makes of a SavedModel that has the signature."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        _check_objects(path)
        loaded = tf.saved_model.load(str(path))
        if _SIGNATURE not in loaded.signatures:
            raise ValueError(f"its signatures are {sorted(loaded.signatures)}")
        return loaded
    except DataError:
        raise
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        RuntimeError,
        AttributeError,
        DecodeError,
        tf.errors.OpError,
    ) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(
            f"{path} is no SavedModel with a signature {_SIGNATURE} ({type(error).__name__}: {reason}); "
            "export it anew."
        ) from error


def _check_objects(path: Path) -> None:
    """Refuse what would run when it is loaded, or takes more memory than the files have numbers for."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    if (path / PROGRAM).stat().st_size > _MAX_PROGRAM:
        raise ValueError(f"{PROGRAM} is larger than {_MAX_PROGRAM} bytes")
    program = saved_model_pb2.SavedModel.FromString((path / PROGRAM).read_bytes())
    n_bytes = 0
    for part in program.meta_graphs:
        nodes = part.object_graph_def.nodes
        kinds = {str(node.WhichOneof("kind")) for node in nodes} or {"a program of TensorFlow 1"}
        if others := kinds - _KINDS:
            raise DataError(
                f"{path} has {', '.join(sorted(others))}, which runs when it is loaded; {_WAY_OUT}"
            )
        for node in nodes:
            if node.WhichOneof("kind") == "variable":
                lengths = [axis.size for axis in node.variable.shape.dim]
                n_bytes += math.prod(lengths) * tf.dtypes.as_dtype(node.variable.dtype).size
    held = sum(file.stat().st_size for file in (path / "variables").glob("variables.data-*"))
    if n_bytes > held:
        raise ValueError(f"variables of {n_bytes} bytes but files of {held}")


def _refuse_other_operations(signature: Any, path: Path) -> None:
    graph = signature.graph.as_graph_def()
    operations = {node.op for node in graph.node}
    functions = {function.signature.name for function in graph.library.function}
    for function in graph.library.function:
        operations |= {node.op for node in function.node_def}
    if others := operations - functions - set(_ARITHMETIC.split()):
        raise DataError(
            f"{path} computes with {', '.join(sorted(others))}, which is not plain arithmetic on arrays and may read, "
            f"write or run something; {_WAY_OUT}"
        )
