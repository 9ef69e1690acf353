"""What a run that may be gone on with leaves in its folder when it begins: what decides its bits, as JSON."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ptycho._io.atomic import replacing
from ptycho._version import __version__
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

MANIFEST = "checkpoint.json"
_VERSION = 1


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder in which a run keeps what it has finished; each kind of run has a class of settings made from this.

    Attributes
    ----------
    folder : path
        Made if there is none.
    resume : bool
        Go on with what an earlier run has left there; otherwise there may be nothing.
    """

    folder: str | os.PathLike[str]
    resume: bool = False

    def begun(self, fingerprint: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a checkpoint, or find the one to go on with.

        Parameters
        ----------
        fingerprint : mapping
            What has to be the same where the run goes on, as JSON's types.
        kept : mapping
            What a run that begins now keeps beside it, as JSON's types.

        Returns
        -------
        dict
            ``fingerprint``, and what the run that began has kept.

        Raises
        ------
        DataError
            There is a checkpoint and it is not to be resumed, or it is of another run.
        OSError
            The folder cannot be written.
        """
        self.refuse_unasked()
        manifest = Path(self.folder) / MANIFEST
        found = _read(manifest, kept) if manifest.exists() else None
        if found is None:
            if self.resume:
                logger.warning("%s holds nothing to go on with; the run begins afresh", self.folder)
            manifest.parent.mkdir(parents=True, exist_ok=True)
            found = {"fingerprint": dict(fingerprint), **kept}
            with replacing(manifest) as file:
                file.write(json.dumps({"version": _VERSION, **found}, indent=1).encode())
        self._refuse_other_run(json.loads(json.dumps(fingerprint)), found["fingerprint"])
        return found

    def refuse_unasked(self) -> None:
        """Refuse a folder that an earlier run has begun, unless it is to be gone on with.

        Raises
        ------
        DataError
            There is a checkpoint and it is not to be resumed.
        """
        if not self.resume and (Path(self.folder) / MANIFEST).exists():
            raise DataError(
                f"{self.folder} holds the checkpoint of an earlier run; pass `resume=True` to go on with "
                f"it, or another {self._setting}."
            )

    def _refuse_other_run(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        found = [
            name if len(str(mine)) + len(str(theirs)) > 100 else f"{name} ({theirs} there, {mine} here)"
            for name, mine, theirs in differences(here, there)
        ]
        if found:
            raise DataError(
                f"{self.folder} holds the checkpoint of another run, which differs in {', '.join(found)}; run with the "
                f"same again, or pass another {self._setting}."
            )

    @property
    def _setting(self) -> str:
        """The folder's setting as messages name it: each kind of run has its own."""
        return f"`{type(self).__name__}.folder`"


def digest_of(began: Mapping[str, Any]) -> str:
    """Return what tells a run from all others, of what `CheckpointFolder.begun` gave.

    Parameters
    ----------
    began : mapping

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    return hashlib.sha256(json.dumps(began, sort_keys=True).encode()).hexdigest()


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Return the versions of this program and of packages that decide bits.

    Parameters
    ----------
    packages : sequence of str

    Returns
    -------
    dict
        None for one that is not there.
    """
    return {"ptycho-autobatch": __version__} | {package: _version_of(package) for package in packages}


def differences(
    here: Mapping[str, Any], there: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Give what two fingerprints differ in.

    Parameters
    ----------
    here, there : mapping
    path : str
        What goes before the names.

    Yields
    ------
    name : str
        Such as "settings.crop_size".
    here, there : object
    """
    for key in sorted({*here, *there}):
        mine, theirs = here.get(key), there.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from differences(mine, theirs, f"{path}{key}.")
        elif mine != theirs:
            yield f"{path}{key}", mine, theirs


def _read(path: Path, kept: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a run wrote when it began; None if that is damaged, for nothing can be known of what it kept."""
    try:
        read = json.loads(path.read_bytes())
        known = {"fingerprint": dict(read["fingerprint"])}
        for name, example in kept.items():
            known[name] = type(example)(read[name])
        if read["version"] != _VERSION:
            raise ValueError("it is of another version")
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s is damaged (%s) and of no use", path, error)
        return None
    return known


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
