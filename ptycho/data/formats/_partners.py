"""The files beside one that belong to the same scan, told by their common stem."""

from __future__ import annotations

import re
from pathlib import Path

# What a file of a scan is, as the word before or after the common stem says; the most complete first.
_ROLES = ("product", "para", "diffraction", "dp", "master", "frames", "positions")
_SUFFIXES = (".h5", ".hdf5", ".cxi", ".nxs", ".ptyd", ".mat", ".npz", ".npy", ".tif", ".tiff", ".csv", ".txt")
_ROLE_BEFORE = re.compile(rf"^({'|'.join(_ROLES)})(?:[_.\-]|$)", re.IGNORECASE)
_ROLE_AFTER = re.compile(rf"(?:^|[_.\-])({'|'.join(_ROLES)})$", re.IGNORECASE)
_MOST = 20


def partners_of(path: Path) -> list[Path]:
    """Return the files beside `path` with the same stem, apart from a word for their role, likeliest first.

    ``a_dp.h5`` and ``a_para.h5``, ``diffraction.h5`` and ``product.h5``, or ``a.npy`` and ``a.csv`` are partners.
    """
    stem, _ = _stem_and_role(path)
    found = []
    if not path.parent.is_dir():
        # A pattern of files in several folders.
        return []
    for other in path.parent.iterdir():
        other_stem, role = _stem_and_role(other)
        if other_stem == stem and other.name != path.name and other.suffix.lower() in _SUFFIXES:
            order = _ROLES.index(role) if role else len(_ROLES)
            found.append((order, _SUFFIXES.index(other.suffix.lower()), other.name, other))
    return [entry[-1] for entry in sorted(found) if entry[-1].is_file()][:_MOST]


def _stem_and_role(path: Path) -> tuple[str, str | None]:
    stem = path.stem if path.suffix.lower() in _SUFFIXES else path.name
    for pattern in (_ROLE_AFTER, _ROLE_BEFORE):
        if match := pattern.search(stem):
            return stem[: match.start()] + stem[match.end() :], match.group(1).lower()
    return stem, None
