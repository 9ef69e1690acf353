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
# What reading a file of another kind can raise.
_NOT_A_MEMO = (ValueError, KeyError, TypeError, AttributeError)


class ArrayLike(Protocol):
    """Anything with a shape and a dtype; the first axis counts the items."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What is known under one key: the largest size that worked, the smallest that failed."""

    good: int
    bad: int | None
    usable_bytes: int

    def merged(self, newer: _Entry) -> _Entry:
        """Combine two observations; the newer one wins where they contradict each other."""
        if not _is_like(newer.usable_bytes, self.usable_bytes):
            return newer
        bads = [bad for bad in (self.bad, newer.bad) if bad is not None and bad > newer.good]
        good = max(newer.good, self.good if not bads or self.good < min(bads) else 0)
        return _Entry(
            good=good,
            bad=min(bads, default=None),
            # A small run says nothing about the room that the largest size needs.
            usable_bytes=newer.usable_bytes if newer.good >= good else self.usable_bytes,
        )


class BatchMemo:
    """A file of batch sizes that worked, for runs that repeat.

    Sizes are filed under `key`, the shapes and dtypes of one item, the device, TensorFlow's version and
    Keras's precision, and are not used when the free memory has changed. Runs that neither met nor
    planned against a memory limit leave nothing to remember.

    Parameters
    ----------
    path : str or Path
        The file; made when first needed. A file that is something else is left alone, with a warning.
    key : str
        Names the computation, for example the model and its version.
    items : sequence of arrays
        Inputs of the computation; shape without the first axis and dtype become part of the key.
    """

    def __init__(self, path: str | os.PathLike[str], key: str, *, items: Sequence[ArrayLike] = ()) -> None:
        self.path = Path(path)
        self._key = [key, *(f"{tuple(item.shape[1:])} {item.dtype}" for item in items)]

    def check(self) -> None:
        """Raise `ValueError` if the file is something else, `OSError` if it cannot be read; runs only warn."""
        try:
            self._read()
        except _NOT_A_MEMO as error:
            raise ValueError(
                f"{self.path} is no memo of batch sizes ({error}); pass a new name, or a file made by an earlier run."
            ) from error

    def recall(self, memory: DeviceMemory) -> int | None:
        """Return the size that worked under the same conditions, or None."""
        entries = self._load()
        entry = (entries or {}).get(self._full_key(memory))
        if entry is None or not _is_like(memory.usable_bytes, entry.usable_bytes):
            return None
        return entry.good

    def record(self, plan: BatchPlan, attempts: tuple[Attempt, ...], memory: DeviceMemory) -> None:
        """File what a run has shown; a file that cannot be written costs a warning, not the run."""
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
        except OSError as error:
            _logger.warning("the batch sizes cannot be remembered in %s: %s", self.path, error)

    def _full_key(self, memory: DeviceMemory) -> str:
        where = memory.uuid or memory.device
        return " | ".join([*self._key, where, _tensorflow.version(), _precision()])

    def _load(self) -> dict[str, _Entry] | None:
        """Return the entries, empty for a new file, None for a file that is no memo."""
        try:
            return self._read()
        except (OSError, *_NOT_A_MEMO) as error:
            _logger.warning("%s is not used: it is no memo of batch sizes (%s)", self.path, error)
            return None

    def _read(self) -> dict[str, _Entry]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        if content["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {content['schema']!r}")
        return {key: _Entry(**entry) for key, entry in content["entries"].items()}


def _observed(plan: BatchPlan, attempts: tuple[Attempt, ...], memory: DeviceMemory) -> _Entry | None:
    failed = [attempt.batch_size for attempt in attempts if attempt.outcome == "out_of_memory"]
    done = [attempt.batch_size for attempt in attempts if attempt.outcome == "done"]
    good = max((size for size in done if not failed or size < min(failed)), default=0)
    met_a_limit = bool(failed) or plan.limited_by in ("memory", "memo")
    if good == 0 or not met_a_limit:
        return None
    return _Entry(
        good=good,
        bad=min(failed, default=None),
        usable_bytes=memory.usable_bytes,
    )


def _is_like(usable_bytes: int, remembered_bytes: int) -> bool:
    least, most = _SAME_MEMORY
    return least * remembered_bytes <= usable_bytes <= most * remembered_bytes


def _precision() -> str:
    keras = _tensorflow.keras_imported()
    return "" if keras is None else str(keras.config.dtype_policy().name)


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
