"""What a part of a run comes to: sums of canvases and of the misfit, and how its batches went. Parts add up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from autobatch import Attempt, BatchRun
from ptycho.evaluation.misfit import MisfitTotals
from ptycho.reconstruction._canvases import CanvasSums


@dataclass(frozen=True, kw_only=True)
class StreamRecord:
    """How the batches of a stream of patches went.

    Attributes
    ----------
    prediction : BatchRun
        Those of the network, its items counted from the first patch of the run.
    first_stitching : BatchRun, optional
        The pieces in which the first of these entered a canvas; None where that is not kept.
    stitch_sizes : tuple of int
        Every number of patches that entered at once, in order of first use.
    n_stitch_oom : int
        Out-of-memory errors met on the canvases.
    predict_s, stitch_s, judge_s : float
        Seconds in the network, on the canvases, and for the misfit.
    collapsed : str, optional
        Why the first batch looks like that of a collapsed network.
    """

    prediction: BatchRun
    first_stitching: BatchRun | None
    stitch_sizes: tuple[int, ...]
    n_stitch_oom: int
    predict_s: float
    stitch_s: float
    judge_s: float
    collapsed: str | None

    def plus(self, other: StreamRecord) -> StreamRecord:
        """Return the record of both parts, this one before the other.

        Parameters
        ----------
        other : StreamRecord

        Returns
        -------
        StreamRecord
        """
        return StreamRecord(
            prediction=_both(self.prediction, other.prediction),
            first_stitching=self.first_stitching,
            stitch_sizes=tuple(dict.fromkeys(self.stitch_sizes + other.stitch_sizes)),
            n_stitch_oom=self.n_stitch_oom + other.n_stitch_oom,
            predict_s=self.predict_s + other.predict_s,
            stitch_s=self.stitch_s + other.stitch_s,
            judge_s=self.judge_s + other.judge_s,
            collapsed=self.collapsed,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ShardSums:
    """What the patches number `start` to ``stop - 1`` of a run come to.

    Attributes
    ----------
    start, stop : int
        Numbers of the first patch and of the one behind the last.
    canvases : CanvasSums
        On the pixels under these patches alone.
    misfit : MisfitTotals, optional
        How well their frames are explained.
    record : StreamRecord
        How their batches went.
    """

    start: int
    stop: int
    canvases: CanvasSums
    misfit: MisfitTotals | None
    record: StreamRecord

    def plus(self, other: ShardSums) -> ShardSums:
        """Return the sums of this part and of the one right behind it.

        Parameters
        ----------
        other : ShardSums

        Returns
        -------
        ShardSums

        Raises
        ------
        ValueError
            `other` begins elsewhere than this part ends.
        """
        if self.stop != other.start:
            raise ValueError(
                f"patches {self.start} to {self.stop - 1} were to be followed by {other.start} to {other.stop - 1}, "
                "which leaves a gap or counts some twice; add up neighbours."
            )
        misfit = None
        if self.misfit is not None and other.misfit is not None:
            misfit = self.misfit.plus(other.misfit)
        return ShardSums(
            start=self.start,
            stop=other.stop,
            canvases=self.canvases.plus(other.canvases),
            misfit=misfit,
            record=self.record.plus(other.record),
        )


def _both(first: BatchRun, second: BatchRun) -> BatchRun:
    peaks = [run.measured_peak_bytes for run in (first, second) if run.measured_peak_bytes is not None]
    return replace(
        first,
        n_items=second.n_items,
        attempts=tuple(_coalesced([*first.attempts, *second.attempts])),
        seconds=first.seconds + second.seconds,
        measured_peak_bytes=max(peaks, default=None),
    )


def _coalesced(attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    """Give the attempts, neighbours that finished with one size taken together."""
    last = None
    for attempt in attempts:
        if (
            last is not None
            and last.outcome == attempt.outcome == "done"
            and last.batch_size == attempt.batch_size
        ):
            last = replace(
                last,
                stop=attempt.stop,
                n_batches=last.n_batches + attempt.n_batches,
                seconds=last.seconds + attempt.seconds,
            )
            continue
        if last is not None:
            yield last
        last = attempt
    if last is not None:
        yield last
