"""Sizes remembered between runs, in a small JSON file that several processes may share."""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from autobatch import _tensorflow
from autobatch._types import Attempt, BatchPlan, DeviceMemory

_logger = logging.getLogger(__name__)
_SCHEMA = "autobatch-memo-1"
# Free memory differs a little from run to run; beyond this the remembered size says nothing.
_SAME_MEMORY = (0.95, 1.5)
# What reading a file of another kind can raise; nested deeply enough, JSON exhausts the interpreter's stack.
_NOT_A_MEMO = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_LONGEST_WAIT = 64
# A memo holds a few hundred bytes for each computation; what is larger than this is something else.
_MOST_BYTES = 64 << 20
_MOST = 1 << 60


class ArrayLike(Protocol):
    """Anything with a shape and a dtype; the first axis counts the items."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What is known under one key.

    Attributes
    ----------
    good : int
        The largest size that worked.
    bad : int, optional
        The smallest that failed.
    usable_bytes : int
        What was usable then.
    wanted : int, optional
        The size that would have been taken if nothing had failed. A shortage may have been another
        program's and pass, so sizes up to this one are tried again.
    n_failures : int
        How many runs in a row failed above `good`.
    n_waits : int
        How many runs there are yet to be at `good` before a larger size is tried.
    """

    good: int
    bad: int | None
    usable_bytes: int
    wanted: int | None = None
    n_failures: int = 0
    n_waits: int = 0

    def __post_init__(self) -> None:
        """Refuse what no run has written."""
        _check_number("good", self.good, least=1)
        _check_number("usable_bytes", self.usable_bytes, least=0)
        _check_number("n_failures", self.n_failures, least=0)
        _check_number("n_waits", self.n_waits, least=0)
        if self.bad is not None:
            _check_number("bad", self.bad, least=2)
        if self.wanted is not None:
            _check_number("wanted", self.wanted, least=1)

    def next_size(self) -> int:
        """Return the size for the next run: the one that worked or, when it is time, up to twice that."""
        if self.wanted is None or self.wanted <= self.good or self.n_waits > 0:
            return self.good
        return min(2 * self.good, self.wanted)

    def merged(self, newer: _Entry) -> _Entry:
        """Combine two observations; the newer one wins where they contradict each other."""
        if not _is_like(newer.usable_bytes, self.usable_bytes):
            return newer
        bads = [bad for bad in (self.bad, newer.bad) if bad is not None and bad > newer.good]
        good = max(newer.good, self.good if not bads or self.good < min(bads) else 0)
        wanted = max(self.wanted or 0, newer.wanted or 0) or None
        n_failures, n_waits = self._patience_after(newer)
        return _Entry(
            good=good,
            bad=min(bads, default=None),
            # A small run says nothing about the room that the largest size needs.
            usable_bytes=newer.usable_bytes if newer.good >= good else self.usable_bytes,
            wanted=wanted,
            n_failures=n_failures,
            n_waits=n_waits,
        )

    def _patience_after(self, newer: _Entry) -> tuple[int, int]:
        """Return how often it failed in a row and how long to wait: 1 run, then 2, 4 … up to 64."""
        if newer.bad is not None:
            n_failures = self.n_failures + 1
            return n_failures, min(2 ** (n_failures - 1), _LONGEST_WAIT)
        if newer.good > self.good:
            return 0, 0
        return self.n_failures, max(0, self.n_waits - 1) if newer.good == self.good else self.n_waits


