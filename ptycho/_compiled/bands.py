"""Work in bands, a thread each.

Plain Python threads run compiled loops, which release the interpreter's lock: unlike numba's own thread pools they
survive a fork and may be used from several threads at once.
"""

from __future__ import annotations

import itertools
import os
import threading
from typing import Any


def run_bands(work: Any, edges: list[int]) -> None:
    """Call ``work(edges[i], edges[i + 1])`` for every i, in up to as many threads, and wait for all.

    Where a thread cannot be started, the others share its band. What a thread raised is raised here, and a
    Ctrl-C too, but only when no thread is at work any more: none writes into the canvas behind the caller.
    """
    # One iterator for all threads: each takes the next band when it has done one.
    bands = iter(list(itertools.pairwise(edges)))
    failures: list[BaseException] = []

    def work_off() -> None:
        try:
            for begin, end in bands:
                work(begin, end)
        except BaseException as error:  # noqa: BLE001 - raised below, by the calling thread
            failures.append(error)

    threads = [threading.Thread(target=work_off) for _ in edges[2:]]  # one fewer: this thread works too
    try:
        for thread in threads:
            thread.start()
    except BaseException as error:  # noqa: BLE001 - raised below, once the threads have ended
        # A RuntimeError means that the system grants no more threads.
        if not isinstance(error, RuntimeError):
            failures.append(error)
    work_off()
    _wait_for(threads, failures)
    try:
        if failures:
            raise failures[0]
    finally:
        # The traceback holds this frame, which would hold the error in a circle.
        failures.clear()


def _wait_for(threads: list[threading.Thread], failures: list[BaseException]) -> None:
    """Wait until every thread that was started has ended; an interrupt meanwhile goes to `failures`."""
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except KeyboardInterrupt as error:
                failures.append(error)


def even_bands(n_rows: int, n_bands: int) -> list[int]:
    """Return the edges of `n_bands` bands of about equally many rows: n_bands + 1 numbers from 0 to `n_rows`."""
    return [n_rows * band // n_bands for band in range(n_bands + 1)]


def available_threads() -> int:
    """Number of processors that this process may run on, or fewer if NUMBA_NUM_THREADS says so: these are its loops."""
    n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("NUMBA_NUM_THREADS", "")
    return min(n_processors, int(wanted)) if wanted.isdecimal() and int(wanted) > 0 else n_processors
