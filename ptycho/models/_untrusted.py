"""Archives, folders and HDF5 files opened without trust: bounded reads, no way out of the file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho._io.damage import HDF5_DAMAGE
from ptycho._io.hdf5 import opened_hdf5
from ptycho._io.hdf5_types import keeps_numbers_elsewhere
from ptycho._io.packing import WEIGHTS
from ptycho._io.regular import open_regular
from ptycho._io.zipped import ZipLimits, ZipMembers, zip_members
from ptycho.errors import DataError

if TYPE_CHECKING:
    import h5py

# The largest network of the family, N = 256 with eight times the filters, and its optimiser's state fit.
MAX_ARCHIVE_BYTES = 4 << 30
MAX_MEMBER_BYTES = 1 << 30
MAX_MEMBERS = 1000
MAX_ENTRIES = 20_000
_LIMITS = ZipLimits("a model", MAX_ARCHIVE_BYTES, MAX_MEMBER_BYTES, MAX_MEMBERS)


class ModelArchive:
    """The members of a zip archive that a model may lie in."""

    def __init__(self, members: ZipMembers) -> None:
        self.name = members.name
        self._members = members
        for name in members.names():
            parts = PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
                raise DataError(
                    f"{self.name} has a member {name!r} that leads out of the archive; it is not opened."
                )

    def names(self) -> list[str]:
        """Return the names of all members."""
        return self._members.names()

    def read(self, member: str) -> bytes:
        """Return the bytes of `member`, never more than it declares."""
        return self._members.read(member, WEIGHTS)


class FolderMembers:
    """The files in a folder and below it, read like the members of an archive that was unpacked there."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder
        self._members = {path.relative_to(folder).as_posix(): path for path in _files_below(folder)}

    def names(self) -> list[str]:
        """Return the paths of all files, relative to the folder, with slashes."""
        return list(self._members)

    def read(self, member: str) -> bytes:
        """Return the bytes of `member`."""
        try:
            size = self._members[member].stat().st_size
            if size > MAX_MEMBER_BYTES:
                raise DataError(
                    f"{member} in {self.name} has {size} bytes but a model has at most {MAX_MEMBER_BYTES}; it is "
                    "not what it seems, so it is not read."
                )
            with self._members[member].open("rb") as stream:
                return stream.read(size)
        except (OSError, KeyError) as error:
            raise DataError(
                f"{member} in {self.name} cannot be read ({error}); check the folder, or name another."
            ) from error


Members = ModelArchive | FolderMembers


def _files_below(folder: Path) -> list[Path]:
    files = [path for path in itertools.islice(folder.rglob("*"), MAX_ENTRIES) if path.is_file()]
    return sorted(files)


@contextmanager
def open_zip(contents: Path | bytes, name: str) -> Iterator[ModelArchive]:
    """Open a zip archive, on disk or in memory, called `name` in messages.

    Raises
    ------
    DataError
        It is no zip archive, truncated, or declares sizes or names that no model has.
    """
    with (
        BytesIO(contents) if isinstance(contents, bytes) else open_regular(contents) as file,
        zip_members(file, name, kind="a zip", limits=_LIMITS) as members,
    ):
        yield ModelArchive(members)


