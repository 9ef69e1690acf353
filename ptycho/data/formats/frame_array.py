"""Bare frames, counts with the DC term in the middle: an NPY array, a TIFF file, or a folder of either."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._containers import NpyFile, contents_of, open_container
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._series import FrameSeries, chained
from ptycho.data.formats._stored_frames import BLOCK_BYTES
from ptycho.data.formats._tiff import TiffStack
from ptycho.errors import DataError

logger = logging.getLogger(__name__)


def bare_frames(container: NpyFile | TiffStack | FrameSeries, dataset: str | None = None) -> FrameStack:
    """Return the frames of an open container that holds nothing else; `dataset` is that of a series of HDF5 files."""
    if isinstance(container, FrameSeries):
        return _of_series(container, dataset)
    if isinstance(container, TiffStack):
        return _of_tiff(container)
    array = container.array
    return FrameStack.of_array(container.name, array[np.newaxis] if array.ndim == 2 else array)


def _of_tiff(file: TiffStack) -> FrameStack:
    frame_bytes = file.dtype.itemsize * file.shape[1] * file.shape[2]
    step = max(1, BLOCK_BYTES // frame_bytes)

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, file.shape[0], step):
            yield start, file.read(start, start + step)

    return FrameStack(name=file.name, shape=file.shape, blocks=blocks)


def _of_series(series: FrameSeries, dataset: str | None) -> FrameStack:
    logger.info("%s: %s", series.name, series.keys[0])
    missing = series.missing()
    if missing is not None:
        logger.warning("%s: %s", series.name, missing)
    stacks = [_of_member(file, dataset) for file in series.files]
    return chained(series.name, stacks, None if missing is None else series.numbers)


def _of_member(file: Path, dataset: str | None) -> FrameStack:
    """Return the frames of one file of a series, which is opened anew whenever they are read."""
    with open_container(file) as container:
        shape = _in_member(container, dataset).shape

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        with open_container(file) as container:
            yield from _in_member(container, dataset).blocks()

    return FrameStack(name=str(file), shape=shape, blocks=blocks)


def _in_member(container: Any, dataset: str | None) -> FrameStack:
    if isinstance(container, Hdf5File) and dataset is not None:
        shape = container.shape(dataset)
        if shape is not None and len(shape) == 2:
            return FrameStack.of_array(f"{dataset} in {container.name}", container.read(dataset)[np.newaxis])
        return FrameStack.of_hdf5(container, dataset)
    if isinstance(container, (NpyFile, TiffStack)):
        return bare_frames(container)
    raise DataError(
        f"{container.name} of a series of frames holds {contents_of(container)}; name a pattern of TIFF or NPY files, "
        "or of HDF5 files with the dataset, as `frames='run_*.h5:DATASET'`."
    )


def _parts(container: NpyFile | TiffStack | FrameSeries) -> Parts:
    frames = bare_frames(container)
    return Parts(files=(container.name,), frames=frames, frame_ids=frames.numbers)


FORMAT = Format(
    name="npy",
    title="an array of frames",
    container=NpyFile,
    recognises=lambda file: file.array.ndim in (3, 4) and file.array.dtype.kind in "biuf",
    parts=_parts,
)
TIFF_FORMAT = Format(
    name="tiff",
    title="a TIFF file of frames",
    container=TiffStack,
    recognises=lambda file: True,
    parts=_parts,
)
SERIES_FORMAT = Format(
    name="series",
    title="a series of frames",
    container=FrameSeries,
    recognises=lambda series: True,
    parts=_parts,
)
