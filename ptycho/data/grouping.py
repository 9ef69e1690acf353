"""Groups of neighbouring scan points, the input of networks that see C = gridsize² frames at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ptycho._showing.one_line import OneLine
from ptycho.data.scan import read_only
from ptycho.errors import DataError


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Groups(OneLine):
    """Which frames each network input holds, and where they lie.

    Attributes
    ----------
    indices : (n, C) int64
        Frames of each group, in the order of the network's channels.
    centres_yx : (n, 2) float64
        Mean position of each group, in pixels of the object frame; the merged patch is stitched there.
    relative_yx : (n, C, 2) float64
        ``-(position - centre)`` of each member, in pixels: the shift that brings the member to the centre.
    """

    indices: np.ndarray
    centres_yx: np.ndarray
    relative_yx: np.ndarray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name in ("indices", "centres_yx", "relative_yx"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.indices)

    def select(self, chosen: ArrayLike) -> Groups:
        """Return the groups at `chosen`, in that order, their members unchanged.

        Parameters
        ----------
        chosen : (m,) int
            Numbers of groups.

        Returns
        -------
        Groups
            m of them.
        """
        rows = np.asarray(chosen)
        return Groups(
            indices=self.indices[rows],
            centres_yx=self.centres_yx[rows],
            relative_yx=self.relative_yx[rows],
        )


def neighbour_groups(
    positions_yx: np.ndarray, *, gridsize: int, n_neighbours: int = 7, rng: np.random.Generator
) -> Groups:
    """Form one group around every scan point.

    For gridsize 1 a group is the frame itself. Otherwise each point's `n_neighbours` nearest neighbours,
    itself left out, are found, and C = gridsize² of them are drawn without replacement. All groups are
    formed here, before anything is batched, so that batches do not change them.

    Parameters
    ----------
    positions_yx : (n, 2) float64
        Patch centres in pixels.
    gridsize : int
        At least 1.
    n_neighbours : int
        How many neighbours to draw from; with fewer other points than that, from all of them.
    rng : numpy.random.Generator
        Source of the draw; unused for gridsize 1.

    Returns
    -------
    Groups

    Raises
    ------
    DataError
        The shape is wrong, or there are too few points or neighbours to draw C from.
    """
    positions = np.asarray(positions_yx, dtype=np.float64)
    _check(positions, gridsize, n_neighbours)
    n_points, n_channels = len(positions), gridsize**2
    if gridsize == 1:
        indices = np.arange(n_points)[:, None]
    else:
        neighbours = _nearest_others(positions, min(n_neighbours, n_points - 1))
        indices = rng.permuted(neighbours, axis=1)[:, :n_channels].copy()
    members = positions[indices]
    centres = members.mean(axis=1)
    return Groups(indices=indices, centres_yx=centres, relative_yx=centres[:, None] - members)


def _nearest_others(positions: np.ndarray, n_neighbours: int) -> np.ndarray:
    """Return (n, n_neighbours) int64: the nearest points of each, nearest first, itself left out."""
    # Slow to import and not needed for gridsize 1.
    from scipy.spatial import KDTree

    nearest = np.asarray(KDTree(positions).query(positions, k=n_neighbours + 1)[1], dtype=np.int64)
    itself = nearest == np.arange(len(positions))[:, None]
    # Among coinciding points the tree may leave a point itself out; then the farthest goes instead.
    itself[~itself.any(axis=1), -1] = True
    return nearest[~itself].reshape(len(positions), n_neighbours)


def _check(positions: np.ndarray, gridsize: int, n_neighbours: int) -> None:
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise DataError(f"positions have shape {positions.shape} but must be (n, 2), one (y, x) per frame.")
    if gridsize < 1:
        raise DataError(f"gridsize is {gridsize} but must be at least 1; pass 1 for single frames.")
    n_channels = gridsize**2
    if gridsize > 1 and n_neighbours < n_channels:
        raise DataError(
            f"n_neighbours is {n_neighbours} but gridsize {gridsize} draws {n_channels} of them; "
            f"pass at least {n_channels}."
        )
    if gridsize > 1 and len(positions) <= n_channels:
        raise DataError(
            f"there are {len(positions)} scan points but gridsize {gridsize} groups {n_channels} neighbours "
            f"of each; pass at least {n_channels + 1} points or a smaller gridsize."
        )
