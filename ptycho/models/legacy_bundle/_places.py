"""Where in a folder PtychoPINN's models are."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ptycho._io.damage import HDF5_DAMAGE
from ptycho.errors import DataError
from ptycho.models._untrusted import MAX_ENTRIES, open_zip
from ptycho.models.legacy_bundle._containers import (
    HDF5_SIGNATURE,
    METADATA,
    NETWORK,
    PROGRAM,
    TORCH_SUFFIXES,
    ZIP_SIGNATURE,
)
from ptycho.models.networks import ModelKind

BUNDLE, BASELINE = "wts.h5.zip", "baseline_model.h5"
_SUFFIXES = (".zip", ".keras", *TORCH_SUFFIXES)
# The roots of Keras 2's and 3's weights.
_KERAS_GROUPS = {"model_weights", "layers", "_layer_checkpoint_dependencies", "top_level_model_weights"}
# How sure a name makes of what is inside: PtychoPINN's own, an unpacked bundle, any other, no network of Keras.
_OWN, _UNPACKED, _OTHER, _TORCH = range(4)


@dataclass(frozen=True)
class _Place:
    path: Path
    role: ModelKind
    rank: int


def is_model_file(file: Path) -> bool:
    """Return whether `file` may hold a model, by its name or, under any other, by its content."""
    if file.name.endswith((".h5", ".hdf5")):
        # Scans and reconstructions of other packages have these names too; a damaged one is told as a model's.
        return _may_be_of_keras(file)
    if file.name.endswith(_SUFFIXES) or file.name in (METADATA, PROGRAM):
        return True
    with file.open("rb") as stream:
        signature = stream.read(len(HDF5_SIGNATURE))
    if signature.startswith(ZIP_SIGNATURE):
        return _holds_network(file)
    return signature == HDF5_SIGNATURE and _may_be_of_keras(file, if_damaged=False)


def _holds_network(file: Path) -> bool:
    """Return whether the archive lists a member of PtychoPINN's or of Keras'; False if it is damaged."""
    try:
        with open_zip(file, str(file)) as archive:
            names = archive.names()
    except (DataError, OSError):
        return False
    return "model.weights.h5" in names or any(f"{NETWORK}/" in name for name in names)


def _may_be_of_keras(file: Path, *, if_damaged: bool = True) -> bool:
    """Return whether an HDF5 file has what Keras writes: a description, or weights without one."""
    import h5py

    try:
        with h5py.File(file) as opened:
            return "model_config" in opened.attrs or not _KERAS_GROUPS.isdisjoint(opened)
    except HDF5_DAMAGE:
        return if_damaged


def models_in(folder: Path) -> list[Path]:
    """Return the files and SavedModel folders in `folder` and below it, the surest first."""
    return [place.path for place in sorted(_places(folder), key=lambda place: (place.rank, place.path))]


def chosen_model(path: Path, role: ModelKind | None) -> Path:
    """Return the one file or SavedModel folder that `path` names, of `role` if it is a folder that holds both.

    Raises
    ------
    FileNotFoundError, DataError
        There is none, or more than one.
    """
    if path.is_file():
        return path.parent if path.name in (METADATA, PROGRAM) else path
    if not path.is_dir():
        raise FileNotFoundError(f"{path} does not exist; name {BUNDLE}, {BASELINE} or a folder with one.")
    places = _places(path)
    # PtychoPINN itself takes a bundle for a baseline where no file is called one.
    places = [place for place in places if place.role == role] or places
    surest = min((place.rank for place in places), default=_OWN)
    places = [place for place in places if place.rank == surest]
    if len({place.role for place in places}) == 1:
        places = [place for place in places if place.path.parent == path] or places
    if not places:
        raise DataError(f"{path} holds neither {BUNDLE} nor {BASELINE}; name the folder of a training run.")
    if len(places) > 1:
        inside = sorted((place.path.relative_to(path) for place in places), key=lambda file: len(file.parts))
        found = ", ".join(map(str, inside))
        raise DataError(
            f"{path} holds {len(places)} models ({found}) but one is needed; name the file itself."
        )
    return places[0].path


def _places(folder: Path) -> list[_Place]:
    if not folder.is_dir():
        return []
    files = list(itertools.islice(_files_below(folder), MAX_ENTRIES + 1))
    if len(files) > MAX_ENTRIES:
        raise DataError(f"{folder} holds more than {MAX_ENTRIES} files; name the folder of one training run.")
    places = [place for file in sorted(files) if (place := _place(file, folder)) is not None]
    # A SavedModel has more than one file.
    return list({place.path: place for place in places}.values())


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in `folder` and below it, not those in hidden folders: environments and caches."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent) / name for name in files)


def _place(file: Path, folder: Path) -> _Place | None:
    """Return what `file` below `folder` is by its name and that of its folder; None if it is no model."""
    parent = file.parent
    if parent.name.endswith("autoencoder") or not file.is_file():
        return None
    named: ModelKind = "baseline" if "baseline" in file.name.lower() else "pinn"
    if file.name in (METADATA, PROGRAM):
        inside = parent == folder or parent.name.endswith(NETWORK)
        return _Place(parent, "pinn", _UNPACKED) if inside else None
    if file.name in (BUNDLE, BASELINE):
        return _Place(file, named, _OWN)
    if file.name == "model.keras" and parent.name == NETWORK:
        return _Place(file, "pinn", _UNPACKED)
    # Any other .pth may be a list of paths of Python's.
    if file.name.endswith(".ckpt") or (file.suffix in TORCH_SUFFIXES and parent.name == NETWORK):
        return _Place(file, "pinn", _TORCH)
    is_baseline = named == "baseline" and file.name.endswith((".h5", ".hdf5"))
    is_bundle = file.name.endswith(".zip") and _holds_network(file)
    return _Place(file, named, _OTHER) if file.name.endswith(".keras") or is_baseline or is_bundle else None
