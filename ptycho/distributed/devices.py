"""Devices of this machine with a worker each: what ``--device`` lists, and what each worker is to see."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ptycho._checks import fields
from ptycho._compiled.bands import available_threads
from ptycho.errors import SettingsError

_PROCESSORS = re.compile(r"cpu:([1-9]\d*)", re.IGNORECASE)
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_NO_CARD = "-1"


@dataclass(frozen=True)
class WorkerDevices:
    """Devices of this machine, a worker for each; all are of one kind, for cards and processors round differently.

    Attributes
    ----------
    names : tuple of str
        As TensorFlow calls them in this process: ``("GPU:0", "GPU:2")``, or "CPU" as often as it has workers.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> WorkerDevices:
        """Read a list such as "GPU:0,GPU:1", or "cpu:2" for two workers that share the processors.

        Parameters
        ----------
        text : str

        Returns
        -------
        WorkerDevices

        Raises
        ------
        SettingsError
            It is no such list, or names a card twice.
        """
        processors = _PROCESSORS.fullmatch(text)
        if processors is not None:
            return cls(("CPU",) * int(processors[1]))
        names = [fields.device_name(part) for part in text.split(",")]
        cards = [name for name in names if name is not None and name.startswith("GPU:")]
        if len(cards) < max(2, len(names)):
            raise SettingsError(
                f"devices are {text!r} but must be cards such as GPU:0,GPU:1, or cpu:N for N workers that share the "
                "processors; pass one of these."
            )
        if len(set(cards)) < len(cards):
            raise SettingsError(f"devices are {text!r} but each card has one worker; name each once.")
        return cls(tuple(cards))

    @property
    def name_on_worker(self) -> str:
        """What each worker calls its own: "CPU", or "GPU:0", the only card that it sees."""
        return "CPU" if self.names[0] == "CPU" else "GPU:0"

    def environments(self) -> list[dict[str, str]]:
        """Return the variables of each worker: its card alone, as dask-cuda has it first, and its share of the threads.

        Returns
        -------
        list of dict
        """
        # As many for each, whatever is left over: the number of TensorFlow's threads may reach the last bits.
        threads = threads_of_worker(max(1, available_threads() // len(self.names)))
        if self.names[0] == "CPU":
            return [{_VISIBLE: _NO_CARD, **threads} for _ in self.names]
        return [{_VISIBLE: _visible_card(int(name.removeprefix("GPU:"))), **threads} for name in self.names]


def threads_of_worker(n_threads: int) -> Mapping[str, str]:
    """Return the variables that hold a process to so many threads.

    Parameters
    ----------
    n_threads : int

    Returns
    -------
    mapping of str to str
    """
    return {
        "TF_NUM_INTRAOP_THREADS": str(n_threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": str(n_threads),
        "NUMBA_NUM_THREADS": str(n_threads),
    }


def _visible_card(index: int) -> str:
    """Return what CUDA calls the card that TensorFlow numbers `index` here."""
    visible = [card for card in os.environ.get(_VISIBLE, "").split(",") if card.strip()]
    return visible[index].strip() if index < len(visible) else str(index)
