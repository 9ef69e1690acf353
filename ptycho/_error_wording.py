"""What input or machine may cause, as opposed to a mistake in the code, and how it is told in words."""

from __future__ import annotations

import errno
import re

from autobatch import imported_tensorflow
from autobatch.errors import AutobatchError
from ptycho.errors import PtychoError

# ValueError is what the array functions raise for an argument out of range.
EXPECTED_ERRORS = (PtychoError, AutobatchError, MemoryError, OSError, ValueError)
_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EISDIR: "pass a file",
    errno.ENOTDIR: "a part of the path is a file; pass a folder",
    errno.EACCES: "check its permissions",
    errno.EROFS: "write elsewhere",
    errno.EFBIG: "raise the limit on file sizes or write elsewhere",
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
}


def expected_errors() -> tuple[type[BaseException], ...]:
    """Return `EXPECTED_ERRORS` with TensorFlow's own, which only a TensorFlow that is loaded can have raised."""
    tensorflow = imported_tensorflow()
    return EXPECTED_ERRORS if tensorflow is None else (*EXPECTED_ERRORS, tensorflow.errors.OpError)


def in_words(error: BaseException) -> str:
    """Return one sentence for a person: what happened to which file, and what to do where that is known."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0)
        return f"{where}{error.strerror}" + (f"; {remedy}." if remedy else ".")
    if isinstance(error, MemoryError):
        return out_of_memory_in_words(error)
    return str(error)


def out_of_memory_in_words(error: BaseException) -> str:
    """Return the sentence for an error of any class that means a want of memory."""
    statement = statement_of(error)
    found = f"out of memory ({statement})" if statement else "out of memory"
    return f"{found}; close other programs or pass fewer frames."


def reason_of(error: BaseException) -> str:
    """Return why a part of a run failed; the class of an error that carries no sentence of ours goes before it."""
    text = str(error).strip()
    if isinstance(error, (PtychoError, AutobatchError)) or (type(error) is ValueError and text):
        return text
    statement = statement_of(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {statement}" if statement else "out of memory"
    return f"{type(error).__name__}: {statement}" if statement else type(error).__name__


def statement_of(error: BaseException) -> str:
    """Return the line of an error that says what went wrong; TensorFlow tells more, line by line."""
    lines = str(error).strip().splitlines() or [""]
    if not lines[0].startswith("Graph execution error"):
        # An operation outside a graph puts its own name first.
        return re.sub(r"^\{\{function_node .*?\}\} ", "", lines[0])
    # The graph's calls come first and the failed node, as ``[[{{node …}}]]``, right after the statement.
    nodes = (index for index, line in enumerate(lines) if line.lstrip().startswith("[[{{node"))
    return lines[next(nodes, 1) - 1].strip()
