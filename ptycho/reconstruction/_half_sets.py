"""Which patches make up a half: groups drawn by lot, and the halves that they can be put together to."""

from __future__ import annotations

import numpy as np

N_GROUPS = 4
# The three ways of making two halves of four groups, each patch once in either.
SPLITS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))


def draw_groups(positions_yx: np.ndarray, *, seed: int) -> np.ndarray:
    """Draw for each patch one of `N_GROUPS` groups, so that each group covers what the scan covers.

    Of any four patches that lie together one goes into each group, by lot. A split by number instead (even and
    odd) makes a lattice of its own of every raster, at whose frequencies the halves then differ; lots drawn for
    each patch alone leave holes in the halves of a scan of little overlap.

    Parameters
    ----------
    positions_yx : (n, 2) float64
        Where the patches lie, in pixels.
    seed : int
        Draws the lots.

    Returns
    -------
    (n,) uint8
        The group of each patch.
    """
    rng = np.random.default_rng(seed)
    n_patches = len(positions_yx)
    n_blocks = -(-n_patches // N_GROUPS)
    lots = rng.permuted(np.tile(np.arange(N_GROUPS, dtype=np.uint8), (n_blocks, 1)), axis=1)
    groups = np.empty(n_patches, np.uint8)
    groups[np.argsort(_places_on_curve(positions_yx), kind="stable")] = lots.ravel()[:n_patches]
    return groups


def _places_on_curve(positions_yx: np.ndarray) -> np.ndarray:
    """Return where each position lies along a Z-order curve, (n,) uint64: neighbours there are neighbours.

    Morton 1966: the bits of row and column in turn, of 2^16 cells a side over the positions.
    """
    lowest = positions_yx.min(axis=0)
    extent = max(float(np.ptp(positions_yx, axis=0).max()), np.finfo(np.float64).tiny)
    cells = ((positions_yx - lowest) / extent * 65535).astype(np.uint64)  # (n, 2)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        cells = (cells | (cells << np.uint64(shift))) & np.uint64(mask)
    return (cells[:, 0] << np.uint64(1)) | cells[:, 1]
