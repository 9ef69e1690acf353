"""The state of a training after an epoch, as one file of plain numbers that is there whole or not at all.

Weights, those of the best epoch, the optimiser's numbers and the history make it up. The random state is the seed and
the number of epochs: the draws of the epochs before are repeated, which takes no time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.archive import Archive, open_archive
from ptycho._io.atomic import replacing
from ptycho.errors import DataError

CHECKPOINT = "checkpoint.npz"
_VERSION = 2
_ANEW = "or begin anew with `resume=False`."
_GROUPS = ("weights", "best_weights", "optimizer")


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoint:
    """A training after an epoch.

    Attributes
    ----------
    conditions : dict
        What has to be the same where it goes on, as JSON has it: network, settings, scans and first weights.
    history : dict of str to list of float
        One value per epoch that is done.
    weights, best_weights, optimizer : tuple of arrays
        The network's after the last and after the best epoch, and all of the optimiser's, in Keras's order.
    files : tuple of str
        That of each scan, as it was named; empty if that is not known.
    """

    conditions: dict[str, Any]
    history: dict[str, list[float]]
    weights: tuple[np.ndarray, ...]
    best_weights: tuple[np.ndarray, ...]
    optimizer: tuple[np.ndarray, ...]
    files: tuple[str, ...] = ()

    @property
    def n_epochs(self) -> int:
        """Number of epochs that are done."""
        return len(self.history["loss"])

    def save(self, path: Path) -> None:
        """Replace the file at `path`, which holds the older state or this one at any time."""
        description = {
            "version": _VERSION,
            "conditions": self.conditions,
            "history": self.history,
            "files": self.files,
        }
        arrays = {
            f"{group}_{number}": array
            for group in _GROUPS
            for number, array in enumerate(getattr(self, group))
        }
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, description=np.array(json.dumps(description)), **arrays)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without trust.

    Raises
    ------
    DataError
        It is damaged, or from another version.
    """
    try:
        return _load(path)
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}, {_ANEW}") from error


def _load(path: Path) -> Checkpoint:
    with open_archive(path) as archive:
        archive.require(["description"])
        try:
            description = json.loads(str(archive.read("description")))
            version, conditions = description["version"], dict(description["conditions"])
            history = {
                str(name): [float(x) for x in losses] for name, losses in description["history"].items()
            }
            files = tuple(map(str, description.get("files", ())))
            lengths = {len(losses) for losses in history.values()}
            if len(lengths) != 1 or not {"loss", "val_loss"} <= history.keys():
                raise ValueError(f"it has {len(lengths)} numbers of epochs for {sorted(history)}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} describes no state of a training ({error}); copy it again.") from error
        if version != _VERSION:
            raise DataError(
                f"{path} has version {version} but this program reads {_VERSION}; go on with the program that wrote "
                "it."
            )
        groups = {group: _arrays(archive, group) for group in _GROUPS}
    return Checkpoint(conditions=conditions, history=history, files=files, **groups)


def _arrays(archive: Archive, group: str) -> tuple[np.ndarray, ...]:
    found = []
    while (key := f"{group}_{len(found)}") in archive:
        found.append(archive.read(key))
    return tuple(found)


def check_fits(variables: Sequence[Any], numbers: Sequence[np.ndarray], path: Path) -> None:
    """Refuse `numbers` from the file `path` that cannot fill Keras's `variables`.

    Raises
    ------
    DataError
        They are of another number or shape than the variables.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    found = [array.shape for array in numbers]
    if shapes != found:
        raise DataError(
            f"{path} holds {len(found)} arrays where the training has {len(shapes)}, or some of other shapes; copy it "
            f"again, {_ANEW}"
        )


def check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on from `path`, made under the conditions `found`, under those that are `wanted`.

    Raises
    ------
    DataError
        Names the first that differs, and both values.
    """
    for name, now in wanted.items():
        before = found.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            check_same(before, now, path)
        elif before != now:
            raise DataError(
                f"the training in {path.parent} began with {name} {_short(before)} and cannot go on with "
                f"{_short(now)}; give the same, or begin anew in another folder or with `resume=False`."
            )


def check_same_scans(found: Checkpoint, wanted: Sequence[str], files: Sequence[str], path: Path) -> None:
    """Refuse scans of other fingerprints than those of `found`, by the names of their `files`; without, say nothing.

    Raises
    ------
    DataError
        Names the files, if they are known.
    """
    if found.conditions.get("scans") == list(wanted) or not (found.files and files):
        return
    before, now = ", ".join(found.files), ", ".join(files)
    said = f"and cannot go on with {now}" if before != now else "but with other contents, or read otherwise"
    raise DataError(
        f"the training in {path.parent} began with {before} {said}; give the same, or begin anew in another folder or "
        "with `resume=False`."
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
