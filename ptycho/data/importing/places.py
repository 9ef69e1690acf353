"""Places ``FILE[:DATASET]``, and the arrays and frames that lie there."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.archive import Archive
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._containers import NpyFile, TextTable, contents_of, open_container
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._series import FrameSeries, is_series
from ptycho.data.formats._tiff import TiffStack
from ptycho.data.formats.frame_array import bare_frames
from ptycho.errors import DataError

STEM = "{stem}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """Numbers of a file: their name for messages, their values, and the unit that the file gives them."""

    name: str
    values: np.ndarray
    unit: str | None = None
    names: tuple[str, ...] = ()


def split_place(text: str, folder: Path | None = None) -> tuple[Path | None, str | None]:
    """Return file and dataset of a place; no file if none of that name is there, or it is ``:DATASET``.

    A folder, or a pattern that files match, is a file here.
    """
    base = Path() if folder is None else folder
    if text.startswith(":"):
        return None, text[1:]
    if _is_there(base / text):
        return base / text, None
    left, _, right = text.rpartition(":")
    if left and right and _is_there(base / left):
        return base / left, right
    return None, None


def _is_there(path: Path) -> bool:
    return path.is_file() or is_series(path)


def file_of_place(text: str, scan: Path | None) -> Path | None:
    """Return the file that a place names, None if it is a dataset of the scan's own file."""
    if STEM not in text:
        return split_place(text)[0]
    return None if scan is None else split_place(text.replace(STEM, scan.stem), scan.parent)[0]


def relative_place(text: str, scan: Path | None) -> str:
    """Return a place so that it fits other scans too: see `write_recipe`."""
    file, dataset = split_place(text)
    if file is None or scan is None:
        return text
    tail = "" if dataset is None else f":{dataset}"
    if file.resolve() == scan.resolve():
        return tail or STEM + scan.suffix
    if file.resolve().parent == scan.resolve().parent and file.name.startswith(scan.stem):
        return STEM + file.name.removeprefix(scan.stem) + tail
    return f"{file.resolve()}{tail}"


class Sources:
    """The files that places of one import lie in, each opened once; `source` is the scan's own."""

    def __init__(self, source: Path, stack: ExitStack) -> None:
        self.source = source
        self._stack = stack
        self._open: dict[Path, Any] = {}
        self._frames: dict[str, FrameStack] = {}

    def container(self, path: Path) -> Any:
        """Open a file, following its links to files beside it."""
        if path not in self._open:
            self._open[path] = self._stack.enter_context(open_container(path, neighbours=True))
        return self._open[path]

    def place(self, text: str, flag: str) -> tuple[Any, str | None]:
        """Return the open container that a place names, and the dataset in it."""
        named = text
        folder = None
        if STEM in text:
            named, folder = text.replace(STEM, self.source.stem), self.source.parent
        file, dataset = split_place(named, folder)
        if file is not None:
            return self.container(file), dataset
        if dataset is None and ":" in named:
            raise DataError(f"{flag} names {named}, but there is no such file; check the path.")
        inside = named if dataset is None else dataset
        container = self.container(self.source)
        if not _holds(container, inside):
            dead = dict(container.dead_links()).get(inside) if isinstance(container, Hdf5File) else None
            if dead is not None:
                raise DataError(
                    f"{flag} names {named}, which in {self.source.name} is a link to {dead}, which does not exist; "
                    f"copy what it leads to into the file, or name another dataset by {flag} FILE:DATASET."
                )
            raise DataError(
                f"{flag} names {named}, which is neither a file nor a dataset of {self.source.name}, which holds "
                f"{contents_of(container)}; pass {flag} FILE:DATASET."
            )
        return container, inside

    def array(self, text: str, flag: str) -> Found:
        """Return the numbers at a place."""
        return read_array(*self.place(text, flag), flag)

    def frames(self, text: str, flag: str) -> FrameStack:
        """Return the frames at a place, read when they are used."""
        if text not in self._frames:
            self._frames[text] = self._found_frames(text, flag)
        return self._frames[text]

    def _found_frames(self, text: str, flag: str) -> FrameStack:
        container, dataset = self.place(text, flag)
        if isinstance(container, (NpyFile, TiffStack, FrameSeries)):
            return bare_frames(container, dataset)
        if isinstance(container, Hdf5File):
            from ptycho.data.importing.guessing import guess_frames

            dataset = dataset or guess_frames(container, self.source)
            if dataset is None:
                raise _asks_for_dataset(container, flag)
            return FrameStack.of_hdf5(container, dataset)
        found = read_array(container, dataset, flag)
        return FrameStack.of_array(found.name, found.values)


def read_array(container: Any, dataset: str | None, flag: str) -> Found:
    """Return the numbers of a dataset, which must be named unless the file has one array only."""
    if isinstance(container, NpyFile):
        return Found(name=container.name, values=container.array)
    if isinstance(container, TiffStack):
        return Found(name=container.name, values=container.read())
    if isinstance(container, FrameSeries):
        raise DataError(f"{flag} names {container.name}, {container.keys[0]}; name one file.")
    if isinstance(container, TextTable):
        if dataset is None:
            return Found(name=container.name, values=container.rows, names=container.names)
        column = container.column(dataset)
        return Found(name=f"{dataset} in {container.name}", values=container.rows[:, column])
    if dataset is None:
        (dataset,) = _only_key(container, flag)
    name = f"{dataset} in {container.name}"
    if isinstance(container, Hdf5File):
        unit = container.text(f"{dataset}@units", f"{dataset}@unit")
        return Found(name=name, values=container.read(dataset), unit=unit)
    if isinstance(container, Archive):
        return Found(name=name, values=container.read(dataset))
    return Found(name=name, values=container.read(dataset))


def _holds(container: Any, dataset: str) -> bool:
    if isinstance(container, TextTable):
        return dataset in container.names or dataset.isdecimal()
    has_names = not isinstance(container, (NpyFile, TiffStack, FrameSeries))
    return has_names and dataset in container


def _only_key(container: Any, flag: str) -> list[str]:
    keys = (
        [path for path, _, _ in container.datasets()]
        if isinstance(container, Hdf5File)
        else list(container.keys)
    )
    if len(keys) != 1:
        raise _asks_for_dataset(container, flag)
    return keys


def _asks_for_dataset(container: Any, flag: str) -> DataError:
    return DataError(
        f"{flag} names {container.name}, which holds {contents_of(container)}; say which by {flag} FILE:DATASET."
    )
