"""Memory limits of the control groups that this process is in: v1, v2 and both at once.

Layout after the kernel's ``Documentation/admin-guide/cgroup-v1/memory.rst`` and ``cgroup-v2.rst``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_logger = logging.getLogger(__name__)

# v1 writes "no limit" as the largest page-aligned 63-bit number, which depends on the page size.
_NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One limit on what this process can still allocate.

    Attributes
    ----------
    source : str
        Which limit it is.
    total_bytes : int
        The limit.
    free_bytes : int
        What is left of it, with the page cache that the kernel would give back.
    """

    source: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, kw_only=True)
class _Version:
    """File names of one version of the interface; the first limit is hard, a second one soft."""

    name: str
    limits: tuple[str, ...]
    usage: str
    reclaimable: tuple[str, ...]


_V1 = _Version(
    name="cgroup v1",
    limits=("memory.limit_in_bytes",),
    usage="memory.usage_in_bytes",
    reclaimable=("total_inactive_file", "total_active_file"),
)
_V2 = _Version(
    name="cgroup v2",
    limits=("memory.max", "memory.high"),
    usage="memory.current",
    reclaimable=("inactive_file", "active_file", "slab_reclaimable"),
)


def bounds(root: Path, notes: list[str]) -> list[Bound]:
    """Return the limit of every group from this process's own up to the topmost visible one.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are found.
    notes : list of str
        Receives a line for each limit that exists but cannot be read.
    """
    memberships = _read(root / "proc/self/cgroup", notes)
    mounts = _read(root / "proc/self/mountinfo", notes)
    if memberships is None or mounts is None:
        return []
    found: list[Bound] = []
    for version, group in _memberships(memberships):
        for folder, name in _folders(root, mounts, version, group):
            found.extend(_bounds_of_group(folder, name, version, notes))
    return found


def _memberships(text: str) -> Iterator[tuple[_Version, PurePosixPath]]:
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) != 3 or not fields[2].startswith("/"):
            continue
        _, controllers, group = fields
        if controllers == "":
            yield _V2, PurePosixPath(group)
        elif "memory" in controllers.split(","):
            yield _V1, PurePosixPath(group)


def _folders(
    root: Path, mounts: str, version: _Version, group: PurePosixPath
) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the folder of the group and of each ancestor below the mount point, with their names.

    The tree may be mounted several times, each time in whole or in part. Every mount that shows the group is
    read, for each limit above the group holds. Where none shows it, as in a container that is told its path
    on the host, the first one is taken for the container's own tree.
    """
    found = list(_mounts(mounts, version))
    showing = [mount for mount in found if group.is_relative_to(mount[0]) and ".." not in group.parts]
    for mounted_group, mount_point in showing or found[:1]:
        below = group.relative_to(mounted_group) if showing else PurePosixPath()
        for part in (below, *below.parents):
            yield root / mount_point.lstrip("/") / part, PurePosixPath("/") / part


def _mounts(text: str, version: _Version) -> Iterator[tuple[PurePosixPath, str]]:
    """Yield which group is mounted where; of several mounts at one place the last hides the others."""
    by_place: dict[str, PurePosixPath] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, filesystem = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(filesystem) < 3:
            continue
        is_v1 = filesystem[0] == "cgroup" and "memory" in filesystem[2].split(",")
        if (filesystem[0] == "cgroup2") if version is _V2 else is_v1:
            by_place[_unescaped(fields[4])] = PurePosixPath(_unescaped(fields[3]))
    yield from ((group, place) for place, group in by_place.items())


def _unescaped(field: str) -> str:
    """Undo the octal escapes of mountinfo: a space is written as ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _bounds_of_group(
    folder: Path, name: PurePosixPath, version: _Version, notes: list[str]
) -> Iterator[Bound]:
    for file_name in version.limits:
        limit_bytes = _number(_read(folder / file_name, notes))
        usage_bytes = None if limit_bytes is None else _number(_read(folder / version.usage, notes))
        if limit_bytes is None or usage_bytes is None:
            continue
        cache_bytes = _reclaimable(_read(folder / "memory.stat", notes), version)
        left_bytes = limit_bytes - usage_bytes + min(cache_bytes, usage_bytes)
        yield Bound(
            source=f"{version.name} {file_name} of {name}",
            total_bytes=limit_bytes,
            free_bytes=max(0, left_bytes),
        )


def _reclaimable(text: str | None, version: _Version) -> int:
    entries = dict(line.split(" ", 1) for line in (text or "").splitlines() if " " in line)
    return sum(_number(entries.get(name)) or 0 for name in version.reclaimable)


def _number(text: str | None) -> int | None:
    """Return a count of bytes, or None for "max", the v1 sentinel and what is no number."""
    stripped = (text or "").strip()
    if re.fullmatch("[0-9]{1,20}", stripped) is None:
        return None
    value = int(stripped)
    return value if value < _NO_LIMIT_BYTES else None


def _read(path: Path, notes: list[str]) -> str | None:
    """Return the text of a file; None if there is none, with a note if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        reason = getattr(error, "strerror", None) or error
        notes.append(f"{path!s} cannot be read ({reason}); its limit is not known")
        _logger.debug("%s", notes[-1])
        return None
