"""An orderly end when the process is told to stop; only where a program asks for it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from autobatch._hooks import PROCESS
from autobatch.errors import StoppedError

_logger = logging.getLogger(__name__)


@contextmanager
def stop_on_signal(*signal_numbers: int) -> Iterator[None]:
    """Make a signal end the runs inside the block after the batch that is being worked on.

    That batch is finished and committed, then `StoppedError` is raised, which ends the process with exit code
    ``128 + signal``, as the shell reports it, unless someone catches it; `progress_of` says how far the run came.
    A second signal does not wait for the batch. Outside of runs the signal raises as soon as the next run starts
    or the block ends.

    Parameters
    ----------
    *signal_numbers : int
        Such as ``signal.SIGINT``; SIGTERM alone if none is given. Schedulers and containers send it before they kill.

    Yields
    ------
    None
        For the block.

    Raises
    ------
    StoppedError
        After a signal.
    ValueError
        If this is not the main thread, the only one that Python lets set a handler.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ValueError(
            "stop_on_signal was entered in a thread but Python sets signal handlers in the main thread only; "
            "enter it there, around the code that starts the threads."
        )
    request = _Request()
    numbers = signal_numbers or (signal.SIGTERM,)
    previous = {number: signal.signal(number, request.handle) for number in numbers}
    try:
        with PROCESS.stopping(request):
            yield
    finally:
        for number, handler in previous.items():
            # None stands for a handler that was not set from Python, which cannot be set from it either.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if request.signal_number is not None:
        raise StoppedError(request.signal_number)


class _Request:
    """Notes the first signal; the second one raises."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def handle(self, number: int, frame: FrameType | None) -> Any:
        if self.signal_number is not None:
            raise StoppedError(number)
        self.signal_number = number
        _logger.warning("%s: stopping after this batch; once more stops at once", signal.Signals(number).name)
