"""Tell the user that loops are being compiled, which takes seconds and happens once."""

from __future__ import annotations

import logging
import sys
from typing import Any

logger = logging.getLogger(__name__)


def announce_compilation(package: str, what: str) -> None:
    """Have the first compilation of a loop of `package` announced.

    Parameters
    ----------
    package : str
        Full name of the package whose loops are about to be used.
    what : str
        What is compiled, as a user would call it.
    """
    from numba.core import event

    class Announcer(event.Listener):
        """Tells the user, once, that the first use compiles; later ones load the result from disk."""

        def __init__(self) -> None:
            self.announced = False

        def on_start(self, event: Any) -> None:
            module = event.data["dispatcher"].py_func.__module__
            if not self.announced and module.startswith(f"{package}."):
                self.announced = True
                _announce(f"Compiling {what} for this processor; this happens once.")

        def on_end(self, event: Any) -> None:
            """Part of numba's listener interface; there is nothing to say at the end."""

    event.register("numba:compile", Announcer())


def _announce(text: str) -> None:
    """Log a line, or where no logging is set up, write it: seconds of silence look like a hang."""
    if logger.hasHandlers():
        logger.info(text)
    elif sys.stderr is not None:
        sys.stderr.write(f"{text}\n")
