"""A Dask cluster whose two workers are threads of this process, which start at once."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from distributed import Client


def forget_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``import distributed`` fail in this thread alone: those of a running cluster import it as they go."""
    imported, mine = builtins.__import__, threading.get_ident()

    def importing(name, *more, **named):
        if name == "distributed" and threading.get_ident() == mine:
            raise ModuleNotFoundError("No module named 'distributed'", name=name)
        return imported(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", importing)


@contextmanager
def client_of_threads() -> Iterator[Client]:
    """Give a client of the cluster; skips nothing, so ask for `distributed` first."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            memory_limit=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
