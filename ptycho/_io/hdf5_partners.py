"""The files that HDF5 links and virtual datasets lead to: none but those beside the file."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from ptycho.errors import DataError


def beside(file: Path, filename: str) -> Path:
    """Return the one file that a link or virtual source of `file` may mean: beside it, under its own name.

    Its folder is that of the machine that wrote the file, and says nothing here.
    """
    return file.parent / PureWindowsPath(str(filename)).name


def virtual_partner(file: Path, filename: str, path: str) -> Path:
    """Return the file beside `file` that its dataset `path` takes frames from.

    HDF5 itself looks for them where the source says, and beside the file only for one without a folder or whose
    absolute path leads nowhere. Where it finds none it reads zeros, and says nothing.

    Raises
    ------
    DataError
        There is no such file, or HDF5 would take the frames from elsewhere.
    """
    partner, looked_for = beside(file, filename), _looked_for(file, Path(filename))
    source = f"{path} in {file} takes frames from {filename}, which is not a file beside it"
    if looked_for != partner and not _are_one_file(looked_for, partner):
        raise DataError(
            f"{source} (HDF5 looks for {looked_for}, and reads zeros if there is none); write the file anew with the "
            "frames in it."
        )
    if not partner.is_file():
        raise DataError(
            f"{source} (they would read as zeros); copy {partner.name} into {file.parent.absolute()}."
        )
    return partner


def _looked_for(file: Path, written: Path) -> Path:
    if written.is_absolute() and not written.exists():
        return file.parent / written.name
    return file.parent / written


def _are_one_file(first: Path, second: Path) -> bool:
    return first.is_file() and second.is_file() and first.samefile(second)
