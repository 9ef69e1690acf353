"""Python's search for garbage, kept off what a command imports, which stays until its end.

Each of Python's full searches walks over every object that can be part of a circle, and TensorFlow's import alone
makes half a million of them. What a command makes while it works is searched as ever.
"""

from __future__ import annotations

import atexit
import gc


def leave_to_the_system_at_exit() -> None:
    """Have the process end without a last search: all its memory goes at once.

    What has to be done at an exit (`atexit`, `weakref.finalize`) is done, and files and threads end as ever.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def leave_out_what_is_there() -> None:
    """Leave what the process has imported and opened by now out of later searches.

    Once in a process, for one that goes on afterwards makes garbage of its own.
    """
    if not gc.get_freeze_count():
        gc.freeze()
