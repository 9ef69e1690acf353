"""Which errors end one arm and not the comparison, and how they are told."""

from __future__ import annotations

import logging
import sys

from autobatch import AutobatchError
from ptycho._comparison_types import ArmFailure
from ptycho._expected_errors import EXPECTED_ERRORS, statement_of
from ptycho.errors import PtychoError

logger = logging.getLogger(__name__)


def arm_errors() -> tuple[type[BaseException], ...]:
    """Return the classes of errors that end one arm; a programming error is none of them."""
    # Only a TensorFlow that is loaded can have raised; asking must not load it.
    tensorflow = sys.modules.get("tensorflow")
    return EXPECTED_ERRORS if tensorflow is None else (*EXPECTED_ERRORS, tensorflow.errors.OpError)


def failure_of(label: str, error: BaseException, *, what: str = "failed") -> ArmFailure:
    """Log that an arm `label` came to an end and return it; the log at level DEBUG shows where."""
    reason = _reason(error)
    logger.error("%s %s: %s", label, what, reason)
    logger.debug("where %s %s", label, what, exc_info=error)
    return ArmFailure(label, reason)


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    if isinstance(error, (PtychoError, AutobatchError)) or (type(error) is ValueError and text):
        return text
    statement = statement_of(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {statement}" if statement else "out of memory"
    return f"{type(error).__name__}: {statement}" if statement else type(error).__name__
