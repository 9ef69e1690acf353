"""The record of a shard as plain values for a file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from autobatch import Attempt, BatchPlan, BatchRun
from ptycho.reconstruction.shard_sums import StreamRecord

_NUMBERS = ("n_stitch_oom", "predict_s", "stitch_s", "judge_s")


def text_of_record(record: StreamRecord) -> dict[str, Any]:
    """Return what is kept of a record, of JSON's types: all but the memory that its batches were planned with."""
    prediction = record.prediction
    return {
        "n_items": prediction.n_items,
        "start": prediction.start,
        "seconds": prediction.seconds,
        "measured_peak_bytes": prediction.measured_peak_bytes,
        "planned": [prediction.plan.batch_size, prediction.plan.reason, prediction.plan.limited_by],
        "attempts": [asdict(attempt) for attempt in prediction.attempts],
        "stitch_sizes": list(record.stitch_sizes),
        "collapsed": record.collapsed,
        **{name: getattr(record, name) for name in _NUMBERS},
    }


def record_of_text(kept: Mapping[str, Any]) -> StreamRecord:
    """Return the record that `kept` was made of.

    Raises
    ------
    KeyError, TypeError, ValueError
        Something is missing or of another kind.
    """
    batch_size, reason, limited_by = kept["planned"]
    prediction = BatchRun(
        n_items=kept["n_items"],
        plan=BatchPlan(batch_size=batch_size, reason=reason, limited_by=limited_by),
        attempts=tuple(Attempt(**attempt) for attempt in kept["attempts"]),
        seconds=kept["seconds"],
        measured_peak_bytes=kept["measured_peak_bytes"],
        start=kept["start"],
    )
    return StreamRecord(
        prediction=prediction,
        first_stitching=None,
        stitch_sizes=tuple(kept["stitch_sizes"]),
        collapsed=kept["collapsed"],
        **{name: kept[name] for name in _NUMBERS},
    )
