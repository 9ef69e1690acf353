"""A control group with a limit on everything that its processes have in memory, and what the kernel counted in it.

Linux alone has them, and not every user may make one: as root, or in a session of systemd that was delegated
(``systemd-run --user --scope``), it works; in most containers it does not.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autobatch import _cgroup


@dataclass(frozen=True, kw_only=True)
class _Files:
    """Where a version of the interface keeps the limit, the swap's part in it, and its counts."""

    limit: str
    swap: str
    swap_limit_is_total: bool
    peak: str
    kills: str


_FILES = {
    _cgroup._V1: _Files(
        limit="memory.limit_in_bytes",
        swap="memory.memsw.limit_in_bytes",
        swap_limit_is_total=True,
        peak="memory.max_usage_in_bytes",
        kills="memory.oom_control",
    ),
    # memory.peak is there since Linux 5.19.
    _cgroup._V2: _Files(
        limit="memory.max",
        swap="memory.swap.max",
        swap_limit_is_total=False,
        peak="memory.peak",
        kills="memory.events",
    ),
}


@dataclass(frozen=True, kw_only=True)
class ControlGroup:
    """A group that exists; `join` is for the ``preexec_fn`` of a subprocess."""

    folder: Path
    limit_bytes: int
    version: _cgroup._Version

    def join(self) -> None:
        """Move this process, and what it starts from now on, into the group."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def account(self) -> str:
        """Return the limit and what the kernel counted, a line each, by the names of the files."""
        files = _FILES[self.version]
        swap = f" and {files.swap}" if (self.folder / files.swap).exists() else ""
        kills = re.search(r"^oom_kill (\d+)$", (self.folder / files.kills).read_text(), re.MULTILINE)
        peak = self.folder / files.peak
        return (
            f"{self.version.name} {files.limit}{swap}: {_mebibytes(self.limit_bytes)}\n"
            f"{files.peak}: {_mebibytes(int(peak.read_text())) if peak.exists() else 'not counted by this kernel'}\n"
            f"{files.kills}: oom_kill {kills[1] if kills else 'not counted by this kernel'}\n"
        )


@contextmanager
def control_group(name: str, *, limit_bytes: int) -> Iterator[ControlGroup]:
    """Make a group as near to the root as this process may, and remove it afterwards; OSError if it may nowhere."""
    refusals: list[str] = []
    for version, parent in _parents(Path("/")):
        folder = parent / name
        try:
            folder.mkdir()
        except OSError as error:
            refusals.append(f"{parent}: {error.strerror}")
            continue
        try:
            refusal = _refusal_of_limit(folder, _FILES[version], limit_bytes)
            if refusal is None:
                yield ControlGroup(folder=folder, limit_bytes=limit_bytes, version=version)
                return
            refusals.append(f"{parent}: {refusal}")
        finally:
            folder.rmdir()
    raise OSError(
        f"no control group with a memory limit can be made here ({'; '.join(refusals) or 'none is mounted'}); "
        "run this as root, or in a session of systemd's own by systemd-run --user --scope"
    )


def _parents(root: Path) -> Iterator[tuple[_cgroup._Version, Path]]:
    """Yield the groups that this process is in, the topmost first: a group may lie below any of them."""
    notes: list[str] = []
    memberships = _cgroup._read(root / "proc/self/cgroup", notes) or ""
    mounts = _cgroup._read(root / "proc/self/mountinfo", notes) or ""
    for version, group in _cgroup._memberships(memberships):
        folders: list[tuple[Path, PurePosixPath]] = list(_cgroup._folders(root, mounts, version, group))
        for folder, _ in reversed(folders):
            yield version, folder


def _refusal_of_limit(folder: Path, files: _Files, limit_bytes: int) -> str | None:
    """Set the limit and let a process join and end; return what stood against it."""
    if not (folder / files.limit).exists():
        return f"its groups have no {files.limit}"
    try:
        (folder / files.limit).write_text(str(limit_bytes))
        if (folder / files.swap).exists():
            (folder / files.swap).write_text(str(limit_bytes if files.swap_limit_is_total else 0))
    except OSError as error:
        return f"{error.strerror} for {files.limit}"
    joined = subprocess.run(
        ["sh", "-c", 'echo $$ > "$0"', folder / "cgroup.procs"], capture_output=True, text=True, check=False
    )
    return None if joined.returncode == 0 else f"no process may be moved into it: {joined.stderr.strip()}"


def _mebibytes(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 20):.0f} MiB"