class Numbers:
    """Named arrays in a file of `n_bytes` called `name` in messages; each belongs to a layer of a network."""

    def __init__(self, name: str, n_bytes: int) -> None:
        self.name, self.n_bytes = name, n_bytes

    def paths(self) -> list[str]:
        """Return the paths of all arrays."""
        raise NotImplementedError

    def _declared(self, path: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return shape and type of the array at `path`, which is there."""
        raise NotImplementedError

    def _values(self, path: str) -> Any:
        raise NotImplementedError

    def shape(self, path: str, layer: str) -> tuple[int, ...]:
        """Return the shape of the array at `path`, which belongs to `layer`."""
        self._refuse_missing(path, layer)
        return self._declared(path)[0]

    def check(self, path: str, shape: tuple[int, ...], layer: str) -> int:
        """Refuse any but floating-point numbers of `shape` at `path`; return the bytes that they take."""
        self._refuse_missing(path, layer)
        found, dtype = self._declared(path)
        if found != shape or dtype.kind != "f":
            raise DataError(
                f"layer {layer} in {self.name} has weights {dtype} of shape {found} at {path} "
                f"but this network takes float32 of shape {shape}; description and weights are not of one model, "
                "so name another file."
            )
        return math.prod(shape) * dtype.itemsize

    def read(self, path: str, layer: str) -> np.ndarray:
        """Return the array at `path` as float32; refuse numbers that are not finite."""
        self._refuse_missing(path, layer)
        try:
            values = np.asarray(self._values(path), np.float32)
        except HDF5_DAMAGE as error:
            raise self._damaged(path, error) from error
        if not np.isfinite(values).all():
            raise DataError(f"layer {layer} in {self.name} has NaN or infinite weights; train it anew.")
        return values

    def _refuse_missing(self, path: str, layer: str) -> None:
        if path not in self.paths():
            raise DataError(
                f"layer {layer} has no weights in {self.name} ({path} is missing); copy the file again."
            )

    def _damaged(self, what: str, error: Exception) -> DataError:
        return DataError(
            f"{what} in {self.name} cannot be read ({error}); the file is damaged, copy it again."
        )


class Hdf5Numbers(Numbers):
    """The datasets and attributes of one HDF5 file of `n_bytes` in which every link has been checked."""

    def __init__(self, file: h5py.File, name: str, n_bytes: int) -> None:
        super().__init__(name, n_bytes)
        self._datasets, self._groups = _everything_in(file, name)

    def paths(self) -> list[str]:
        """Return the paths of all datasets."""
        return list(self._datasets)

    def texts(self, group: str, attribute: str) -> list[str]:
        """Return an attribute that is one text or a list of texts; empty if there is none."""
        found = self._groups.get(group)
        try:
            value = None if found is None else found.attrs.get(attribute)
        except HDF5_DAMAGE as error:
            raise self._damaged(f"attribute {attribute}", error) from error
        values = [] if value is None else np.ravel(np.asarray(value, dtype=object)).tolist()
        return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in values]

    def _declared(self, path: str) -> tuple[tuple[int, ...], np.dtype]:
        shape = self._datasets[path].shape
        if shape is None:
            raise DataError(
                f"{path} in {self.name} holds nothing but must hold numbers; copy the file again."
            )
        return shape, self._datasets[path].dtype

    def _values(self, path: str) -> Any:
        return self._datasets[path][()]


@contextmanager
def open_hdf5(contents: Path | bytes, name: str) -> Iterator[Hdf5Numbers]:
    """Open an HDF5 file, on disk or in memory, called `name` in messages.

    Raises
    ------
    DataError
        It is no HDF5 file, truncated, or links to something outside itself.
    """
    with opened_hdf5(contents, name) as file:
        n_bytes = len(contents) if isinstance(contents, bytes) else contents.stat().st_size
        yield Hdf5Numbers(file, name, n_bytes)


def _everything_in(file: h5py.File, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return datasets and groups by path; refuse any link or storage that is not plainly in the file."""
    import h5py

    datasets: dict[str, Any] = {}
    groups: dict[str, Any] = {"": file}
    waiting, seen = [""], set()
    try:
        while waiting:
            parent = waiting.pop()
            for key in groups[parent]:
                path = f"{parent}/{key}".removeprefix("/")
                if len(datasets) + len(groups) > MAX_ENTRIES:
                    raise DataError(
                        f"{name} has more than {MAX_ENTRIES} entries, which no trained model has; the file is "
                        "not read any further."
                    )
                _refuse_way_out(groups[parent].get(key, getlink=True), path, name)
                child = groups[parent][key]
                address = h5py.h5o.get_info(child.id).addr  # pyright: ignore[reportAttributeAccessIssue]
                if isinstance(child, h5py.Dataset):
                    _refuse_outside_storage(child, path, name)
                    datasets[path] = child
                elif isinstance(child, h5py.Group) and address not in seen:
                    # Hard links may form a ring.
                    seen.add(address)
                    groups[path] = child
                    waiting.append(path)
    except DataError:
        raise
    except HDF5_DAMAGE as error:
        raise DataError(f"{name} cannot be read ({error}); the file is damaged, copy it again.") from error
    return datasets, groups


def _refuse_way_out(link: Any, path: str, name: str) -> None:
    import h5py

    if not isinstance(link, h5py.HardLink):
        kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a symbolic link"
        raise DataError(
            f"{path} in {name} is {kind}, which no trained model has; the file is not read any further."
        )


def _refuse_outside_storage(dataset: h5py.Dataset, path: str, name: str) -> None:
    if keeps_numbers_elsewhere(dataset):
        raise DataError(
            f"{path} in {name} keeps its numbers in another file, which no trained model does; "
            "the file is not read any further."
        )