class BatchMemo:
    """A file of batch sizes that worked, for runs that repeat.

    Sizes are filed under `key`, the shapes and dtypes of one item, the device, TensorFlow's version and
    Keras's precision, and are not used when the free memory has changed. Runs that neither met nor
    planned against a memory limit leave nothing to remember. A size that failed is tried again after some
    runs, each time after longer ones if it goes on failing: a shortage may pass.

    Parameters
    ----------
    path : str or Path
        The file; made when first needed. A file that is something else is left alone, with a warning.
    key : str
        Names the computation, for example the model and its version.
    items : sequence of arrays
        Inputs of the computation; shape without the first axis and dtype become part of the key.

    Raises
    ------
    TypeError
        If `path` names no file, `key` is no text or an item has no shape and dtype.
    """

    def __init__(self, path: str | os.PathLike[str], key: str, *, items: Sequence[ArrayLike] = ()) -> None:
        if not isinstance(key, str):
            raise TypeError(f"key is {key!r} but must be a text that names the computation.")
        for item in items:
            if not (hasattr(item, "shape") and hasattr(item, "dtype")):
                raise TypeError(
                    f"items holds a {type(item).__name__} but must hold arrays, with shape and dtype."
                )
        self.path = Path(path)
        self._key = [key, *(f"{tuple(item.shape[1:])} {item.dtype}" for item in items)]

    def check(self) -> None:
        """Read the file once, for a command line that refuses a wrong one at its start; runs only warn.

        Raises
        ------
        ValueError
            If the file is something else.
        OSError
            If it cannot be read.
        """
        try:
            for entry in self._read().values():
                _Entry(**entry)
        except _NOT_A_MEMO as error:
            raise ValueError(
                f"{self.path} is no memo of batch sizes ({error}); pass a new name, or a file made by an earlier run."
            ) from error

    def recall(self, memory: DeviceMemory) -> int | None:
        """Return the size to take under the same conditions.

        Parameters
        ----------
        memory : DeviceMemory
            The device as it is now.

        Returns
        -------
        int or None
            The size that worked or, from time to time, a larger one that failed once; None if nothing is
            known or the free memory is another.
        """
        entries = self._load()
        entry = (entries or {}).get(self._full_key(memory))
        if entry is None or not _is_like(memory.usable_bytes, entry.usable_bytes):
            return None
        return entry.next_size()

    def record(self, plan: BatchPlan, attempts: tuple[Attempt, ...], memory: DeviceMemory) -> None:
        """File what a run has shown; a file that cannot be written costs a warning, not the run.

        Parameters
        ----------
        plan : BatchPlan
            The plan of the run.
        attempts : tuple of Attempt
            What was tried.
        memory : DeviceMemory
            The device as it was when the plan was made.
        """
        entry = _observed(plan, attempts, memory)
        if entry is None:
            return
        try:
            with _locked(self.path):
                entries = self._load()
                if entries is not None:
                    key = self._full_key(memory)
                    entries[key] = entries[key].merged(entry) if key in entries else entry
                    _write(self.path, entries)
        except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
            _logger.warning("the batch sizes cannot be remembered in %s: %s", self.path, error)

    def _full_key(self, memory: DeviceMemory) -> str:
        where = memory.uuid or memory.device
        return " | ".join([*self._key, where, _tensorflow.version(), _precision()])

    def _load(self) -> dict[str, _Entry] | None:
        """Return the entries, empty for a new file, None for a file that is no memo."""
        try:
            entries = self._read()
        except (OSError, *_NOT_A_MEMO) as error:
            _logger.warning("%s is not used: it is no memo of batch sizes (%s)", self.path, error)
            return None
        return {key: known for key, entry in entries.items() if (known := _known(entry)) is not None}

    def _read(self) -> dict[str, Any]:
        """Return the entries as they are in the file, empty for a new file."""
        if not self.path.exists():
            return {}
        # A pipe would be waited for, a device never end.
        if not self.path.is_file() or self.path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is no file of that kind")
        content = json.loads(self.path.read_text(encoding="utf-8"))
        if content["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {content['schema']!r:.60}")
        return dict(content["entries"].items())


def _known(entry: Any) -> _Entry | None:
    """Return an entry of the file, None for one that no run has written, which counts as not there."""
    try:
        return _Entry(**entry)
    except _NOT_A_MEMO as error:
        _logger.debug("an entry of the memo is not used: %s", error)
        return None


def _check_number(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise ValueError(f"{name} is {value!r:.40} but must be an integer from {least} on")


def _observed(plan: BatchPlan, attempts: tuple[Attempt, ...], memory: DeviceMemory) -> _Entry | None:
    bad: set[int] = set()
    for attempt in attempts:
        if attempt.outcome == "out_of_memory":
            bad.add(int(attempt.batch_size))
        elif attempt.outcome == "done":
            bad = {size for size in bad if size > attempt.batch_size}
    # What worked before a size at most as large failed is no longer known to work.
    done = [int(attempt.batch_size) for attempt in attempts if attempt.outcome == "done"]
    good = max((size for size in done if not bad or size < min(bad)), default=0)
    met_a_limit = bool(bad) or plan.limited_by in ("memory", "host_memory", "memo")
    if good == 0 or not met_a_limit:
        return None
    n_waits = 1 if bad else 0
    return _Entry(
        good=good,
        bad=min(bad, default=None),
        usable_bytes=max(0, int(memory.usable_bytes)),
        wanted=max(bad, default=None),
        n_failures=n_waits,
        n_waits=n_waits,
    )


def _is_like(usable_bytes: int, remembered_bytes: int) -> bool:
    least, most = _SAME_MEMORY
    return least * remembered_bytes <= usable_bytes <= most * remembered_bytes


def _precision() -> str:
    keras = _tensorflow.keras_imported()
    try:
        return "" if keras is None else str(keras.config.dtype_policy().name)
    except AttributeError as error:  # another Keras
        _logger.debug("Keras does not tell its precision: %s", error)
        return ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the memo for reading and writing; the lock goes away with the process."""
    with open(f"{path}.lock", "a", encoding="utf-8") as lock:
        try:
            import fcntl
        except ImportError:  # Windows: the replacement of the file is still atomic
            yield
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, entries: dict[str, _Entry]) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    content = {"schema": _SCHEMA, "entries": {key: asdict(entry) for key, entry in entries.items()}}
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        # Not tempfile, which shuts out every other user of the file whatever the umask.
        with open(temporary, "x", encoding="utf-8") as file:
            json.dump(content, file, indent=1, sort_keys=True)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
