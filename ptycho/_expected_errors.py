"""What input or machine may cause, as opposed to a mistake in the code."""

from autobatch.errors import AutobatchError
from ptycho.errors import PtychoError

# ValueError is what the array functions raise for an argument out of range.
EXPECTED_ERRORS = (PtychoError, AutobatchError, MemoryError, OSError, ValueError)
