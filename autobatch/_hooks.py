"""What holds for every run of the process, whichever thread it is in: injected faults and a request to stop.

Signals belong to the process, and so do the faults that a test injects into a pool of threads. A context variable
would not reach threads that were started before; so this one object is shared, and changed under a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

Compute = Callable[[int, int], Any]
Wrap = Callable[[Compute, str], Compute]


class StopRequest(Protocol):
    """Says before each batch whether the run is to end here."""

    @property
    def signal_number(self) -> int | None:
        """The signal that asked for the end, None while none has."""
        ...


class Hooks:
    """Immutable tuples that are replaced as a whole, so that readers need no lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.wraps: tuple[Wrap, ...] = ()
        self.stop_requests: tuple[StopRequest, ...] = ()

    @contextmanager
    def wrapping(self, wrap: Wrap) -> Iterator[None]:
        """Apply `wrap` to the `compute` of each run that begins inside the block."""
        with self._lock:
            self.wraps = (*self.wraps, wrap)
        try:
            yield
        finally:
            with self._lock:
                self.wraps = tuple(known for known in self.wraps if known is not wrap)

    @contextmanager
    def stopping(self, request: StopRequest) -> Iterator[None]:
        """Let `request` end each run while the block lasts."""
        with self._lock:
            self.stop_requests = (*self.stop_requests, request)
        try:
            yield
        finally:
            with self._lock:
                self.stop_requests = tuple(known for known in self.stop_requests if known is not request)

    def wrapped(self, compute: Compute, label: str) -> Compute:
        """Return `compute` with every wrap around it, the newest outermost."""
        for wrap in self.wraps:
            compute = wrap(compute, label)
        return compute


PROCESS = Hooks()
