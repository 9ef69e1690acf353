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
_VERSION = 1
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
    """

    conditions: dict[str, Any]
    history: dict[str, list[float]]
    weights: tuple[np.ndarray, ...]
    best_weights: tuple[np.ndarray, ...]
    optimizer: tuple[np.ndarray, ...]

    @property
    def n_epochs(self) -> int:
        """Number of epochs that are done."""
        return len(self.history["loss"])

    def save(self, path: Path) -> None:
        """Replace the file at `path`, which holds the older state or this one at any time."""
        description = {"version": _VERSION, "conditions": self.conditions, "history": self.history}
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
    with open_archive(path) as archive:
        archive.require(["description"])
        try:
            description = json.loads(str(archive.read("description")))
            version, conditions = description["version"], dict(description["conditions"])
            history = {
                str(name): [float(x) for x in losses] for name, losses in description["history"].items()
            }
            lengths = {len(losses) for losses in history.values()}
            if len(lengths) != 1 or not {"loss", "val_loss"} <= history.keys():
                raise ValueError(f"it has {len(lengths)} numbers of epochs for {sorted(history)}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} describes no state of a training ({error}); copy it again, or remove it and train anew."
            ) from error
        if version != _VERSION:
            raise DataError(
                f"{path} has version {version} but this program reads {_VERSION}; go on with the program that wrote "
                "it, or remove it and train anew."
            )
        groups = {group: _arrays(archive, group) for group in _GROUPS}
    return Checkpoint(conditions=conditions, history=history, **groups)


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
            "again, or remove it and train anew."
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
                f"{_short(now)}; give the same, or begin anew in another folder or with --overwrite."
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
