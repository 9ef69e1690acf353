"""Numbers of frames as the flag that leaves them out."""

from __future__ import annotations

import numpy as np

_LISTED_RUNS = 12


def skip_flag(frames: np.ndarray) -> str:
    """Return ``--skip`` with the numbers of frames, (k,) in order, such as ``--skip 3,40:45``; no numbers if many."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    if len(runs) > _LISTED_RUNS:
        return "--skip"
    return "--skip " + ",".join(str(run[0]) if run.size == 1 else f"{run[0]}:{run[-1] + 1}" for run in runs)
