"""Whether this package has its import name to itself: PtychoPINN's package is called `ptycho` too.

pip lets two distributions write into one package folder, the later over the earlier, and removes the files of both
when it removes one. What is installed is read from its folders of metadata (PEP 376, PEP 627) as
`importlib.metadata` finds them, but without it: its import alone takes longer than all that is done here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ptycho.cli._errors import UsageError

_PACKAGE = "ptycho"
_OURS = "ptycho_autobatch"
_FEW = 3


@dataclass(frozen=True)
class Neighbours:
    """Who else is in the package folder, or has a package of its name.

    Attributes
    ----------
    owners : tuple of str
        Other distributions with a package called `ptycho`.
    foreign : tuple of str
        Python files in the package folder that this distribution did not bring.
    damaged : tuple of str
        Python files that it brought and that are gone or of another size.
    """

    owners: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    def check(self) -> str | None:
        """Return a warning if there is somebody else, None if not.

        Raises
        ------
        UsageError
            Files of this program are gone or replaced: nothing that it computed could be believed.
        """
        whose = ", ".join(self.owners) or "PtychoPINN"
        if self.damaged:
            raise UsageError(
                f"{_few(self.damaged)} of this program was removed or replaced, as when {whose}, which has the same "
                f"import name {_PACKAGE}, is installed over it or removed beside it; make an environment of its own "
                "with python -m venv and install ptycho-autobatch there anew."
            )
        if self.owners or self.foreign:
            found = f" ({_few(self.foreign)})" if self.foreign else ""
            return (
                f"{whose}{found} has the import name {_PACKAGE} too; whichever is installed or removed next breaks "
                "the other, so keep each in an environment of its own"
            )
        return None


def find_neighbours(folder: Path, search_path: Iterable[str]) -> Neighbours:
    """Look for others in the package `folder` and on the `search_path` of imports.

    What this distribution brought is known where it was installed by copying; in a checkout, nothing is foreign.
    """
    owners = [
        name for name, metadata in _distributions(search_path) if name != _OURS and _has_package(metadata)
    ]
    ours = next((metadata for name, metadata in _distributions([str(folder.parent)]) if name == _OURS), None)
    recorded = {} if ours is None else dict(_recorded(ours))
    if not recorded:
        return Neighbours(tuple(owners))
    there = dict(_python_files(folder))
    return Neighbours(
        tuple(owners),
        foreign=tuple(sorted(there.keys() - recorded.keys())),
        damaged=tuple(sorted(name for name, size in recorded.items() if there.get(name) != size)),
    )


def check_import_name() -> str | None:
    """Return what to warn of about this installation, None if it is alone; see `Neighbours.check`."""
    return find_neighbours(Path(__file__).parents[1], sys.path).check()


def _distributions(search_path: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Give name and folder of metadata of each distribution that was installed."""
    for place in dict.fromkeys(search_path):
        try:
            entries = [entry for entry in os.scandir(place or ".") if entry.name.endswith(".dist-info")]
        except OSError:  # a zip file, or a folder that is not there
            continue
        for entry in entries:
            yield entry.name.partition("-")[0].lower().replace(".", "_"), Path(entry.path)


def _has_package(metadata: Path) -> bool:
    """Whether a distribution has our package; by its list of packages, or else by its list of files."""
    listed = _text(metadata / "top_level.txt")
    if listed is not None:
        return _PACKAGE in listed.split()
    return f"\n{_PACKAGE}/" in "\n" + (_text(metadata / "RECORD") or "")


def _recorded(metadata: Path) -> Iterator[tuple[str, int]]:
    """Give each Python file of our package that was installed, with its size in bytes."""
    for line in (_text(metadata / "RECORD") or "").splitlines():
        path, _, size = [*line.split(","), "", ""][:3]
        if path.startswith(f"{_PACKAGE}/") and path.endswith(".py") and size.isdecimal():
            yield path, int(size)


def _python_files(folder: Path) -> Iterator[tuple[str, int]]:
    for place, _, names in os.walk(folder):
        if os.path.basename(place) == "__pycache__":
            continue
        inside = Path(_PACKAGE, os.path.relpath(place, folder)).as_posix()
        for name in names:
            if name.endswith(".py"):
                yield f"{inside}/{name}", os.stat(os.path.join(place, name)).st_size


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
