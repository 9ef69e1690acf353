"""Which frames of a scan to work on: the same subset for the same seed."""

from __future__ import annotations

import logging

import numpy as np

from ptycho.data.scan import ScanData
from ptycho.errors import DataError

logger = logging.getLogger(__name__)


def subsample_indices(n_frames: int, n_chosen: int, *, seed: int | None = None) -> np.ndarray:
    """Draw `n_chosen` of `n_frames` frames without replacement, in scan order.

    The legacy generator `numpy.random.RandomState` is used because its stream is frozen: a seed gives
    the very subset that it gave PtychoPINN's users.

    Parameters
    ----------
    n_frames, n_chosen : int
        How many there are and how many are wanted, ``1 <= n_chosen <= n_frames``.
    seed : int, optional
        0 … 2³² − 1. Without one a fresh seed is drawn and logged, so that the draw can be repeated.

    Returns
    -------
    (n_chosen,) int64
        Ascending.

    Raises
    ------
    DataError
        More frames are wanted than there are, or none.
    """
    if not 1 <= n_chosen <= n_frames:
        raise DataError(
            f"{n_chosen} frames are wanted but the scan holds {n_frames}; ask for 1 to {n_frames}."
        )
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
        logger.info(
            "%d of %d frames drawn without a seed; seed %d repeats the draw", n_chosen, n_frames, seed
        )
    elif not 0 <= seed < 2**32:
        raise DataError(f"the subsample seed is {seed} but must be 0 to {2**32 - 1}; pass one of these.")
    chosen = np.random.RandomState(seed).choice(n_frames, n_chosen, replace=False)
    return np.sort(chosen).astype(np.int64)


def subsample(scan: ScanData, n_chosen: int, *, seed: int | None = None) -> ScanData:
    """Return frames of a scan drawn by `subsample_indices`; all of them without a copy.

    Parameters
    ----------
    scan : ScanData
    n_chosen : int
        How many are wanted, at most as many as there are.
    seed : int, optional
        Of the draw; without one a fresh seed is drawn and logged.

    Returns
    -------
    ScanData
        In scan order, with probe and object unchanged.

    Raises
    ------
    DataError
        More frames are wanted than there are, or none.

    Examples
    --------
    >>> from ptycho.data import SimulationSettings, simulate, subsample
    >>> scan = simulate(SimulationSettings(object_shape_yx=(90, 100), step_px=8.0))
    >>> subset = subsample(scan, 5, seed=1)
    >>> scan.n_frames, subset.n_frames
    (20, 5)
    """
    if n_chosen == scan.n_frames:
        return scan
    return scan.select(subsample_indices(scan.n_frames, n_chosen, seed=seed))
