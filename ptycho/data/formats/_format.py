"""`Format`: what a module of this folder says about the files that it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptycho.data.formats._parts import Parts
from ptycho.data.scan import ScanData


@dataclass(frozen=True, kw_only=True)
class Format:
    """One layout of files.

    Attributes
    ----------
    name : str
        One word, as ``ptycho-convert --from`` takes it.
    title : str
        What it is called in messages.
    container : type
        Which of the kinds of `open_container` it lies in.
    recognises : callable
        Tells from the contents of an open container whether it has this layout.
    parts : callable, optional
        Reads what the file holds; the files of some formats hold only frames or only positions.
    scan : callable, optional
        Instead of `parts`: ``scan(path, labels)`` reads a whole scan, and believes it.
    unchecked : callable, optional
        Beside `scan`: ``unchecked(path)`` reads what a whole scan has without believing it, where bad frames are to be
        left out.
    neighbours : bool
        Whether the file's links to others beside it are followed.
    """

    name: str
    title: str
    container: type
    recognises: Callable[[Any], bool]
    parts: Callable[[Any], Parts] | None = None
    scan: Callable[[Path, bool], ScanData] | None = None
    unchecked: Callable[[Path], Parts] | None = None
    neighbours: bool = False
