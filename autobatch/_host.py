"""What is free in main memory: the smallest of all limits that apply to this process."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from autobatch import _cgroup, _tensorflow
from autobatch._cgroup import Bound
from autobatch._types import DeviceMemory

_logger = logging.getLogger(__name__)
# On a CPU, running out is often no exception: the process is killed, aborts or segfaults, and other
# programs' memory comes and goes. So plan with half of what seems free.
HOST_USABLE_SHARE = 0.5


def host_memory(root: Path = Path("/")) -> DeviceMemory:
    """Return the tightest of the machine's, the control groups' and the process's own limits.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are found; another folder in tests.
    """
    notes: list[str] = []
    machine = _machine(root)
    if machine is None:
        notes.append("the free memory is not known: there is no /proc/meminfo, and psutil is not installed")
    bounds = [*([] if machine is None else [machine]), *_cgroup.bounds(root, notes), *_process_limits(root)]
    tightest = min(bounds, key=lambda bound: bound.free_bytes, default=None)
    allocator = _tensorflow_bound()
    if allocator is not None and (tightest is None or allocator.free_bytes <= tightest.free_bytes):
        # This allocator raises a proper error when it is full, so it needs no margin.
        used_bytes = allocator.total_bytes - allocator.free_bytes
        regions = _tensorflow.growing_regions(allocator.total_bytes, used_bytes)
        return replace(_as_memory(allocator, allocator.free_bytes, notes), regions=regions)
    if tightest is None:
        return _as_memory(Bound(source=DeviceMemory.UNKNOWN, total_bytes=0, free_bytes=0), 0, notes)
    notes.append("half of the free part is usable: running out of main memory ends the process")
    return _as_memory(tightest, int(tightest.free_bytes * HOST_USABLE_SHARE), notes)


def _as_memory(bound: Bound, usable_bytes: int, notes: list[str]) -> DeviceMemory:
    return DeviceMemory(
        device="CPU",
        total_bytes=None if bound.source == DeviceMemory.UNKNOWN else bound.total_bytes,
        free_bytes=bound.free_bytes,
        usable_bytes=usable_bytes,
        source=bound.source,
        notes=tuple(notes),
    )


def _machine(root: Path) -> Bound | None:
    entries = _kibibyte_entries(root / "proc/meminfo")
    if not entries.get("MemTotal"):
        return _machine_without_proc()
    # Kernels before 3.14 have no MemAvailable.
    estimate = sum(entries.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    return Bound(
        source="MemAvailable" if "MemAvailable" in entries else "MemFree + Buffers + Cached",
        total_bytes=entries["MemTotal"],
        # Some containers rewrite the total alone.
        free_bytes=min(entries.get("MemAvailable", estimate), entries["MemTotal"]),
    )


def _machine_without_proc() -> Bound | None:
    try:
        import psutil

        memory = psutil.virtual_memory()
        total_bytes, free_bytes = int(memory.total), int(memory.available)
    except Exception as error:  # noqa: BLE001 - it is missing, or raises its own and the system's errors
        _logger.debug("psutil does not say what is free: %s", error)
        return None
    if total_bytes <= 0 or free_bytes < 0:
        return None
    return Bound(source="psutil", total_bytes=total_bytes, free_bytes=min(free_bytes, total_bytes))


def _process_limits(root: Path) -> Iterator[Bound]:
    """Yield the ulimits on address space and data that are set."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    used = _kibibyte_entries(root / "proc/self/status")
    for name, entry in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
        try:
            limit_bytes, _ = resource.getrlimit(getattr(resource, name))
        except (AttributeError, ValueError, OSError):  # a system without that limit
            continue
        if limit_bytes != resource.RLIM_INFINITY and entry in used:
            yield Bound(source=name, total_bytes=limit_bytes, free_bytes=max(0, limit_bytes - used[entry]))


def _kibibyte_entries(path: Path) -> dict[str, int]:
    """Return the "Name:  123 kB" lines of a file in bytes; empty if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = re.findall(r"^(\w+):\s+([0-9]{1,15}) kB$", text, re.MULTILINE)
    return {name: int(kib) << 10 for name, kib in lines}


def _tensorflow_bound() -> Bound | None:
    """Return what is left in TensorFlow's own CPU allocator, if it has a limit."""
    limit_bytes = _tensorflow.host_limit_bytes()
    if limit_bytes is None:
        return None
    statistics = _tensorflow.allocator_statistics("CPU:0")
    used_bytes = 0 if statistics is None else statistics.current_bytes
    return Bound(
        source=DeviceMemory.TENSORFLOW_ON_CPU,
        total_bytes=limit_bytes,
        free_bytes=max(0, limit_bytes - used_bytes),
    )
