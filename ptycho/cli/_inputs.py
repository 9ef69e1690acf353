"""Inputs that changed while a command used them: what was made of them is kept, and called unreliable."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho._io.unchanged import Snapshot
from ptycho.cli._errors import WorkFailedError

if TYPE_CHECKING:
    from ptycho.comparison import ComparisonResult

logger = logging.getLogger(__name__)


def with_changes(result: ComparisonResult, before: Snapshot) -> ComparisonResult:
    """Return the result with a failure, of kind "unreliable", for every input that is not as it was `before`."""
    from ptycho.comparison import Failure

    failures = [
        Failure(str(path), _in_words(change), "unreliable") for path, change in before.changes().items()
    ]
    for failure in failures:
        logger.error("%s %s: the results are unreliable", failure.what, failure.reason)
    return replace(result, failures=(*result.failures, *failures))


def refuse_changes(before: Snapshot, *, kept_in: Path) -> None:
    """Raise if an input is not as it was `before`: for commands whose result has no report."""
    changed = [f"{path} {_in_words(change)}" for path, change in before.changes().items()]
    if changed:
        raise WorkFailedError(f"{'; '.join(changed)}; what is kept in {kept_in} is unreliable, so run again.")


def _in_words(change: str) -> str:
    return f"changed while it was used: it {change}"
