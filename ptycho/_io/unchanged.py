"""Files that must stay as they are while they are used, and whether they did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

# Of a folder with more files than this, such as a whole disk, only so many are watched.
_MOST_FILES = 10_000


@dataclass(frozen=True)
class Snapshot:
    """Size and time of change of files at one moment.

    Attributes
    ----------
    files : mapping of Path to (int, int)
        Bytes, and nanoseconds since the epoch.
    """

    files: Mapping[Path, tuple[int, int]]

    @classmethod
    def of(cls, paths: Iterable[Path], *, but: Path | None = None) -> Snapshot:
        """Look at files, and at those in folders, that exist.

        Parameters
        ----------
        paths : iterable of Path
        but : Path, optional
            A folder whose files are left out, for they are to be written.
        """
        left_out = None if but is None else but.resolve()
        found = {}
        for path in paths:
            for file in _files_of(path):
                state = _state(file)
                if state is not None and (left_out is None or left_out not in file.resolve().parents):
                    found[file] = state
        return cls(found)

    def changes(self) -> dict[Path, str]:
        """Return the files that are no longer as they were, and how each has changed, in words."""
        found = {}
        for file, (size, time_ns) in self.files.items():
            now = _state(file)
            if now is None:
                found[file] = "is gone"
            elif now[0] != size:
                found[file] = f"had {size} bytes and has {now[0]}"
            elif now[1] != time_ns:
                found[file] = f"was written again (its {size} bytes may be others)"
        return found


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from islice((file for file in sorted(path.rglob("*")) if file.is_file()), _MOST_FILES)
    else:
        yield path


def _state(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
