"""Telling the layout of a scan file from the keys it holds."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal

from ptycho._io.archive import open_archive
from ptycho.data.npz import FRAME_KEYS
from ptycho.data.tike import TIKE_KEYS
from ptycho.errors import DataError


def detect_format(path: str | PathLike[str]) -> Literal["npz", "tike"]:
    """Return the layout of a scan file: ``"npz"`` (docs/formats.md) or ``"tike"`` (`read_tike`).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is damaged, or its keys are those of neither layout.
    """
    with open_archive(Path(path)) as archive:
        if any(key in archive for key in FRAME_KEYS):
            return "npz"
        if all(key in archive for key in TIKE_KEYS):
            return "tike"
        raise DataError(
            f"{path} holds {', '.join(archive.keys) or 'nothing'}, which is neither a scan of this package "
            f"(one of {', '.join(FRAME_KEYS)}) nor one of tike ({', '.join(TIKE_KEYS)}); pass another file."
        )
