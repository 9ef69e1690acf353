"""Finished shards in a folder, so that a run that was killed goes on: each file is there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.archive import Archive, open_archive
from ptycho._io.archive_writing import write_archive
from ptycho._io.atomic import replacing
from ptycho._io.manifest import CheckpointFolder, digest_of
from ptycho.errors import DataError
from ptycho.evaluation.misfit import MisfitTotals
from ptycho.reconstruction._canvases import CanvasSums
from ptycho.reconstruction._record_text import record_of_text, text_of_record
from ptycho.reconstruction.shard_sums import ShardSums
from ptycho.stitching.state import CanvasState

_VERSION = 2
_MISFIT = ("numbers", "detector", "cells", "levels", "worst_indices", "worst_misfits")


@dataclass(frozen=True)
class Checkpointing(CheckpointFolder):
    """Where the finished shards of a run are kept.

    Attributes
    ----------
    folder : path
        Made if there is none.
    resume : bool
        Go on with what an earlier run has left there; otherwise there may be nothing.
    """

    def opened(self, fingerprint: Mapping[str, Any], *, predict_batch_size: int) -> ShardStore:
        """Begin a checkpoint, or find the one to go on with.

        Parameters
        ----------
        fingerprint : mapping
            What decides the bits of the image, as JSON's types.
        predict_batch_size : int
            What a run that begins now uses.

        Returns
        -------
        ShardStore

        Raises
        ------
        DataError
            There is a checkpoint and it is not to be resumed, or it is of another run.
        OSError
            The folder cannot be written.
        """
        began = self.begun(fingerprint, {"predict_batch_size": predict_batch_size})
        return ShardStore(Path(self.folder), digest_of(began), began["predict_batch_size"])


@dataclass(frozen=True)
class ShardStore:
    """The shards in the folder of a checkpoint.

    Attributes
    ----------
    folder : Path
    run : str
        Digest of what decides the bits of the image; shards of other runs are none of it.
    predict_batch_size : int
        The one that the run began with.
    """

    folder: Path
    run: str
    predict_batch_size: int

    def path(self, number: int) -> Path:
        """Return where a shard is kept.

        Parameters
        ----------
        number : int

        Returns
        -------
        Path
        """
        return self.folder / f"shard-{number:07d}.npz"

    def write(self, number: int, sums: ShardSums) -> None:
        """Keep a finished shard; after a crash it is there whole or not at all.

        Parameters
        ----------
        number : int
        sums : ShardSums

        Raises
        ------
        OSError
            It cannot be written.
        """
        description = {
            "version": _VERSION,
            "run": self.run,
            "start": sums.start,
            "stop": sums.stop,
            "n_parts": len(sums.canvases.parts),
            "n_judged": None if sums.misfit is None else sums.misfit.n_frames,
            "record": text_of_record(sums.record),
        }
        members: dict[str, Any] = {"description": np.array(json.dumps(description))}
        for name, state in _named(sums.canvases).items():
            members |= {f"{name}.{field}": array for field, array in state.fields().items()}
        if sums.misfit is not None:
            members |= {f"misfit.{name}": getattr(sums.misfit, name) for name in _MISFIT}
        with replacing(self.path(number)) as file:
            write_archive(file, members.items())
            file.flush()
            os.fsync(file.fileno())

    def read(self, number: int) -> ShardSums | None:
        """Return a shard, None if it is not there.

        Parameters
        ----------
        number : int

        Returns
        -------
        ShardSums or None

        Raises
        ------
        DataError
            It is damaged, or of another run.
        """
        path = self.path(number)
        if not path.exists():
            return None
        try:
            with open_archive(path) as archive:
                return _sums_in(archive, self.run, path)
        except DataError:
            # It names file and reason already.
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is damaged ({error}).") from error


def _named(canvases: CanvasSums) -> dict[str, CanvasState]:
    named = {f"part{number}": state for number, state in enumerate(canvases.parts)}
    return named if canvases.centred is None else named | {"centred": canvases.centred}


def _sums_in(archive: Archive, run: str, path: Path) -> ShardSums:
    archive.require(["description"])
    description = json.loads(str(archive.read("description")))
    if description["version"] != _VERSION or description["run"] != run:
        raise DataError(f"{path} is a shard of another run.")

    def state(name: str) -> CanvasState:
        keys = [key for key in archive.keys if key.startswith(f"{name}.")]
        fields = {key.removeprefix(f"{name}."): archive.read(key) for key in keys}
        return CanvasState.of_fields(fields, path)

    misfit = None
    if description["n_judged"] is not None:
        arrays = {name: archive.read(f"misfit.{name}") for name in _MISFIT}
        misfit = MisfitTotals(n_frames=int(description["n_judged"]), **arrays)
    return ShardSums(
        start=int(description["start"]),
        stop=int(description["stop"]),
        canvases=CanvasSums(
            tuple(state(f"part{number}") for number in range(int(description["n_parts"]))),
            state("centred") if "centred.values" in archive else None,
        ),
        misfit=misfit,
        record=record_of_text(description["record"]),
    )
