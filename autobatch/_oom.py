"""Telling an out-of-memory error from every other error, without importing TensorFlow."""

from __future__ import annotations

import errno
import math
import re
from enum import IntEnum
from types import FrameType, TracebackType

from autobatch.errors import AutobatchError

# Words of the BFC allocator, of XLA, of NumPy and of CUDA. A queue, a gRPC message or a file handle that
# is exhausted raises the same class as memory does and has none of them.
_MEMORY_WORDS = re.compile(
    r"\bOOM\b|out[ -]of[ -]memory|OUT_OF_MEMORY|MemoryError|memory exhausted"
    r"|((fail|failed|trying|unable) to|could not) allocate (\d|memory|array|request|.{0,40}\bbytes\b)",
    re.IGNORECASE,
)
# The same words in any other TensorFlow error, or about something that need not be memory.
_SUSPECT_WORDS = re.compile(
    r"out of memory|OOM when allocating|((fail|failed|trying|unable) to|could not) allocate|OUT_OF_MEMORY",
    re.IGNORECASE,
)

# Forms in which a shortage reaches the caller through a library that could not get its workspace or a copy
# that found no room (tensorflow issues 7025, 21775, 38929, 45068). Each can have another cause.
_SUSPECT_TEXTS = {
    "InternalError": r"Dst tensor is not initialized|CUDNN_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)"
    r"|CUBLAS_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)|create.{0,20}cu(dnn|blas|solver|fft)|cuBlas.{0,20}create"
    r"|BLAS (xGEMM|GEMM|SGEMM)\S* launch failed",
    "UnknownError": r"Failed to get convolution algorithm|CUDNN_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)"
    r"|create.{0,20}cu(dnn|blas)",
    "NotFoundError": r"No algorithm worked",
    "FailedPreconditionError": r"DNN library (is not found|initialization failed)",
}
_SUSPECTS = {name: re.compile(text, re.IGNORECASE) for name, text in _SUSPECT_TEXTS.items()}


_SHAPED_REQUEST = re.compile(
    r"OOM when allocating tensor with shape ?\[(?P<shape>[\d,]*)\] and type (?P<dtype>\w+)"
)
_PLAIN_REQUEST = re.compile(r"(trying|failed) to allocate (?P<bytes>\d+)( bytes)?", re.IGNORECASE)
_ITEM_BYTES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "half": 2,
    "bfloat16": 2,
    "int16": 2,
    "float": 4,
    "int32": 4,
    "double": 8,
    "int64": 8,
    "complex64": 8,
    "complex128": 16,
}


class Verdict(IntEnum):
    """How sure one can be that an error means that memory ran out."""

    NO = 0
    SUSPECTED = 1
    CERTAIN = 2


def is_out_of_memory(exc: BaseException) -> bool:
    """Return whether an error means, certainly or probably, that memory ran out.

    Looks at the class first, then for memory words in the text, then along the chain of causes, so that
    an error wrapped by user code is recognised. Covers Python's and NumPy's ``MemoryError`` and every form
    in which TensorFlow and XLA report a shortage. Errors of this package are never out-of-memory errors,
    although their cause is one; nor are ``KeyboardInterrupt`` and ``SystemExit``.
    """
    return verdict(exc) is not Verdict.NO


def verdict(exc: BaseException, *, handled: BaseException | None = None) -> Verdict:
    """Judge an error and its causes; the chain ends before `handled`.

    `handled` is the error that the caller was already handling before the work began: Python makes it the
    context of everything raised since, and it says nothing about them.
    """
    most = Verdict.CERTAIN
    for link, is_implied in _chain(exc, handled):
        if isinstance(link, AutobatchError) or not isinstance(link, Exception):
            return Verdict.NO
        if is_implied:  # raised while the next one was handled, which may be a mistake in the handler
            most = Verdict.SUSPECTED
        judged = _judge(link)
        if judged is not Verdict.NO:
            return min(judged, most)
    return Verdict.NO


def release_frames(exc: BaseException, *, handled: BaseException | None = None) -> None:
    """Drop the local variables of the frames that an error and its causes passed through.

    They hold the tensors of the failed batch. Call it after the ``except`` block: inside, the frames are
    still referred to by the interpreter.
    """
    pending: list[BaseException | None] = [exc]
    seen: list[BaseException] = []
    while pending:
        link = pending.pop()
        if link is None or link is handled or any(link is known for known in seen):
            continue
        seen.append(link)
        _clear(link.__traceback__)
        # TensorFlow raises its own error "from None", which hides the first one but still holds it.
        pending += [link.__cause__, link.__context__]


def _clear(trace: TracebackType | None) -> None:
    """Clear the frames of a traceback and those that called them, as far as they have ended.

    Keras cuts its own frames out of the traceback, but the frames left in it still refer to them.
    """
    while trace is not None:
        frame: FrameType | None = trace.tb_frame
        while frame is not None:
            try:
                frame.clear()
            except RuntimeError:  # still running: so are all that called it
                break
            frame = frame.f_back
        trace = trace.tb_next


def failed_allocation_bytes(exc: BaseException) -> int | None:
    """Return how many bytes the failed request asked for, where TensorFlow's or XLA's text says it."""
    text = str(exc)
    shaped = _SHAPED_REQUEST.search(text)
    if shaped is not None and shaped["dtype"] in _ITEM_BYTES:
        n_elements = math.prod(int(length) for length in shaped["shape"].split(",") if length)
        return n_elements * _ITEM_BYTES[shaped["dtype"]]
    plain = _PLAIN_REQUEST.search(text)
    return int(plain["bytes"]) if plain is not None else None


def telling_line(exc: BaseException, *, width: int = 200) -> str:
    """Return class and most telling line of the text of an error, cut to `width` characters.

    That is the first line that speaks of memory, for TensorFlow's graphs begin with "Graph execution error".
    """
    lines = str(exc).strip().split("\n")
    text = next((line.strip() for line in lines if _MEMORY_WORDS.search(line)), lines[0])
    line = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    return line if len(line) <= width else line[: width - 1] + "…"


def _judge(exc: Exception) -> Verdict:
    if isinstance(exc, MemoryError) or (isinstance(exc, OSError) and exc.errno == errno.ENOMEM):
        return Verdict.CERTAIN
    text = str(exc)
    names = {base.__name__ for base in type(exc).__mro__}
    if "OutOfMemoryError" in names:
        return Verdict.CERTAIN
    if names & {"ResourceExhaustedError", "XlaRuntimeError"} and _MEMORY_WORDS.search(text):
        return Verdict.CERTAIN
    if names & {"OpError", "XlaRuntimeError"} and _SUSPECT_WORDS.search(text):
        return Verdict.SUSPECTED
    for name, pattern in _SUSPECTS.items():
        if name in names and pattern.search(text):
            return Verdict.SUSPECTED
    return Verdict.NO


def _chain(exc: BaseException, handled: BaseException | None) -> list[tuple[BaseException, bool]]:
    """Return the error and its causes, each with whether it is only what was being handled, not named by ``from``."""
    links: list[tuple[BaseException, bool]] = []
    link: BaseException | None = exc
    is_implied = False
    while link is not None and link is not handled and all(link is not seen for seen, _ in links):
        links.append((link, is_implied))
        is_implied = link.__cause__ is None
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links
