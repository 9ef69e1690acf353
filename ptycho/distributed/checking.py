"""What workers lack, told in one sentence before any work is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ptycho._error_wording import reason_of
from ptycho._io.manifest import versions
from ptycho.errors import DataError
from ptycho.reconstruction.fingerprint import PACKAGES

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

# One and the same from Python 3.11 on; before that Dask raises, by its version, the one or the other.
TIMEOUTS = (TimeoutError, asyncio.TimeoutError)


def check_workers(
    client: Client, paths: Sequence[str], folder: str | None, *, timeout_s: float = 60.0
) -> list[str]:
    """Refuse workers that could not do the work, and return the addresses of all.

    Parameters
    ----------
    client : distributed.Client
    paths : sequence of str
        Files and folders that every worker has to see.
    folder : str, optional
        Where every worker has to write.
    timeout_s : float
        How long to wait for the first worker.

    Returns
    -------
    list of str

    Raises
    ------
    DataError
        There is no worker, or one or the scheduler lacks a package, a version, a file or the right to write.
    """
    from ptycho.distributed._worker import facts_of_worker

    try:
        client.wait_for_workers(1, timeout=timeout_s)
    except TIMEOUTS as error:
        address = client.scheduler_info()["address"]
        raise DataError(
            f"the scheduler at {address} has no worker after {timeout_s:g} s; start some with `dask worker {address}`."
        ) from error
    found: Any = client.run(facts_of_worker, paths, folder, on_error="return")
    lacks = list(_scheduler_lacks(client))
    lacks += [sentence for address, facts in found.items() for sentence in _lacks(address, facts, folder)]
    if lacks:
        raise DataError(" ".join(lacks[:3]))
    return list(found)


def _scheduler_lacks(client: Client) -> Iterator[str]:
    """Give what is missing where tasks are passed on, which is this program, for they are read there too."""
    where = f"the scheduler at {client.scheduler_info()['address']}"
    try:
        there: Any = client.run_on_scheduler(versions, ())
    except (ImportError, AttributeError) as error:
        yield (
            f"{where} cannot pass on this program's tasks ({reason_of(error)}); install "
            "ptycho-autobatch[distributed] of the same version there."
        )
        return
    for package, version in versions(()).items():
        if there.get(package) != version:
            yield (
                f"{where} has {package} {there.get(package)} but {version} is used here; install the same version on "
                "both."
            )


def _lacks(address: str, facts: Any, folder: str | None) -> Iterator[str]:
    if isinstance(facts, BaseException):
        yield (
            f"the worker {address} cannot run this program ({reason_of(facts)}); install ptycho-autobatch[distributed] "
            "of the same version there."
        )
        return
    here = versions(PACKAGES)
    for package, version in here.items():
        if facts["versions"].get(package) != version:
            yield (
                f"the worker {address} has {package} {facts['versions'].get(package)} but {version} is used here; "
                "install the same version on both."
            )
    for path in facts["missing"]:
        yield (
            f"the worker {address} does not see {path}; put it on storage that all machines have under the same path."
        )
    if not facts["writes"]:
        yield (
            f"the worker {address} cannot write to {folder}; keep the checkpoint in a folder on storage that all "
            "machines share."
        )
