"""The last finished sweep in a folder, so that a refinement that was killed goes on; the file is there whole or not."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.archive import Archive, open_archive
from ptycho._io.archive_writing import write_archive
from ptycho._io.atomic import replacing
from ptycho._io.manifest import CheckpointFolder, digest_of
from ptycho.errors import DataError
from ptycho.refinement.results import SweepRecord

logger = logging.getLogger(__name__)

# The folder in that of a whole run.
SWEEPS = "sweeps"
_ARRAYS = ("coefficients", "light", "misfit", "positions_yx", "probe", "first_change")


@dataclass(frozen=True, eq=False, kw_only=True)
class KeptSweeps:
    """All that the next sweep begins with.

    Attributes
    ----------
    coefficients, light, misfit, positions_yx, probe : ndarray
        Those of the state; see `RefinementState`.
    first_change : (H, W) float32
        What the first sweep changed.
    random_state : dict
        Of the generator that draws the order of the frames.
    records : tuple of SweepRecord
        Of the sweeps that are done.
    """

    coefficients: np.ndarray
    light: np.ndarray
    misfit: np.ndarray
    positions_yx: np.ndarray
    probe: np.ndarray
    first_change: np.ndarray
    random_state: dict[str, Any]
    records: tuple[SweepRecord, ...]


@dataclass(frozen=True)
class SweepCheckpointing(CheckpointFolder):
    """Where the last finished sweep of a refinement is kept.

    Attributes
    ----------
    folder : path
        Made if there is none.
    resume : bool
        Go on with what an earlier run has left there; otherwise there may be nothing.
    """

    def opened(self, fingerprint: Mapping[str, Any]) -> SweepStore:
        """Begin a checkpoint, or find the one to go on with.

        Parameters
        ----------
        fingerprint : mapping
            What decides the bits of the image, as JSON's types.

        Returns
        -------
        SweepStore

        Raises
        ------
        DataError
            There is a checkpoint and it is not to be resumed, or it is of another run.
        OSError
            The folder cannot be written.
        """
        began = self.begun(fingerprint, {})
        return SweepStore(Path(self.folder) / "sweeps.npz", digest_of(began))


@dataclass(frozen=True)
class SweepStore:
    """The file of the last finished sweep.

    Attributes
    ----------
    path : Path
    run : str
        Digest of what decides the bits of the image; a file of another run is of no use.
    """

    path: Path
    run: str

    def write(self, kept: KeptSweeps) -> None:
        """Keep a finished sweep in place of the one before.

        Parameters
        ----------
        kept : KeptSweeps

        Raises
        ------
        OSError
            It cannot be written.
        """
        description = {
            "run": self.run,
            "random_state": kept.random_state,
            "records": [asdict(record) for record in kept.records],
        }
        members = {"description": np.array(json.dumps(description))}
        members |= {name: getattr(kept, name) for name in _ARRAYS}
        with replacing(self.path) as file:
            write_archive(file, members.items())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> KeptSweeps | None:
        """Return the last finished sweep; None if there is none that is whole and of this run.

        Returns
        -------
        KeptSweeps or None
        """
        if not self.path.exists():
            return None
        try:
            with open_archive(self.path) as archive:
                return self._kept_in(archive)
        except (DataError, KeyError, TypeError, ValueError) as error:
            logger.warning("%s is damaged (%s); the sweeps begin anew", self.path, error)
            return None

    def _kept_in(self, archive: Archive) -> KeptSweeps:
        archive.require(["description", *_ARRAYS])
        description = json.loads(str(archive.read("description")))
        if description["run"] != self.run:
            raise ValueError("it is of another run")
        records = [
            SweepRecord(**record | {"batch_sizes": tuple(record["batch_sizes"])})
            for record in description["records"]
        ]
        return KeptSweeps(
            random_state=description["random_state"],
            records=tuple(records),
            **{name: archive.read(name) for name in _ARRAYS},
        )
