"""Compression of HDF5 datasets that h5py alone cannot undo."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ptycho.errors import DataError

if TYPE_CHECKING:
    import h5py

# Filters of other packages, by their registered number.
_FILTERS = {
    32001: "blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "zstd",
    32017: "SZ",
    32026: "blosc2",
}


def refuse_unread_filters(dataset: h5py.Dataset, path: str, name: str) -> None:
    """Refuse a dataset that is compressed by what is not installed, and name the cure."""
    unread = _unread_filters(dataset)
    if unread:
        with suppress(ImportError):
            # Importing it makes its filters known to HDF5.
            import hdf5plugin  # noqa: F401  # pyright: ignore[reportMissingImports]
        unread = _unread_filters(dataset)
    if unread:
        listed = ", ".join(_FILTERS.get(code, f"filter {code}") for code in unread)
        raise DataError(
            f"{path} in {name} is compressed by {listed}, which h5py alone cannot read; install the filters with "
            "pip install hdf5plugin (the extra formats of this package)."
        )


def _unread_filters(dataset: h5py.Dataset) -> list[int]:
    import h5py

    settings = dataset.id.get_create_plist()
    codes = [settings.get_filter(index)[0] for index in range(settings.get_nfilters())]
    return [code for code in codes if not h5py.h5z.filter_avail(code)]
