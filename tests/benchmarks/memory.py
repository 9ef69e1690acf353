"""Peak resident memory of a call, from Linux' own high-water mark."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path


def peak_growth_bytes(function) -> int | None:
    """Return how far resident memory rose above where it was while `function` ran; None outside Linux."""
    gc.collect()
    _give_back_freed_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    before = status_bytes("VmRSS")
    function()
    return status_bytes("VmHWM") - before


def _give_back_freed_memory() -> None:
    """Let the allocator return what it keeps for later, which the next call would use unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def status_bytes(field: str) -> int:
    """Return a line of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)
