"""What workers tell of a run while it goes on: which shards were begun, how far each worker is, and which are lost."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autobatch import DeviceMemory, Stage

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

_ALL = "all"  # where Dask tells that a worker has come or gone
_TOLD_EVERY_S = 1.0
# What one scheduler and one display take without effort.
_TOLD_A_SECOND = 200


def topic_of(run: str) -> str:
    """Return the name under which workers tell of a run.

    Parameters
    ----------
    run : str

    Returns
    -------
    str
    """
    return f"ptycho-{run}"


def seconds_between(n_workers: int) -> float:
    """Return how often each of so many workers should tell how far it is.

    Parameters
    ----------
    n_workers : int

    Returns
    -------
    float
    """
    return max(_TOLD_EVERY_S, n_workers / _TOLD_A_SECOND)


class Watch:
    """Keeps what workers tell, and shows it below the stage of a run.

    Parameters
    ----------
    stage : autobatch.Stage
        Gets a part for each worker that has told something.
    """

    def __init__(self, stage: Stage) -> None:
        """Know of no worker yet."""
        self._stage = stage
        self._rows: dict[str, Stage] = {}
        self._done: dict[str, int] = {}
        self.begun: Counter[int] = Counter()

    def hear(self, event: tuple[float, Any]) -> None:
        """Take an event of a run: a shard that is begun, or how far a worker is.

        Parameters
        ----------
        event : (float, object)
            Time and message.
        """
        message = event[1]
        if "begun" in message:
            self.begun[message["begun"]] += 1
        self._show(message["worker"], message)

    def hear_of_cluster(self, event: tuple[float, Any]) -> None:
        """Take an event of the whole cluster: a worker that is lost.

        Parameters
        ----------
        event : (float, object)
            Time and message.
        """
        message = event[1]
        if not isinstance(message, Mapping) or message.get("action") != "remove-worker":
            return
        address = message.get("worker", "")
        if address in self._rows and not message.get("expected", False):
            logger.warning("the worker %s is lost; Dask does its work elsewhere", address)
            self._rows[address].note("lost")

    def _show(self, address: str, told: Mapping[str, Any]) -> None:
        if address not in self._rows:
            self._rows[address] = self._stage.part(_label(told["name"]))
            self._done[address] = 0
        # A worker that begins again counts from nothing.
        row, n_more = self._rows[address], max(0, told["done"] - self._done[address])
        self._done[address] = told["done"]
        if told["size"]:
            row.batch_size(told["size"], "told by the worker")
        row.memory(_memory(told["used_bytes"], told["total_bytes"]))
        row.advance(n_more)


@contextmanager
def watching(client: Client, run: str, watch: Watch) -> Iterator[Watch]:
    """Listen to the workers of a run for the block.

    Parameters
    ----------
    client : distributed.Client
    run : str
    watch : Watch

    Yields
    ------
    Watch
    """
    client.subscribe_topic(topic_of(run), watch.hear)
    client.subscribe_topic(_ALL, watch.hear_of_cluster)
    try:
        yield watch
    finally:
        client.unsubscribe_topic(topic_of(run))
        client.unsubscribe_topic(_ALL)


def _label(name: str) -> str:
    """Return what a worker is called: its number or name, or the end of the address that is its name."""
    return f"worker {name.split('://')[-1]}"


def _memory(used_bytes: int, total_bytes: int | None) -> DeviceMemory:
    free = 0 if total_bytes is None else max(0, total_bytes - used_bytes)
    return DeviceMemory(
        device="CPU",
        total_bytes=used_bytes if total_bytes is None else total_bytes,
        free_bytes=free,
        usable_bytes=free,
        source="the worker",
    )
