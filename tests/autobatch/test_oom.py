"""What counts as out of memory."""

import errno
import weakref

import numpy as np
import pytest

from autobatch import CommitOutOfMemoryError, DoesNotFitError, is_out_of_memory
from autobatch._oom import Verdict, failed_allocation_bytes, release_frames, telling_line, verdict

BFC = (
    "{{function_node __wrapped__Conv2D_device_/job:localhost}} OOM when allocating tensor with "
    "shape[512,64,64,32] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by allocator "
    "GPU_0_bfc [Op:Conv2D]"
)


def tf_error(kind, text):
    import tensorflow as tf

    return getattr(tf.errors, kind)(None, None, text)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("ResourceExhaustedError", BFC, Verdict.CERTAIN),
        (
            "ResourceExhaustedError",
            "Out of memory while trying to allocate 4831838208 bytes.",
            Verdict.CERTAIN,
        ),
        ("ResourceExhaustedError", "MemoryError: Unable to allocate 3.00 GiB for an array", Verdict.CERTAIN),
        ("ResourceExhaustedError", "failed to allocate memory", Verdict.CERTAIN),
        ("ResourceExhaustedError", "failed to allocate a slot in queue of 5", Verdict.SUSPECTED),
        ("InternalError", "Failed to allocate 512 bytes", Verdict.SUSPECTED),
        ("UnknownError", "OOM when allocating tensor with shape[5]", Verdict.SUSPECTED),
        ("AbortedError", "could not allocate a scratch buffer", Verdict.SUSPECTED),
        ("ResourceExhaustedError", "Enqueue operation was cancelled; queue is full", Verdict.NO),
        ("ResourceExhaustedError", "Received message larger than max (9 vs. 4)", Verdict.NO),
        ("ResourceExhaustedError", "/data/x.tfrecord; Too many open files", Verdict.NO),
        ("InternalError", "Dst tensor is not initialized. [Op:_EagerConst]", Verdict.SUSPECTED),
        ("InternalError", "cudnn: CUDNN_STATUS_ALLOC_FAILED", Verdict.SUSPECTED),
        (
            "InternalError",
            "Attempting to perform BLAS operation: could not create cuBLAS handle",
            Verdict.SUSPECTED,
        ),
        ("InternalError", "CUDA_ERROR_OUT_OF_MEMORY: out of memory", Verdict.SUSPECTED),
        ("InternalError", "Graph execution error", Verdict.NO),
        ("NotFoundError", "No algorithm worked! CUDNN_STATUS_ALLOC_FAILED", Verdict.SUSPECTED),
        ("NotFoundError", "weights.h5; No such file or directory", Verdict.NO),
        ("UnknownError", "Failed to get convolution algorithm. This is probably because", Verdict.SUSPECTED),
        ("InvalidArgumentError", "OOM is not the matter here", Verdict.NO),
    ],
)
def test_tensorflows_forms(kind, text, expected):
    error = tf_error(kind, text)
    assert verdict(error) is expected
    assert is_out_of_memory(error) is (expected is not Verdict.NO)


def test_pythons_and_numpys_memory_errors():
    assert is_out_of_memory(MemoryError())
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, dtype=np.uint8)
    assert is_out_of_memory(caught.value)


def test_other_frameworks_name_it_in_the_class():
    class OutOfMemoryError(RuntimeError):
        pass

    assert is_out_of_memory(OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("I am out of memory"))


def test_the_systems_own_word_is_certain():
    assert verdict(OSError(errno.ENOMEM, "Cannot allocate memory")) is Verdict.CERTAIN
    assert verdict(OSError(errno.ENOSPC, "No space left on device")) is Verdict.NO


def chained(outer, cause):
    outer.__cause__ = cause
    return outer


def test_looks_along_the_causes():
    assert is_out_of_memory(chained(RuntimeError("prediction"), chained(ValueError("layer"), MemoryError())))


def fail_while_handling_an_oom(*, hides_it):
    try:
        raise MemoryError
    except MemoryError:
        if hides_it:
            raise RuntimeError("failed") from None
        raise RuntimeError("failed")  # noqa: B904 - the implicit context is what is tested


@pytest.mark.parametrize("hides_it", [True, False])
def test_looks_along_what_was_being_handled_unless_hidden(hides_it):
    with pytest.raises(RuntimeError) as caught:
        fail_while_handling_an_oom(hides_it=hides_it)
    assert is_out_of_memory(caught.value) is not hides_it


def test_what_the_caller_was_handling_before_says_nothing():
    earlier = MemoryError()
    later = ValueError("a mistake")
    later.__context__ = earlier
    assert verdict(later) is Verdict.SUSPECTED
    assert verdict(later, handled=earlier) is Verdict.NO


@pytest.mark.parametrize("error", [DoesNotFitError("does not fit"), CommitOutOfMemoryError("half done")])
def test_own_errors_are_never_oom_and_hide_their_cause(error):
    assert not is_out_of_memory(chained(error, MemoryError()))
    assert not is_out_of_memory(chained(RuntimeError("outer"), chained(error, MemoryError())))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_interrupts_are_never_oom(error):
    assert not is_out_of_memory(chained(error, MemoryError()))


def test_a_circular_chain_ends():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert not is_out_of_memory(first)


def test_reads_the_size_of_the_failed_request():
    assert failed_allocation_bytes(MemoryError(BFC)) == 512 * 64 * 64 * 32 * 4
    assert (
        failed_allocation_bytes(MemoryError("Out of memory while trying to allocate 4831838208 bytes."))
        == 4831838208
    )
    assert failed_allocation_bytes(MemoryError("no figure")) is None


