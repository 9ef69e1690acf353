"""Reaching a Dask scheduler: one of this machine's own, by its address, or by the file that it has written."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho.distributed.checking import TIMEOUTS
from ptycho.distributed.devices import WorkerDevices, threads_of_worker
from ptycho.errors import DataError, SettingsError

if TYPE_CHECKING:
    from types import ModuleType

    from distributed import Client

logger = logging.getLogger(__name__)

# Of a task that fails: with the first attempt three.
RETRIES = 2

_LOCAL = re.compile(r"local:([1-9]\d*)")
_ADDRESS = re.compile(r"(tcp|tls|ucx|inproc)://\S+")
_SECONDS_TO_CONNECT = 20
_SECONDS_TO_START = 120
_CONFIG_OF_LOCAL = {
    # The third death of a worker under one task ends the run, as the third error does.
    "distributed.scheduler.allowed-failures": 2,
    # A worker that dies is started again, which takes long on a busy machine; Dask gives it up after 15 s.
    "distributed.deploy.lost-worker-timeout": "10 minutes",
    # Without any worker a run would wait for ever.
    "distributed.scheduler.no-workers-timeout": "10 minutes",
    # Dask has a worker give freed memory back at once, so that each batch would ask for the same pages anew.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}


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
        Dask is not installed, no scheduler answers, or workers do not start.
    """
    check_scheduler(scheduler)
    local = _LOCAL.fullmatch(scheduler)
    if local is None:
        with _connected(scheduler) as client:
            yield client
        return
    # One worker is one thread, so that a result does not depend on how many cores there are.
    with _local_client([dict(threads_of_worker(1))] * int(local[1])) as client:
        yield client


@contextmanager
def device_client(devices: WorkerDevices) -> Iterator[Client]:
    """Start a worker for each device of this machine, for the block; they listen on loopback alone.

    Parameters
    ----------
    devices : WorkerDevices

    Yields
    ------
    distributed.Client

    Raises
    ------
    DataError
        Dask is not installed, or workers do not start.
    """
    with _local_client(devices.environments()) as client:
        yield client


@contextmanager
def _local_client(environments: Sequence[Mapping[str, str]]) -> Iterator[Client]:
    """Start a worker for each of the `environments`."""
    import_distributed()
    import dask
    from distributed import Client

    from ptycho.distributed._local import LocalWorkers

    logger.info("starting %s …", "a worker" if len(environments) == 1 else f"{len(environments)} workers")
    with dask.config.set(_CONFIG_OF_LOCAL), LocalWorkers(environments) as cluster, Client(cluster) as client:
        try:
            client.wait_for_workers(len(environments), timeout=_SECONDS_TO_START)
        except TIMEOUTS as error:
            started: Any = client.nthreads()
            raise DataError(
                f"{len(started)} of {len(environments)} workers have started within {_SECONDS_TO_START} s; ask for "
                "fewer."
            ) from error
        yield client


@contextmanager
def told_if_lost(client: Client) -> Iterator[None]:
    """Say what to do if the scheduler is lost within the block, which cancels what it was to do.

    Parameters
    ----------
    client : distributed.Client

    Yields
    ------
    None

    Raises
    ------
    DataError
        The scheduler is lost.
    """
    from distributed import CancelledError

    address = client.scheduler_info()["address"]
    try:
        yield
    except CancelledError as error:
        raise DataError(
            f"the scheduler at {address} was lost in the middle, and with it all that was not yet kept; start it "
            "again, and let a run with a checkpoint go on with `resume=True`."
        ) from error


def _connected(scheduler: str) -> Client:
    distributed = import_distributed()
    if scheduler.endswith(".json") and not Path(scheduler).is_file():
        raise DataError(
            f"{scheduler} does not exist; start it with `dask scheduler --scheduler-file {scheduler}` and wait until "
            "it has written it."
        )
    try:
        if scheduler.endswith(".json"):
            return distributed.Client(scheduler_file=scheduler, timeout=_SECONDS_TO_CONNECT)
        return distributed.Client(scheduler, timeout=_SECONDS_TO_CONNECT)
    except (OSError, *TIMEOUTS, ValueError, KeyError) as error:
        raise DataError(
            f"no Dask scheduler answers at {scheduler} within {_SECONDS_TO_CONNECT} s ({type(error).__name__}); start "
            "one with `dask scheduler`, or pass `scheduler='local:2'`."
        ) from error


def import_distributed(wanted_by: str = "a scheduler") -> ModuleType:
    """Return Dask's `distributed`, or say in one sentence what is missing.

    Parameters
    ----------
    wanted_by : str
        What needs it.

    Returns
    -------
    module

    Raises
    ------
    DataError
        It is not installed.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise DataError(
            f"{wanted_by} needs Dask, which is not installed; pip install 'ptycho-autobatch[distributed]'."
        ) from error
    return distributed
