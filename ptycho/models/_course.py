"""What the validation losses so far decide: the best epoch, the learning rate and the end; functions of them alone.

So a training that is taken up again decides as one that was never stopped, from its history and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# A loss that falls by less has rested, for the learning rate; the best epoch is that of the least loss.
_LEAST_GAIN = 1e-4
_BLOCKS = "▁▂▃▄▅▆▇█"


def best_epoch(losses: Sequence[float]) -> int:
    """Return the number, from 0, of the first epoch with the least loss; 0 if none is a number."""
    finite = [(loss, epoch) for epoch, loss in enumerate(losses) if not math.isnan(loss)]
    return min(finite)[1] if finite else 0


def sparkline(losses: Sequence[float], width: int = 16) -> str:
    """Return the last losses as a line of blocks, from the lowest to the highest of them on a logarithmic scale."""
    shown = [math.log(loss) if loss > 0 and math.isfinite(loss) else math.nan for loss in losses[-width:]]
    known = [value for value in shown if not math.isnan(value)]
    if len(known) < 2 or max(known) == min(known):
        return ""
    low, step = min(known), (max(known) - min(known)) / (len(_BLOCKS) - 1)
    return "".join(" " if math.isnan(value) else _BLOCKS[round((value - low) / step)] for value in shown)


def has_rested(losses: Sequence[float], patience: int) -> bool:
    """Return whether the last `patience` epochs brought no better loss."""
    return len(losses) > 1 and len(losses) - 1 - best_epoch(losses) >= patience


def is_halving_due(losses: Sequence[float], patience: int) -> bool:
    """Return whether the learning rate is to be halved after the last epoch of `losses`.

    It is after every `patience` epochs in which no loss was lower than the least one before by more than 1e-4.
    """
    least, waited = math.inf, 0
    for loss in losses:
        # What was due has been done: the count begins anew.
        waited = 0 if waited >= patience else waited
        if loss + _LEAST_GAIN < least:
            least, waited = loss, 0
        else:
            waited += 1
    return waited >= patience
