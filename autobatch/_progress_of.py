"""How far a run came, told by the error that ended it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from autobatch._batch_run import BatchRun

_ATTRIBUTE = "_autobatch_runs"


def progress_of(error: BaseException, *, label: str | None = None) -> BatchRun | None:
    """Return what a run had done when `error` ended it, whatever kind of error it is, Ctrl-C included.

    Parameters
    ----------
    error : BaseException
        What came out of `run_in_batches`, `map_batches` or `predict`.
    label : str, optional
        Of nested runs, the one with this label; the outermost that the error has left by default.

    Returns
    -------
    BatchRun or None
        With the outputs that are finished, and `BatchRun.resume`; None if no run was ended by this error.
    """
    told = getattr(error, _ATTRIBUTE, None)
    entries: list[tuple[str, BatchRun]] = [] if told is None else told.entries
    return next((run for name, run in reversed(entries) if label in (None, name)), None)


def attach(error: BaseException, label: str, run: BatchRun) -> BaseException:
    """Let `progress_of` find `run`, and return the error; the newest run is taken for the outermost."""
    told = getattr(error, _ATTRIBUTE, None)
    entries = [] if told is None else [entry for entry in told.entries if entry[0] != label]
    # Past the class's own __setattr__, which a frozen exception forbids.
    BaseException.__setattr__(error, _ATTRIBUTE, _Told([*entries, (label, run)]))
    return error


def joined(
    earlier: BatchRun | None, run: BatchRun, outputs: Callable[[BatchRun], list[Any]] | None
) -> BatchRun:
    """Return two parts of one piece of work as one run.

    Parameters
    ----------
    earlier : BatchRun, optional
        The first part, which an error ended.
    run : BatchRun
        The part that went on from there.
    outputs : callable, optional
        Returns what the commits of both have gathered; without it each part has its own.
    """
    if earlier is not None:
        run = replace(
            run,
            plan=earlier.plan if earlier.plan.batch_size else run.plan,
            attempts=earlier.attempts + run.attempts,
            seconds=earlier.seconds + run.seconds,
            outputs=earlier.outputs + run.outputs,
            start=earlier.start,
            skipped=earlier.skipped + run.skipped,
        )
    return run if outputs is None else replace(run, outputs=outputs(run))


class _Told:
    """Runs by label, innermost first. A copy in another process has neither outputs nor functions."""

    def __init__(self, entries: list[tuple[str, BatchRun]]) -> None:
        self.entries = entries

    def __reduce__(self) -> tuple[Any, ...]:
        return _Told, ([(label, replace(run, outputs=[], continuation=None)) for label, run in self.entries],)
