"""For the tests of code that uses this package: injected out-of-memory errors and a fixed memory.

Examples
--------
>>> from autobatch import run_in_batches
>>> from autobatch.testing import inject_oom
>>> with inject_oom(at=[1], form="memory_error"):
...     run = run_in_batches(lambda start, stop: list(range(start, stop)), 8, batch_size=4)
>>> run.attempted_sizes
[4, 4, 2, 2]
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any, Literal

from autobatch._hooks import PROCESS, Compute
from autobatch._types import DeviceMemory

Form = Literal["resource_exhausted", "xla", "dst_tensor", "cudnn", "memory_error"]


@contextmanager
def inject_oom(
    *,
    at: Collection[int],
    skip: int = 0,
    form: Form = "resource_exhausted",
    label: str | None = None,
    when: Literal["before", "after"] = "before",
) -> Iterator[InjectedFaults]:
    """Make chosen calls of `compute` fail as if memory had run out, in every run that begins inside the block.

    That holds for all threads of the process.

    Parameters
    ----------
    at : collection of int
        Which calls fail, counted from 0 over all runs inside the block, retries included.
    skip : int
        Number of first calls that are not counted, for example the measured ones.
    form : str
        ``"resource_exhausted"``, ``"xla"``, ``"dst_tensor"`` and ``"cudnn"`` are TensorFlow's forms and
        import TensorFlow; ``"memory_error"`` is Python's.
    label : str, optional
        Count and fail only in runs with this label, for example the outer one of two nested runs.
    when : {"before", "after"}
        ``"before"`` fails instead of calling `compute`; ``"after"`` calls it first, and fails instead of
        returning its result, which shows whether `compute` may be repeated.

    Yields
    ------
    InjectedFaults
        Counts the calls that were made and that failed.

    Raises
    ------
    ValueError
        If `form` or `when` is none of these words.
    """
    if when not in ("before", "after"):
        raise ValueError(f'when is {when!r} but must be "before" or "after".')
    faults = InjectedFaults()
    make_error = _error_factory(form)
    calls, lock, chosen = count(-skip), Lock(), frozenset(at)

    def fails() -> bool:
        with lock:
            faults.n_calls += 1
            is_chosen = next(calls) in chosen
            faults.n_injected += is_chosen
            return is_chosen

    def wrap(compute: Compute, run_label: str) -> Compute:
        def failing_compute(start: int, stop: int) -> Any:
            is_chosen = fails()
            if is_chosen and when == "before":
                raise make_error(stop - start)
            result = compute(start, stop)
            if is_chosen:
                raise make_error(stop - start)
            return result

        return failing_compute if label in (None, run_label) else compute

    with PROCESS.wrapping(wrap):
        yield faults


@dataclass
class InjectedFaults:
    """What happened inside an `inject_oom` block.

    Attributes
    ----------
    n_calls : int
        How often `compute` was called.
    n_injected : int
        How many of these calls failed.
    """

    n_calls: int = 0
    n_injected: int = 0


@dataclass(frozen=True)
class FixedMemory:
    """A device whose memory never changes; pass it as ``device=`` to `run_in_batches`.

    Attributes
    ----------
    free_bytes : int
        Free and usable bytes.
    total_bytes : int, optional
        Size of the device; `free_bytes` by default.
    device : str
        The device to pretend to be.
    """

    free_bytes: int
    total_bytes: int | None = None
    device: str = "GPU:0"

    def __call__(self) -> DeviceMemory:
        """Return the reading.

        Returns
        -------
        DeviceMemory
            The same each time.
        """
        total_bytes = self.free_bytes if self.total_bytes is None else self.total_bytes
        return DeviceMemory(
            device=self.device,
            total_bytes=total_bytes,
            free_bytes=self.free_bytes,
            usable_bytes=self.free_bytes,
            source="fixed",
        )


def _error_factory(form: Form) -> Callable[[int], Exception]:
    if form == "memory_error":
        return lambda size: MemoryError(f"injected: unable to allocate a batch of {size}")
    import tensorflow as tf

    errors = tf.errors
    factories: dict[str, Callable[[int], Exception]] = {
        "resource_exhausted": lambda size: errors.ResourceExhaustedError(
            None,
            None,
            f"OOM when allocating tensor with shape[{size},64,64,32] and type float on "
            "/job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc",
        ),
        "xla": lambda size: errors.ResourceExhaustedError(
            None, None, f"Out of memory while trying to allocate {size << 20} bytes."
        ),
        "dst_tensor": lambda size: errors.InternalError(None, None, "Dst tensor is not initialized."),
        "cudnn": lambda size: errors.NotFoundError(
            None, None, "No algorithm worked! Error messages: CUDNN_STATUS_ALLOC_FAILED"
        ),
    }
    if form not in factories:
        raise ValueError(f"form is {form!r} but must be one of {', '.join(factories)} or memory_error.")
    return factories[form]
