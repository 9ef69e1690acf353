"""Python's search for garbage, kept off what a command imports, which stays until its end.

A search walks over every object that can be part of a circle, a full one over all that there are, and TensorFlow's
import alone makes hundreds of thousands of them. What a command makes while it works is searched as ever.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

# New objects before the young ones are searched, and how many searches of these before one of the older.
_USUAL = gc.get_threshold()
_SELDOM = (50_000, 50, 100)


@contextmanager
def searched_seldom() -> Iterator[None]:
    """Search seldom inside the block until `search_what_is_new`, and not once more when the process ends.

    What has to be done at an exit (`atexit`, `weakref.finalize`) is done, and files and threads end as ever. The
    memory goes back to the system at once.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    usual = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def search_what_is_new() -> None:
    """Search as ever from now on, but leave out what the process has imported and opened by now.

    The latter once in a process, for one that goes on afterwards makes garbage of its own.
    """
    gc.set_threshold(*_USUAL)
    if not gc.get_freeze_count():
        gc.freeze()
