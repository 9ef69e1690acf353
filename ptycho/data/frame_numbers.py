"""Numbers of frames, and the setting that leaves them out."""

from __future__ import annotations

import numpy as np

_LISTED_RUNS = 12


def skipping(frames: np.ndarray) -> str:
    """Return the setting that leaves frames out, by their numbers (k,) in order unless these are many."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    if len(runs) > _LISTED_RUNS:
        return "`skip`"
    numbers = ",".join(str(run[0]) if run.size == 1 else f"{run[0]}:{run[-1] + 1}" for run in runs)
    return f"`skip='{numbers}'`"
