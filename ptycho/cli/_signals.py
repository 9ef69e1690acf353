"""Ctrl-C, SIGTERM and SIGHUP: one orderly end for all three, and moments at which they have to wait."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
# The frames of Python's import system, which the traceback of an error in an imported module does not show.
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


@contextmanager
def stopping_on_signals() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does; gives the list in which they are noted.

    One that falls into an import takes effect when the import is done. Packages catch whatever is raised while they
    import others, and a module that was half executed stays so until the process ends.
    """
    received: list[int] = []
    around = _imports(sys._getframe())

    def stop(number: int) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt

    def handle(number: int, frame: FrameType | None) -> None:
        # What the command itself is imported by, as `runpy` or a test may, lies around it and is not waited for.
        imports = _imports(frame)[: -len(around) or None]
        if imports:
            _when_returned(imports[-1], lambda: stop(number))
        else:
            stop(number)

    with _handled_by(handle, unless=(signal.SIG_IGN,)):
        yield received


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Finish the block whatever comes meanwhile: Ctrl-C, SIGTERM and SIGHUP take effect at its end."""
    waiting: list[int] = []
    with _handled_by(lambda number, _: waiting.append(number), unless=(signal.SIG_IGN, signal.SIG_DFL)):
        yield
    if waiting:
        signal.raise_signal(waiting[0])


@contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], Any], *, unless: tuple[Any, ...]) -> Iterator[None]:
    """Handle the three signals in the block, but those whose handler is one of `unless` or not Python's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in wanted}
    before = {number: handler for number, handler in before.items() if handler not in (*unless, None)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _imports(frame: FrameType | None) -> list[FrameType]:
    """Return the frames of the import system among the callers of `frame`, from the innermost."""
    found = []
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            found.append(frame)
        frame = frame.f_back
    return found


def _when_returned(awaited: FrameType, act: Callable[[], None]) -> None:
    """Call `act` the moment that `awaited` returns to its caller, and let what it raises begin there."""
    before = sys.getprofile()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if frame is awaited and event == "return":
            sys.setprofile(before)
            act()

    sys.setprofile(watch)
