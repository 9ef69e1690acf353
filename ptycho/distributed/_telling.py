"""How a worker tells how far it is: what its batches would show on a display, as events of Dask's."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from autobatch import DeviceMemory, Stage

if TYPE_CHECKING:
    from distributed import Worker


class Telling:
    """A display whose stages are told to whoever listens to a topic, all of them in one count.

    Parameters
    ----------
    worker : distributed.Worker
    topic : str
    every_s : float
        Shortest time between two events.
    """

    def __init__(self, worker: Worker, topic: str, *, every_s: float) -> None:
        """Tell nothing yet."""
        self._worker, self._topic, self._every_s = worker, topic, every_s
        self._lock = threading.Lock()
        self._done, self._size, self._told_s = 0, 0, 0.0
        self._card: DeviceMemory | None = None

    def begin(self, shard: int) -> None:
        """Tell of a shard before the work, so that one that is begun twice shows."""
        self._tell(begun=shard)

    def stage(self, label: str, total: int | None, unit: str = "items") -> Stage:
        """Return this: there is one count."""
        return self

    def __enter__(self) -> Stage:
        """Go on counting."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Tell what has not been told."""
        self._tell()

    def advance(self, n_items: int) -> None:
        """Count more items."""
        with self._lock:
            self._done += n_items
        if time.monotonic() - self._told_s >= self._every_s:
            self._tell()

    def batch_size(self, size: int, reason: str) -> None:
        """Note the batch size."""
        self._size = size

    def memory(self, memory: DeviceMemory) -> None:
        """Note what a card says; of main memory the worker's own share counts."""
        self._card = None if memory.is_host else memory

    def note(self, text: str) -> None:
        """Do nothing."""

    def part(self, label: str) -> Stage:
        """Return this: there is one count."""
        return self

    def _tell(self, **more: int) -> None:
        self._told_s = time.monotonic()
        used_bytes, total_bytes = self._memory()
        told = {"done": self._done, "size": self._size, "used_bytes": used_bytes, "total_bytes": total_bytes}
        told |= {"worker": self._worker.address, "name": str(self._worker.name)}
        self._worker.log_event(self._topic, told | more)

    def _memory(self) -> tuple[int, int | None]:
        """Return the bytes in use, and those that there are or that Dask allows."""
        if self._card is not None and self._card.used_bytes is not None:
            return self._card.used_bytes, self._card.total_bytes
        import psutil

        return psutil.Process().memory_info().rss, self._worker.memory_manager.memory_limit
