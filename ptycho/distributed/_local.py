"""Workers of this machine, each with variables of its own; the only one to be built on Dask's cluster classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from distributed import LocalCluster

from autobatch import device_memory


class LocalWorkers(LocalCluster):
    """A process for each of the `environments`, which it gets before it imports anything that looks at them.

    Whoever can reach a scheduler can have code run: nobody but this machine's users shall, so all listen on loopback.

    Parameters
    ----------
    environments : sequence of mapping
        Variables of each worker; one that dies is started again with its own.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        """Start the scheduler and then the workers, which come when they are ready."""
        self._environments = list(environments)
        super().__init__(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            # What goes wrong is told by the run, in its own words and on its own display.
            silence_logs=logging.CRITICAL,
            memory_limit=_share_of_memory(len(self._environments)),
        )
        self.scale(len(self._environments))

    def new_worker_spec(self) -> dict[int, Any]:
        """Return what the next worker is made of."""
        ((name, spec),) = super().new_worker_spec().items()
        assert spec is not None  # `LocalCluster` has one
        environment = dict(self._environments[len(self.worker_spec) % len(self._environments)])
        return {name: {**spec, "options": {**spec["options"], "env": environment}}}


def _share_of_memory(n_workers: int) -> int | str:
    """Return the bytes of each worker: equal shares of what the process may have, one of them for the command."""
    total = device_memory("CPU").total_bytes
    return "auto" if total is None else total // (n_workers + 1)
