"""What input or machine may cause, as opposed to a mistake in the code."""

import re

from autobatch.errors import AutobatchError
from ptycho.errors import PtychoError

# ValueError is what the array functions raise for an argument out of range.
EXPECTED_ERRORS = (PtychoError, AutobatchError, MemoryError, OSError, ValueError)


def statement_of(error: BaseException) -> str:
    """Return the line of an error that says what went wrong; TensorFlow tells more, line by line."""
    lines = str(error).strip().splitlines() or [""]
    if not lines[0].startswith("Graph execution error"):
        # An operation outside a graph puts its own name first.
        return re.sub(r"^\{\{function_node .*?\}\} ", "", lines[0])
    # The graph's calls come first and the failed node, as ``[[{{node …}}]]``, right after the statement.
    nodes = (index for index, line in enumerate(lines) if line.lstrip().startswith("[[{{node"))
    return lines[next(nodes, 1) - 1].strip()
