"""Errors that a caller may want to tell apart; none of them is itself an out-of-memory error.

What a run had finished when any error ended it is told by `autobatch.progress_of`.
"""

from __future__ import annotations


class AutobatchError(Exception):
    """Base class of the errors of this package.

    `autobatch.is_out_of_memory` is false for all of them, whatever their cause: they are raised where
    a smaller batch no longer helps, so an outer driver must not halve because of them.
    """


class DoesNotFitError(AutobatchError):
    """A batch of one item did not fit into memory.

    Attributes
    ----------
    first, last : Exception, optional
        The first out-of-memory error of the run and the one at a single item.
    n_committed : int
        Number of items finished before the one that does not fit; they are exactly ``[0, n_committed)``,
        but for those that were skipped.
    """

    def __init__(
        self,
        message: str,
        *,
        first: BaseException | None = None,
        last: BaseException | None = None,
        n_committed: int = 0,
    ) -> None:
        super().__init__(message)
        self.first = first
        self.last = last
        self.n_committed = n_committed


class CommitOutOfMemoryError(AutobatchError):
    """`commit` ran out of memory; it is never repeated, since half of it may have been done.

    Attributes
    ----------
    n_committed : int
        Number of items known to be committed; they are exactly ``[0, n_committed)``.
    interrupted : tuple of int
        ``(start, stop)`` of the batch whose commit was interrupted.
    """

    def __init__(self, message: str, *, n_committed: int = 0, interrupted: tuple[int, int] = (0, 0)) -> None:
        super().__init__(message)
        self.n_committed = n_committed
        self.interrupted = interrupted


class ResultLengthError(AutobatchError, ValueError):
    """`compute` returned an array with another number of rows than the batch has items."""


class CannotMeasureError(AutobatchError):
    """The allocator keeps no statistics, so the cost of an item cannot be measured."""


class DeviceNotFoundError(AutobatchError):
    """The device asked for does not exist or is hidden from this process."""


class StoppedError(SystemExit):
    """A signal ended the run after a finished batch; uncaught, it ends the process with ``128 + signal``.

    It is no `Exception`, so that nothing on the way takes it for a failure of its own.

    Attributes
    ----------
    signal_number : int
        The signal.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)
        self.signal_number = signal_number