def test_a_graphs_error_is_told_by_the_line_about_memory():
    text = (
        f"Graph execution error:\n\nDetected at node conv2d defined at:\n  File 'x.py'\n\n{BFC}\n\t[[conv2d]]"
    )
    told = telling_line(tf_error("ResourceExhaustedError", text), width=90)
    assert told.startswith("ResourceExhaustedError: OOM when allocating tensor with shape[512,64,64,32]")


def test_the_name_of_a_function_node_is_left_out():
    text = "{{function_node __inference_call_24}} OOM when allocating tensor with shape[192] by allocator bfc"
    told = telling_line(tf_error("ResourceExhaustedError", text))
    assert told == "ResourceExhaustedError: OOM when allocating tensor with shape[192] by allocator bfc"


def test_the_telling_line_is_short():
    assert telling_line(MemoryError("one\ntwo")) == "MemoryError: one"
    assert telling_line(MemoryError()) == "MemoryError"
    assert len(telling_line(MemoryError("x" * 500), width=80)) == 80


# A full disk, a quota or a queue below a path that speaks of memory is no lack of it.
PATHS = [
    "/scratch/oom/part-0.tfrecord",
    "runs/OOM/x.h5",
    r"D:\out of memory\x",
    "'/data/out of memory/x y'",
    "OOM.log",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "text", ["{}; No space left on device", "{}; Input/output error", "could not write {}: queue is full"]
)
def test_words_in_a_path_are_no_words_about_memory(path, text):
    assert verdict(tf_error("ResourceExhaustedError", text.format(path))) is Verdict.NO


def test_a_full_disk_is_never_memory_however_it_is_told():
    error = tf_error(
        "ResourceExhaustedError", "failed to allocate 512 bytes of scratch: No space left on device"
    )
    assert verdict(error) is Verdict.NO


def test_a_word_beside_a_path_counts():
    text = "OOM when allocating tensor with shape[2] on /job:localhost/replica:0 by allocator GPU_0_bfc"
    assert verdict(tf_error("ResourceExhaustedError", text)) is Verdict.CERTAIN


# As the sources of TensorFlow, XLA and its stream executor word them.
@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (
            "ResourceExhaustedError",
            "Ran out of GPU memory when allocating 18432 bytes for Conv2D",
            Verdict.CERTAIN,
        ),
        ("ResourceExhaustedError", "Not enough memory to allocate 2147483648 on device 0", Verdict.CERTAIN),
        ("InternalError", "Not enough memory to allocate 2147483648 on device 0", Verdict.SUSPECTED),
        ("ResourceExhaustedError", "mmap: Cannot allocate memory", Verdict.CERTAIN),
        ("UnimplementedError", "DNN library is not found. [Op:Conv2D]", Verdict.SUSPECTED),
        ("FailedPreconditionError", "DNN library initialization failed.", Verdict.SUSPECTED),
        (
            "InternalError",
            "Attempting to perform BLAS operation using StreamExecutor without BLAS support",
            Verdict.SUSPECTED,
        ),
        ("InternalError", "Blas GEMV launch failed:  m=5, n=3", Verdict.SUSPECTED),
        ("InternalError", "Blas xGEMMStridedBatched launch failed : a.shape=[2,3,4]", Verdict.SUSPECTED),
        ("InternalError", "Failed to set auto allocation for cuFFT plan.", Verdict.SUSPECTED),
        ("InternalError", "Failed to make cuFFT batched plan.", Verdict.SUSPECTED),
        ("InternalError", "CUFFT_ALLOC_FAILED", Verdict.SUSPECTED),
        ("UnimplementedError", "Fused conv implementation does not support grouped convolutions", Verdict.NO),
        ("InternalError", "Blas GEMM is not implemented for this type", Verdict.NO),
    ],
)
def test_texts_of_libraries_that_found_no_room(kind, text, expected):
    assert verdict(tf_error(kind, text)) is expected


def test_errors_of_other_libraries_can_be_named():
    class PoolExhausted(Exception):  # noqa: N818 - as such libraries name them
        pass

    error = chained(RuntimeError("prediction"), PoolExhausted("pool 3"))
    assert not is_out_of_memory(error)
    assert is_out_of_memory(error, is_oom=lambda link: isinstance(link, PoolExhausted))
    assert not is_out_of_memory(DoesNotFitError("one item"), is_oom=lambda link: True)
    with pytest.raises(TypeError, match="is_oom is 'pool' but must be a function"):
        is_out_of_memory(error, is_oom="pool")
    with pytest.raises(TypeError, match="exc is 'OOM' but must be an exception"):
        is_out_of_memory("OOM")


def test_an_error_that_cannot_be_written_is_still_judged():
    class Mute(Exception):  # noqa: N818 - an error of a user's
        def __str__(self):
            raise ValueError("no text")

    assert not is_out_of_memory(Mute())
    assert telling_line(Mute()) == "Mute"


def test_a_suspended_generator_that_an_error_once_passed_through_goes_on():
    kept = []

    def numbers():
        for number in range(3):
            try:
                raise MemoryError
            except MemoryError as error:
                kept.append(error)
            yield number

    going = numbers()
    assert next(going) == 0
    release_frames(kept[0])
    assert list(going) == [1, 2]


def test_a_generator_that_the_error_ended_gives_up_its_variables():
    def failing():
        tensor = np.ones(3)
        references.append(weakref.ref(tensor))
        yield 0
        raise MemoryError

    references = []
    with pytest.raises(MemoryError) as caught:
        list(failing())
    release_frames(caught.value)
    assert references[0]() is None
