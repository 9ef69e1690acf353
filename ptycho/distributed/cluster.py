"""Reaching a Dask scheduler: one of this machine's own, by its address, or by the file that it has written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho.errors import DataError, SettingsError

if TYPE_CHECKING:
    from distributed import Client

_LOCAL = re.compile(r"local:([1-9]\d*)")
_ADDRESS = re.compile(r"(tcp|tls|ucx|inproc)://\S+")
_SECONDS_TO_CONNECT = 20
# One worker is one thread, so that a result does not depend on how many cores there are.
_ONE_THREAD = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
# The third death of a worker under one task ends the run, as the third error does.
_MOST_DEATHS = 2


def check_scheduler(scheduler: str) -> str:
    """Return the name of a scheduler if it is one; nothing is reached.

    Parameters
    ----------
    scheduler : str
        "local:N" for N workers of one thread each on this machine, an address such as "tcp://host:8786", or the
        path of a scheduler file.

    Returns
    -------
    str

    Raises
    ------
    SettingsError
        It is none of these.
    """
    if _LOCAL.fullmatch(scheduler) or _ADDRESS.fullmatch(scheduler) or scheduler.endswith(".json"):
        return scheduler
    raise SettingsError(
        f"scheduler is {scheduler!r} but must be local:N, an address such as tcp://host:8786, or a scheduler file "
        "FILE.json; pass one of these."
    )


@contextmanager
def cluster_client(scheduler: str) -> Iterator[Client]:
    """Connect to a scheduler for the block; a local cluster lives as long as that and listens on loopback alone.

    Parameters
    ----------
    scheduler : str
        As for `check_scheduler`.

    Yields
    ------
    distributed.Client

    Raises
    ------
    DataError
        Dask is not installed, or no scheduler answers.
    """
    check_scheduler(scheduler)
    distributed = _distributed()
    local = _LOCAL.fullmatch(scheduler)
    if local is not None:
        with _local_cluster(int(local[1])) as cluster, distributed.Client(cluster) as client:
            yield client
        return
    with _connected(scheduler) as client:
        yield client


@contextmanager
def _local_cluster(n_workers: int) -> Iterator[object]:
    import dask

    deaths = dask.config.set({"distributed.scheduler.allowed-failures": _MOST_DEATHS})
    # Whoever can reach a scheduler can have code run: nobody but this machine's users shall.
    cluster = _distributed().LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        env=_ONE_THREAD,
    )
    with deaths, cluster:
        yield cluster


def _connected(scheduler: str) -> Client:
    distributed = _distributed()
    if scheduler.endswith(".json") and not Path(scheduler).is_file():
        raise DataError(
            f"{scheduler} does not exist; start the scheduler with --scheduler-file {scheduler} and wait until it "
            "has written it."
        )
    try:
        if scheduler.endswith(".json"):
            return distributed.Client(scheduler_file=scheduler, timeout=_SECONDS_TO_CONNECT)
        return distributed.Client(scheduler, timeout=_SECONDS_TO_CONNECT)
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise DataError(
            f"no Dask scheduler answers at {scheduler} within {_SECONDS_TO_CONNECT} s ({type(error).__name__}); start "
            "one with `dask scheduler`, or pass --scheduler local:2."
        ) from error


def _distributed():
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise DataError(
            "a scheduler needs Dask, which is not installed; pip install 'ptycho-autobatch[distributed]'."
        ) from error
    return distributed
