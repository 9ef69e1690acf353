"""What went into a network and what came out, in a file to look at: for finding out why an arm looks wrong."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from ptycho._io.archive_writing import writing_archive
from ptycho._io.atomic import staged_files

DUMP_FILE = "patches.npz"
STATISTICS_FILE = "patches_statistics.json"
DUMP_SCHEMA_VERSION = 1


@contextmanager
def dumping(folder: str | os.PathLike[str]) -> Iterator[PatchDump]:
    """Give an observer of batches whose files appear in a folder at the end of the block.

    Parameters
    ----------
    folder : path
        Made if there is none; an earlier dump in it is replaced.

    Yields
    ------
    callable
        Takes frames (B, N, N, C), centres (B, 2) and patches (B, N, N) of a batch: `ModelArm.observer`, or the
        `observer` of `reconstruct`.

    Raises
    ------
    OSError
        The folder cannot be made or the disk is full; then nothing has been changed.
    """
    with staged_files(folder, replaces=(DUMP_FILE, STATISTICS_FILE)) as stage:
        dump = PatchDump(stage)
        yield dump
        dump.finish()


class PatchDump:
    """Writes batch after batch to disk, so that memory does not grow with their number.

    Parameters
    ----------
    folder : path
        Where `finish` puts the archive and the statistics.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Make an empty dump; nothing is written before the first batch."""
        self._folder = Path(folder)
        self._columns: dict[str, _Column] = {}

    def __call__(self, inputs: np.ndarray, centres_yx: np.ndarray, patches: np.ndarray) -> None:
        """Take one batch.

        Parameters
        ----------
        inputs : (B, N, N, C) float32
            Normalised frames, as the network saw them.
        centres_yx : (B, 2) float64
            Where the patches are stitched, in pixels of the object.
        patches : (B, N, N) complex64
            What the network put out.
        """
        for name, array in (("inputs", inputs), ("offsets_yx", centres_yx), ("outputs", patches)):
            if name not in self._columns:
                self._columns[name] = _Column(self._folder / f"{name}.unfinished", array)
            self._columns[name].append(array)

    def finish(self) -> None:
        """Write the archive and the statistics of everything taken."""
        with writing_archive(self._folder / DUMP_FILE) as archive:
            archive.add("schema_version", DUMP_SCHEMA_VERSION)
            for name, column in self._columns.items():
                with archive.member(name) as member:
                    column.move_into(member)
        statistics = {name: column.statistics() for name, column in self._columns.items()}
        contents = {"schema_version": DUMP_SCHEMA_VERSION, "arrays": statistics}
        text = json.dumps(contents, indent=2, allow_nan=False)
        (self._folder / STATISTICS_FILE).write_text(text + "\n", encoding="utf-8")


class _Column:
    """One array that grows along its first axis, in a file, and running sums over its values."""

    def __init__(self, path: Path, like: np.ndarray) -> None:
        self._path, self._dtype, self._item_shape = path, like.dtype, like.shape[1:]
        self._n_items = self._n_values = self._n_finite = self._n_zero = 0
        self._sum, self._sum_of_squares = 0.0, 0.0
        self._smallest, self._largest = math.inf, -math.inf

    def append(self, array: np.ndarray) -> None:
        with self._path.open("ab") as file:
            # Not `tofile`, whose error on a full disk does not say that it is one.
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        values = np.abs(array) if np.iscomplexobj(array) else array
        finite = values[np.isfinite(values)].astype(np.float64)
        self._n_items += len(array)
        self._n_values += values.size
        self._n_finite += finite.size
        self._n_zero += int(np.count_nonzero(finite == 0))
        self._sum += float(finite.sum())
        self._sum_of_squares += float(np.square(finite).sum())
        self._smallest = min(self._smallest, float(finite.min(initial=math.inf)))
        self._largest = max(self._largest, float(finite.max(initial=-math.inf)))

    def move_into(self, member: IO[bytes]) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._n_items, *self._item_shape),
        }
        np.lib.format.write_array_header_2_0(member, header)  # pyright: ignore[reportArgumentType]
        with self._path.open("rb") as file:
            shutil.copyfileobj(file, member)
        self._path.unlink()

    def statistics(self) -> dict[str, object]:
        known = self._n_finite > 0
        mean = self._sum / self._n_finite if known else None
        spread = None
        if mean is not None:
            spread = math.sqrt(max(self._sum_of_squares / self._n_finite - mean**2, 0.0))
        return {
            "shape": [self._n_items, *self._item_shape],
            "dtype": self._dtype.name,
            "min": self._smallest if known else None,
            "max": self._largest if known else None,
            "mean": mean,
            "std": spread,
            "n_zero": self._n_zero,
            "n_not_finite": self._n_values - self._n_finite,
        }
