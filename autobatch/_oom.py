"""Telling an out-of-memory error from every other error, without importing TensorFlow."""

from __future__ import annotations

import errno
import gc
import inspect
import math
import re
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from types import FrameType, TracebackType

from autobatch.errors import AutobatchError

OomPredicate = Callable[[BaseException], bool]
_RESUMABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

# Words of the BFC allocator, of XLA, of NumPy and of CUDA. A queue, a gRPC message or a file handle that
# is exhausted raises the same class as memory does and has none of them. "OOM" is a word of its own, in
# capitals: file names may hold it too.
_ALLOCATE = r"((fail|failed|trying|unable) to|could ?n[o']t|cannot|not enough memory to) allocate"
_RAN_OUT = r"(out[ -]of|ran out of (\w+ )?)[ -]?memory|OUT_OF_MEMORY|(?-i:(?<![\w.-])OOM(?![\w-]|\.\w))"
_MEMORY_WORDS = re.compile(
    rf"{_RAN_OUT}|MemoryError|memory exhausted|not enough memory to allocate"
    rf"|{_ALLOCATE} (\d|memory|array|request|.{{0,40}}\bbytes\b)",
    re.IGNORECASE,
)
# The same words in any other TensorFlow error, or about something that need not be memory.
_SUSPECT_WORDS = re.compile(
    rf"out of memory|OOM when allocating|ran out of \w+ memory|{_ALLOCATE}|OUT_OF_MEMORY", re.IGNORECASE
)
# A path may hold any of these words, and a full disk or a quota is reported by the same class as memory.
_PATHS = re.compile(r"""(?P<quote>["'])[^"'\n]*[/\\][^"'\n]*(?P=quote)|\S*[/\\][^\s;:,]*""")
_OTHER_SHORTAGES = re.compile(
    r"no space left|quota exceeded|too many open files|file too large|disk (is )?full", re.IGNORECASE
)

# Forms in which a shortage reaches the caller through a library that could not get its workspace or a copy
# that found no room (tensorflow issues 7025, 21775, 38929, 45068). Each can have another cause. They come
# in several classes, by version: as an internal, unknown, unimplemented or failed-precondition error.
_LIBRARY_TEXTS = re.compile(
    r"Dst tensor is not initialized|CU(DNN|BLAS|SOLVER|FFT|SPARSE)_(STATUS_)?(ALLOC_FAILED|NOT_INITIALIZED)"
    r"|create.{0,20}cu(dnn|blas|solver|fft|sparse)|cuBlas.{0,20}create"
    r"|\bBLAS \S*GEM[MV]\S* (launch|execution) failed|without BLAS support"
    r"|(auto allocation for|make|initiali[sz]e|workspace.{0,20}) (batched )?cuFFT"
    r"|DNN library (is not found|initialization failed)|without DNN support"
    r"|Failed to get convolution algorithm",
    re.IGNORECASE,
)
_NO_ALGORITHM = re.compile(r"No algorithm worked", re.IGNORECASE)


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


def is_out_of_memory(exc: BaseException, *, is_oom: OomPredicate | None = None) -> bool:
    """Return whether an error means, certainly or probably, that memory ran out.

    Looks at the class first, then for memory words in the text, then along the chain of causes, so that
    an error wrapped by user code is recognised. Covers Python's and NumPy's ``MemoryError`` and every form
    in which TensorFlow and XLA report a shortage. Errors of this package are never out-of-memory errors,
    although their cause is one; nor are ``KeyboardInterrupt`` and ``SystemExit``.

    Parameters
    ----------
    exc : BaseException
        The error; its causes are looked at too.
    is_oom : callable, optional
        ``is_oom(error) -> bool`` for the errors of other libraries: asked about the error and each of its
        causes before anything else is; true is certain. What it raises is not caught.

    Returns
    -------
    bool
        True also where memory is only suspected, as with most errors of cuDNN and cuBLAS.

    Raises
    ------
    TypeError
        If `exc` is no exception or `is_oom` cannot be called.
    """
    if not isinstance(exc, BaseException):
        raise TypeError(f"exc is {exc!r} but must be an exception, as `except … as exc` gives it.")
    if is_oom is not None and not callable(is_oom):
        raise TypeError(f"is_oom is {is_oom!r} but must be a function of an exception that returns a bool.")
    return verdict(exc, is_oom=is_oom) is not Verdict.NO


