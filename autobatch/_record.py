"""What happened during a run, kept in a few entries however many batches there were."""

from __future__ import annotations

from collections.abc import Callable

from autobatch._types import Attempt


class AttemptRecord:
    """Collects batches; neighbours that finished with the same size become one `Attempt`.

    Parameters
    ----------
    clock : callable
        Returns seconds. Each batch is charged the time since the one before it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._closed: list[Attempt] = []
        self._start = self._stop = self._size = self._n_batches = 0
        self._seconds = 0.0
        self._since_s = self.started_s = clock()

    def finished(self, start: int, stop: int) -> float:
        """Note a finished batch and return the clock's reading."""
        now_s = self._clock()
        size = stop - start
        if size != self._size or not self._n_batches:
            self._close()
            self._start, self._size = start, size
        self._stop = stop
        self._n_batches += 1
        self._seconds += now_s - self._since_s
        self._since_s = now_s
        return now_s

    def failed(self, start: int, stop: int, error: str) -> None:
        """Note a batch that ran out of memory."""
        now_s = self._clock()
        self._close()
        self._closed.append(
            Attempt(
                start=start,
                stop=stop,
                batch_size=stop - start,
                n_batches=1,
                outcome="out_of_memory",
                seconds=now_s - self._since_s,
                error=error,
            )
        )
        self._since_s = now_s

    def restart_clock(self) -> None:
        """Charge the time until now to no batch: planning is not work."""
        self._since_s = self._clock()

    def seconds_since_start(self) -> float:
        """Return the wall time of the run so far."""
        return self._clock() - self.started_s

    def attempts(self) -> tuple[Attempt, ...]:
        """Return what was noted so far."""
        self._close()
        return tuple(self._closed)

    def _close(self) -> None:
        if self._n_batches:
            self._closed.append(
                Attempt(
                    start=self._start,
                    stop=self._stop,
                    batch_size=self._size,
                    n_batches=self._n_batches,
                    outcome="done",
                    seconds=self._seconds,
                )
            )
        self._n_batches, self._seconds = 0, 0.0
