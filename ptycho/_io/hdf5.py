"""HDF5 files opened without trust: no way out of the file but to its neighbours, no read larger than what is stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho._io.damage import HDF5_DAMAGE
from ptycho._io.hdf5_filters import refuse_unread_filters
from ptycho._io.hdf5_heaps import CheckedBytes, CheckedFile
from ptycho._io.hdf5_partners import beside, virtual_partner
from ptycho._io.hdf5_types import as_complex, described, plain_type, refuse_odd_type
from ptycho._io.packing import FRAMES
from ptycho._io.regular import refuse_special
from ptycho.errors import DataError

if TYPE_CHECKING:
    import h5py

# Soft links, partner files and virtual sources in a row; rings would go on for ever.
_MAX_HOPS = 16
_MAX_ENTRIES = 20_000
_LISTED_ENTRIES = 30


@contextmanager
def opened_hdf5(source: Path | bytes, name: str) -> Iterator[h5py.File]:
    """Open an HDF5 file, on disk or in memory, called `name` in messages.

    Raises
    ------
    DataError
        It is no HDF5 file, a truncated one, or a pipe or device.
    """
    import h5py

    if isinstance(source, Path):
        refuse_special(source)
    with CheckedBytes(source) if isinstance(source, bytes) else CheckedFile(source) as checked:
        try:
            file = h5py.File(checked, "r")
            checked.length_bytes = file.id.get_create_plist().get_sizes()[1]
        except HDF5_DAMAGE as error:
            raise DataError(
                f"{name} is no HDF5 file, or a damaged one ({error}); copy it again or name another file."
            ) from error
        with file:
            yield file


@contextmanager
def open_hdf5(path: Path, *, neighbours: bool = False) -> Iterator[Hdf5File]:
    """Open an HDF5 file by `opened_hdf5`; with `neighbours`, external links to files beside it are followed."""
    with ExitStack() as stack:
        root = stack.enter_context(opened_hdf5(path, str(path)))
        file = Hdf5File(root, path, stack, neighbours=neighbours)
        yield file
        if file.outlives_its_block:
            file.kept = stack.pop_all()


class Hdf5File:
    """One open HDF5 file of which only what is asked for is looked at; get one from `open_hdf5`.

    Paths may lead over soft links. Whatever lies outside the file is refused by a `DataError`, as is damage.
    """

    def __init__(
        self, root: h5py.File, path: Path, stack: ExitStack, *, neighbours: bool = False, depth: int = 0
    ) -> None:
        self.path, self.name = path, str(path)
        self._root, self._stack, self._neighbours, self._depth = root, stack, neighbours, depth
        self._partners: dict[Path, Hdf5File] = {}
        self._plain: h5py.File | None = None
        self.outlives_its_block, self.kept = False, ExitStack()

    def __contains__(self, path: str) -> bool:
        return self._find(path) is not None

    def is_dataset(self, path: str) -> bool:
        """Tell whether `path` leads to numbers or text."""
        import h5py

        return isinstance(self._find(path), h5py.Dataset)

    def keys(self, path: str = "") -> list[str]:
        """Return the names in the group at `path`; none if it is no group."""
        import h5py

        group = self._find(path)
        if not isinstance(group, h5py.Group):
            return []
        with self._damage_named(path or "the root"):
            n_entries = len(group)
            # What no text can name, only damage or malice writes.
            names = [key for key in group if isinstance(key, str)] if n_entries <= _MAX_ENTRIES else []
        if n_entries > _MAX_ENTRIES:
            raise DataError(
                f"{path or 'the root'} of {self.name} has {n_entries} entries but at most {_MAX_ENTRIES} are "
                "looked through; the file is not read any further."
            )
        return names

    def shape(self, path: str) -> tuple[int, ...] | None:
        """Return the shape of the dataset at `path`, None if there is none."""
        import h5py

        found = self._find(path)
        return found.shape if isinstance(found, h5py.Dataset) else None

    def rows(self, path: str) -> tuple[np.dtype, int]:
        """Return the type of a dataset and how many entries of its first axis lie together in the file."""
        dataset = self._checked(path)
        return plain_type(dataset.dtype), dataset.chunks[0] if dataset.chunks else 1

    def read(self, path: str, start: int | None = None, stop: int | None = None) -> np.ndarray:
        """Return the numbers at `path`, or entries ``start … stop - 1`` of its first axis.

        MATLAB's pairs of real and imaginary parts become complex numbers.
        """
        return self._numbers(self._checked(path), path, start, stop)

    def reader(self, path: str) -> Callable[[int, int], np.ndarray]:
        """Return what reads entries ``start … stop - 1`` of the first axis at `path`, which is looked at once."""
        dataset = self._checked(path)
        return lambda start, stop: self._numbers(dataset, path, start, stop)

    def _numbers(self, dataset: h5py.Dataset, path: str, start: int | None, stop: int | None) -> np.ndarray:
        with self._damage_named(path):
            whole = start is None and stop is None
            values = as_complex(np.asarray(dataset[()] if whole else dataset[start:stop]))
        if values.dtype.kind not in "biufc":
            raise DataError(f"{path} in {self.name} holds texts but numbers are needed; store it so.")
        return values

    def keep(self) -> None:
        """Stay open beyond the block in which it was opened, until nothing refers to it any more."""
        self.outlives_its_block = True

    def attribute(self, path: str, name: str) -> Any:
        """Return an attribute of the object at `path` as h5py gives it; None if there is none."""
        found = self._find(path)
        with self._damage_named(f"attribute {name} of {path or 'the root'}"):
            return None if found is None else found.attrs.get(name)

    def number(self, *paths: str) -> float | None:
        """Return the one finite real number at the first of `paths` that exists: a dataset, or ``group@attribute``."""
        for path in paths:
            value = self._value(path)
            if value is not None:
                flat = np.ravel(value)
                if flat.size != 1 or flat.dtype.kind not in "biuf" or not np.isfinite(flat[0]):
                    raise DataError(
                        f"{path} in {self.name} is {described(flat)} but must be one finite number; mend the file."
                    )
                return float(flat[0])
        return None

    def text(self, *paths: str) -> str | None:
        """Return the one text at the first of `paths` that exists: a dataset, or ``group@attribute``."""
        for path in paths:
            value = self._value(path)
            if value is not None and np.size(value) == 1:
                first = np.ravel(np.asarray(value, dtype=object))[0]
                return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
        return None

    def require(self, paths: Sequence[str]) -> None:
        """Refuse the file, naming what it holds, unless each of `paths` is there."""
        missing = [path for path in paths if path not in self]
        if missing:
            raise DataError(
                f"{self.name} has no {', '.join(missing)}; it holds {self.contents()} and needs {', '.join(paths)}."
            )

    def contents(self) -> str:
        """Return the first datasets of the file with their shapes, for a message."""
        found = [f"{path} {shape}" for path, shape, _ in islice(self.datasets(), _LISTED_ENTRIES + 1)]
        more = ", …" if len(found) > _LISTED_ENTRIES else ""
        return ", ".join(found[:_LISTED_ENTRIES]) + more if found else "nothing"

    def datasets(self) -> Iterator[tuple[str, tuple[int, ...], np.dtype]]:
        """Yield path, shape and type of the datasets that lie in the file itself, not of those that links lead to."""
        import h5py

        for path in self._paths():
            found = None if self._is_link(path) else self._find(path)
            if isinstance(found, h5py.Dataset) and found.shape is not None:
                yield path, found.shape, plain_type(found.dtype)

    def dead_links(self) -> Iterator[tuple[str, str]]:
        """Yield the path of each link that leads nowhere, and where it says it leads.

        What lies in a file beside is looked for only if neighbours are followed; otherwise that file must be there.
        """
        import h5py

        for path in self._paths():
            parent, _, key = path.rpartition("/")
            group = self._find(parent)
            link = group.get(key, getlink=True) if isinstance(group, h5py.Group) else None
            if isinstance(link, h5py.SoftLink) and self._find_or_none(path) is None:
                yield path, str(link.path)
            elif isinstance(link, h5py.ExternalLink) and self._is_dead(link, path):
                yield path, f"{link.path} in {link.filename}"

    def attribute_names(self) -> Iterator[tuple[str, str]]:
        """Yield path and name of the attributes of the root and of the groups of the file."""
        import h5py

        for path in chain([""], self._paths()):
            found = None if path and self._is_link(path) else self._find(path)
            if isinstance(found, h5py.Group):
                with self._damage_named(f"the attributes of {path or 'the root'}"):
                    names = list(found.attrs)
                yield from ((path, name) for name in names if isinstance(name, str))

    def _paths(self) -> Iterator[str]:
        """Yield the paths of all entries of the file, group by group, going over no link."""
        waiting, seen = [""], 0
        while waiting and seen < _MAX_ENTRIES:
            parent = waiting.pop()
            for key in sorted(self.keys(parent)):
                path, seen = f"{parent}/{key}".removeprefix("/"), seen + 1
                yield path
                if path.count("/") < _MAX_HOPS and not self._is_link(path) and self.shape(path) is None:
                    waiting.append(path)

    def _is_dead(self, link: h5py.ExternalLink, path: str) -> bool:
        if not beside(self.path, link.filename).is_file():
            return True
        try:
            return self._neighbours and self._find(path) is None
        except DataError:
            # The file is there but damaged, which is told when it is read.
            return False

    def _find_or_none(self, path: str) -> Any:
        try:
            return self._find(path)
        except DataError:
            return None

    def _value(self, path: str) -> Any:
        group, _, attribute = path.partition("@")
        if attribute:
            return self.attribute(group, attribute)
        if not self.is_dataset(path):
            return None
        dataset = self._checked(path)
        with self._damage_named(path):
            return dataset[()]

    def _is_link(self, path: str) -> bool:
        import h5py

        parent, _, key = path.rpartition("/")
        group = self._find(parent)
        return not isinstance(group, h5py.Group) or not isinstance(
            group.get(key, getlink=True), h5py.HardLink
        )

    def _find(self, path: str, hops: int = 0) -> Any:
        """Return the object at `path`, None if there is none, going over links one by one."""
        import h5py

        if hops > _MAX_HOPS:
            raise DataError(
                f"{path} in {self.name} leads over more than {_MAX_HOPS} links; write the file anew."
            )
        node: Any = self._root
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for index, part in enumerate(parts):
            with self._damage_named(path):
                link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
                rest = parts[index + 1 :]
                if isinstance(link, h5py.HardLink):
                    node = node[part]
            if link is None:
                return None
            if isinstance(link, (h5py.SoftLink, h5py.ExternalLink)) and not isinstance(link.path, str):
                raise DataError(
                    f"{path} in {self.name} is a link to no text; the file is damaged, copy it again."
                )
            if isinstance(link, h5py.SoftLink):
                base = [] if link.path.startswith("/") else parts[:index]
                return self._find("/".join([*base, link.path, *rest]), hops + 1)
            if isinstance(link, h5py.ExternalLink):
                partner = self._partner(link.filename, "/".join(parts[: index + 1]))
                return partner._find("/".join([link.path, *rest]), hops + 1)
        with self._damage_named(path):
            return self._plainly(node) if isinstance(node, h5py.Dataset) and node.is_virtual else node

    def _plainly(self, dataset: h5py.Dataset) -> h5py.Dataset:
        """Return a virtual dataset from the file as the library opens it by itself.

        It opens the sources in the same way as the file, and through Python that would be the file once more.
        """
        import h5py

        if self._plain is None:
            self._plain = self._stack.enter_context(h5py.File(self.path, "r"))
        found = self._plain[str(dataset.name)]
        assert isinstance(found, h5py.Dataset)
        return found

    def _partner(self, filename: str, path: str) -> Hdf5File:
        if not self._neighbours or self._depth >= _MAX_HOPS:
            raise DataError(
                f"{path} in {self.name} is an external link to {filename}, which is not followed; copy what it "
                "leads to into one file."
            )
        partner = beside(self.path, filename)
        if not partner.is_file():
            raise DataError(
                f"{path} in {self.name} is a link to {partner.name}, which is not beside it; copy {partner.name} into "
                f"{self.path.parent.absolute()}."
            )
        if partner not in self._partners:
            root = self._stack.enter_context(opened_hdf5(partner, str(partner)))
            self._partners[partner] = Hdf5File(
                root, partner, self._stack, neighbours=True, depth=self._depth + 1
            )
        return self._partners[partner]

    def _checked(self, path: str) -> h5py.Dataset:
        """Return the dataset at `path` if its numbers are all within reach, of a plain type and no bomb."""
        import h5py

        found = self._find(path)
        if not isinstance(found, h5py.Dataset):
            dead = dict(self.dead_links())
            if path in dead:
                raise DataError(
                    f"{path} in {self.name} is a link to {dead[path]}, which does not exist; write the file anew, or "
                    "name the dataset that is meant."
                )
            raise DataError(f"{self.name} has no dataset {path}; it holds {self.contents()}.")
        with self._damage_named(path):
            refuse_odd_type(found, path, self.name)
            refuse_unread_filters(found, path, self.name)
            self._refuse_unreachable(found, path, 0)
        return found

    def _refuse_unreachable(self, dataset: h5py.Dataset, path: str, depth: int) -> int:
        """Refuse a dataset whose numbers are elsewhere, missing or far more than the file holds; return its bytes."""
        n_bytes = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
        if dataset.external or depth > _MAX_HOPS:
            raise DataError(
                f"{path} in {self.name} keeps its numbers in a file that is not HDF5, which is not read; copy them "
                "into one file."
            )
        stored = (
            self._source_bytes(dataset, path, depth) if dataset.is_virtual else dataset.id.get_storage_size()
        )
        if n_bytes > FRAMES.most(stored):
            raise DataError(
                f"{path} in {self.name} declares {n_bytes} bytes but {stored} are stored; the file is unfinished or "
                "not what it seems, so it is not read."
            )
        return n_bytes

    def _source_bytes(self, dataset: h5py.Dataset, path: str, depth: int) -> int:
        # HDF5 itself reads zeros where a source is missing, and says nothing.
        total = 0
        for source in dataset.virtual_sources():
            if source.file_name == ".":
                total += self._refuse_missing_source(self, source.dset_name, path, depth)
            else:
                with open_hdf5(virtual_partner(self.path, source.file_name, path)) as partner:
                    total += self._refuse_missing_source(partner, source.dset_name, path, depth)
        return total

    def _refuse_missing_source(self, holder: Hdf5File, source: str, path: str, depth: int) -> int:
        import h5py

        found = holder._find(source)
        if not isinstance(found, h5py.Dataset):
            raise DataError(
                f"{path} in {self.name} takes frames from {source} in {holder.name}, which does not exist (they "
                "would read as zeros); write the file anew."
            )
        return holder._refuse_unreachable(found, source, depth + 1)

    @contextmanager
    def _damage_named(self, what: str) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except HDF5_DAMAGE as error:
            raise DataError(
                f"{what} in {self.name} cannot be read ({error}); the file is damaged, copy it again."
            ) from error