def verdict(
    exc: BaseException, *, handled: BaseException | None = None, is_oom: OomPredicate | None = None
) -> Verdict:
    """Judge an error and its causes; the chain ends before `handled`.

    `handled` is the error that the caller was already handling before the work began: Python makes it the
    context of everything raised since, and it says nothing about them. `is_oom` is as in `is_out_of_memory`.
    """
    most = Verdict.CERTAIN
    for link, is_implied in _chain(exc, handled):
        if isinstance(link, AutobatchError) or not isinstance(link, Exception):
            return Verdict.NO
        if is_implied:  # raised while the next one was handled, which may be a mistake in the handler
            most = Verdict.SUSPECTED
        judged = _judge(link, is_oom)
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
    ended: dict[int, FrameType] = {}
    while pending:
        link = pending.pop()
        if link is None or link is handled or any(link is known for known in seen):
            continue
        seen.append(link)
        _collect(link.__traceback__, ended)
        # TensorFlow raises its own error "from None", which hides the first one but still holds it.
        pending += [link.__cause__, link.__context__]
    suspended = _suspended(ended)
    for place, frame in ended.items():
        if place not in suspended:
            with suppress(RuntimeError):  # it runs in another thread
                frame.clear()


def _collect(trace: TracebackType | None, ended: dict[int, FrameType]) -> None:
    """Add the frames of a traceback and those that called them, as far as they do not run now, by id.

    Keras cuts its own frames out of the traceback, but the frames left in it still refer to them.
    """
    running: set[int] = set()
    caller: FrameType | None = sys._getframe()
    while caller is not None:
        running.add(id(caller))
        caller = caller.f_back
    while trace is not None:
        frame: FrameType | None = trace.tb_frame
        # A frame that was seen before, and all that called it, are dealt with.
        while frame is not None and id(frame) not in running and id(frame) not in ended:
            ended[id(frame)] = frame
            frame = frame.f_back
        trace = trace.tb_next


def _suspended(frames: dict[int, FrameType]) -> set[int]:
    """Return which frames are a generator's or coroutine's that waits to go on.

    The error passed through it once and was kept. Clearing its frame would close it, silently so before
    Python 3.13. Only the generator knows its state, and it refers to its frame until it has ended. Asking
    who refers to a frame takes as long as a collection does, so it is asked once and for those only.
    """
    resumable = [frame for frame in frames.values() if frame.f_code.co_flags & _RESUMABLE]
    if not resumable:
        return set()
    owners = (
        owner
        for owner in gc.get_referrers(*resumable)
        if isinstance(owner, types.GeneratorType | types.CoroutineType | types.AsyncGeneratorType)
    )
    return {
        id(getattr(owner, name, None)) for owner in owners for name in ("gi_frame", "cr_frame", "ag_frame")
    }


def failed_allocation_bytes(exc: BaseException) -> int | None:
    """Return how many bytes the failed request asked for, where TensorFlow's or XLA's text says it."""
    text = _text(exc)
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
    lines = _text(exc).strip().split("\n")
    text = next((line.strip() for line in lines if _MEMORY_WORDS.search(line)), lines[0])
    # An operation of a function puts the function's name first, which is TensorFlow's own invention.
    text = re.sub(r"^\{\{function_node .*?\}\} ", "", text)
    line = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    return line if len(line) <= width else line[: width - 1] + "…"


def _judge(exc: Exception, is_oom: OomPredicate | None) -> Verdict:
    if is_oom is not None and is_oom(exc):
        return Verdict.CERTAIN
    if isinstance(exc, MemoryError) or (isinstance(exc, OSError) and exc.errno == errno.ENOMEM):
        return Verdict.CERTAIN
    names = {base.__name__ for base in type(exc).__mro__}
    if "OutOfMemoryError" in names:
        return Verdict.CERTAIN
    if not names & {"OpError", "XlaRuntimeError", "JaxRuntimeError"}:
        return Verdict.NO
    return _judge_text(_PATHS.sub(" ", _text(exc)), names)


def _judge_text(text: str, names: set[str]) -> Verdict:
    """Judge the text, without its paths, of an error of TensorFlow's or XLA's with classes of these names."""
    if _OTHER_SHORTAGES.search(text):
        return Verdict.NO
    is_exhausted = bool(names & {"ResourceExhaustedError", "XlaRuntimeError", "JaxRuntimeError"})
    if is_exhausted and _MEMORY_WORDS.search(text):
        return Verdict.CERTAIN
    is_suspect = _SUSPECT_WORDS.search(text) or _LIBRARY_TEXTS.search(text)
    if is_suspect or ("NotFoundError" in names and _NO_ALGORITHM.search(text)):
        return Verdict.SUSPECTED
    return Verdict.NO


def _text(exc: BaseException) -> str:
    """Return the text of an error; a class of the user's may fail to make one, which says nothing."""
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 - whatever its __str__ raises, the error itself is what counts
        return ""


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
