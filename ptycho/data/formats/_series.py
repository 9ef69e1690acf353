"""Frames in many files, one or a few in each, as detectors write them: a folder, or a pattern such as ``run_*.tif``."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._stored_frames import BLOCK_BYTES
from ptycho.data.formats._tiff import SIGNATURES
from ptycho.errors import DataError

_NPY = b"\x93NUMPY"
_MOST_FILES = 1_000_000
_LISTED_NUMBERS = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameSeries:
    """Files of one scan in the order of the numbers in their names.

    Attributes
    ----------
    name : str
        The folder or pattern.
    files : tuple of Path
    n_others : int
        Files of the folder that hold no frames.
    """

    name: str
    files: tuple[Path, ...]
    n_others: int = 0

    @classmethod
    def of(cls, path: Path) -> FrameSeries:
        """Return the files that a folder or pattern names.

        Of a folder those count that begin as a TIFF file does, or else as an NPY file.

        Raises
        ------
        DataError
            There are none.
        """
        if not path.is_dir():
            return cls(name=str(path), files=_in_order(_matching(path)))
        files = [each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")]
        kinds = {each: _kind(each) for each in files[:_MOST_FILES]}
        counted = Counter(kinds.values())
        wanted = next((kind for kind in ("TIFF", "NPY") if counted[kind]), None)
        if wanted is None:
            raise DataError(
                f"{path} is a folder with {len(files)} files but none of them is a TIFF or NPY file with frames; name "
                "a file, or a pattern such as `frames='run_*.h5:DATASET'`."
            )
        chosen = _in_order(each for each, kind in kinds.items() if kind == wanted)
        return cls(name=str(path), files=chosen, n_others=len(files) - len(chosen))

    @property
    def keys(self) -> tuple[str, ...]:
        """What it holds, in words."""
        first, last = self.files[0].name, self.files[-1].name
        held = f"one file, {first}" if len(self.files) == 1 else f"{len(self.files)} files, {first} to {last}"
        others = "another holds" if self.n_others == 1 else f"{self.n_others} others hold"
        return (f"{held} ({others} no such frames)" if self.n_others else held,)

    @property
    def numbers(self) -> np.ndarray | None:
        """The numbers in the names of the files, from 0 for the first; None if they do not count up."""
        parts = [re.split(r"(\d+)", file.name) for file in self.files]
        if len({len(part) for part in parts}) != 1:
            return None
        columns = list(zip(*parts, strict=True))
        changing = [column for column in columns if len(set(column)) > 1]
        if len(changing) != 1 or not all(text.isdecimal() and len(text) < 16 for text in changing[0]):
            return None
        numbers = np.array([int(text) for text in changing[0]])
        return numbers - numbers[0] if (np.diff(numbers) > 0).all() else None

    def missing(self) -> str | None:
        """Return which files between the first and the last are not there, in words; None if none is known to be."""
        numbers = self.numbers
        if numbers is None or numbers[-1] + 1 == numbers.size or numbers[-1] >= 2 * numbers.size:
            return None
        absent = np.setdiff1d(np.arange(numbers[-1] + 1), numbers)
        listed = ", ".join(map(str, absent[:_LISTED_NUMBERS]))
        more = ", …" if absent.size > _LISTED_NUMBERS else ""
        return (
            f"by their numbers files are missing: {listed}{more} (from 0; {absent.size} of {numbers[-1] + 1})"
        )


def is_series(path: Path) -> bool:
    """Tell whether `path` names a folder, or is a pattern that files match."""
    if path.is_dir():
        return True
    return glob.has_magic(str(path)) and not path.exists() and bool(_matching(path))


def files_of(path: Path) -> list[Path]:
    """Return the files that a pattern names, or `path` itself."""
    return list(_in_order(_matching(path))) if is_series(path) and not path.is_dir() else [path]


def chained(name: str, stacks: list[FrameStack], numbers: np.ndarray | None = None) -> FrameStack:
    """Return the frames of many small stacks as one, in blocks of a useful size.

    Parameters
    ----------
    name : str
    stacks : list of FrameStack
    numbers : (len(stacks),) int, optional
        Of stacks of one frame each.
    """
    sizes = {stack.shape[1:] for stack in stacks}
    if len(sizes) != 1:
        odd = next(stack for stack in stacks if stack.shape[1:] != stacks[0].shape[1:])
        raise DataError(
            f"{odd.name} has frames of {odd.shape[1]}x{odd.shape[2]} pixels but {stacks[0].name} has "
            f"{stacks[0].shape[1]}x{stacks[0].shape[2]}; name a folder or pattern of frames of one size by `frames`."
        )

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        waiting: list[np.ndarray] = []
        start = n_waiting = n_bytes = 0
        for _, counts in (block for stack in stacks for block in stack.blocks()):
            waiting.append(counts)
            n_waiting, n_bytes = n_waiting + len(counts), n_bytes + counts.nbytes
            if n_bytes >= BLOCK_BYTES:
                yield start, np.concatenate(waiting)
                start, n_waiting, n_bytes, waiting = start + n_waiting, 0, 0, []
        if waiting:
            yield start, np.concatenate(waiting)

    n_frames = sum(stack.shape[0] for stack in stacks)
    return FrameStack(
        name=name,
        shape=(n_frames, *sizes.pop()),
        blocks=blocks,
        numbers=numbers if numbers is not None and len(numbers) == n_frames else None,
    )


def _matching(path: Path) -> list[Path]:
    return [Path(found) for found in glob.glob(str(path)) if Path(found).is_file()][:_MOST_FILES]


def _in_order(files: Iterator[Path] | list[Path]) -> tuple[Path, ...]:
    """Return files so that 10 comes after 9."""

    def key(file: Path) -> list[tuple[int, str]]:
        return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d{1,18})", file.name)]

    return tuple(sorted(files, key=key))


def _kind(file: Path) -> str | None:
    with file.open("rb") as opened:
        start = opened.read(len(_NPY))
    if start[:4] in SIGNATURES:
        return "TIFF"
    return "NPY" if start == _NPY else None
