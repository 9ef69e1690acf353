"""Which groups are kept from a training, to measure how well it does on what it has not seen."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import NamedTuple

import numpy as np

from ptycho.errors import DataError
from ptycho.models._examples import Examples
from ptycho.models.training import HoldOut, TrainingSettings

logger = logging.getLogger(__name__)

# Of a scan's groups; with fewer left the margin costs more than it tells.
_LEAST_LEFT = 0.25
# Of all groups, where nobody has asked for the way that costs so many.
_LEAST_LEFT_UNASKED = 0.6


class Split(NamedTuple):
    """The groups to learn from and those that are held out, each in random order, and which way these were chosen."""

    seen: np.ndarray
    held_out: np.ndarray
    way: HoldOut


def split(examples: Examples, settings: TrainingSettings, rng: np.random.Generator) -> Split:
    """Return the groups to learn from and those that are held out.

    Raises
    ------
    DataError
        Too little would be left to learn from.
    """
    order = rng.permutation(len(examples))
    way = settings.hold_out
    if way == "auto":
        way = _cheapest(examples, settings.validation_fraction, rng, order)
    held_out, seen = _WAYS[way](examples, settings.validation_fraction, rng, order)
    logger.info(
        "%d of %d groups are held out (%s), %d more are left out as a margin",
        np.count_nonzero(held_out),
        len(order),
        way,
        np.count_nonzero(~held_out & ~seen),
    )
    return Split(order[seen[order]], order[held_out[order]], way)


def _cheapest(examples: Examples, fraction: float, rng: np.random.Generator, order: np.ndarray) -> HoldOut:
    """Return whether whole scans or blocks leave more to learn from; "random" if both cost too much."""
    n_left: dict[HoldOut, int] = {}
    ways: tuple[HoldOut, ...] = ("scans", "blocks")
    for way in ways:
        try:
            # The draws are those that follow if the way is taken.
            _, seen = _WAYS[way](examples, fraction, deepcopy(rng), order)
        except DataError:
            continue
        n_left[way] = int(np.count_nonzero(seen))
    best = max(n_left, key=lambda way: n_left[way], default=None)
    if best is not None and n_left[best] >= _LEAST_LEFT_UNASKED * len(order):
        return best
    logger.warning(
        "the scans are too few and too small to hold out one of them, or a block of each with a margin: what is held "
        "out is drawn at random and overlaps with what is learnt, so that its loss flatters"
    )
    return "random"


def _at_random(
    examples: Examples, fraction: float, _rng: np.random.Generator, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out the first groups of a random order."""
    held_out = np.zeros(len(examples), bool)
    held_out[order[: max(1, round(len(order) * fraction))]] = True
    return held_out, ~held_out


def _whole_scans(
    examples: Examples, fraction: float, rng: np.random.Generator, _order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out as many scans, drawn at random, as come nearest to the share; at least one."""
    n_scans = len(examples.scans)
    if n_scans < 2:
        raise DataError(
            "hold_out is 'scans' but there is one scan; give another scan, or pass `hold_out='blocks'`."
        )
    n_held_out = min(max(1, round(n_scans * fraction)), n_scans - 1)
    held_out = np.isin(examples.scan_of, rng.permutation(n_scans)[:n_held_out])
    return held_out, ~held_out


def _blocks(
    examples: Examples, fraction: float, rng: np.random.Generator, _order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a square block at a corner of every scan, and leave out all groups whose frames overlap with it."""
    held_out, seen = np.zeros(len(examples), bool), np.zeros(len(examples), bool)
    for number, scan in enumerate(examples.scans):
        rows = np.flatnonzero(examples.scan_of == number)
        members = scan.positions_yx[examples.indices[rows]]  # (n, C, 2)
        block, free = _block(members, scan.patch_size, fraction, rng)
        n_free = np.count_nonzero(free)
        if n_free < max(1, _LEAST_LEFT * len(rows)):
            raise DataError(
                f"holding out a block of scan {number} leaves {n_free} of {len(rows)} groups that do not overlap "
                "with it; pass another `hold_out`, 'scans' or 'random', or a smaller validation fraction."
            )
        held_out[rows], seen[rows] = block, free
    return held_out, seen


def _block(
    members_yx: np.ndarray, patch_size: int, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return which groups (n, C, 2) of a scan make the block, and which have no frame that overlaps with its frames."""
    from scipy.spatial import KDTree

    centres = members_yx.mean(axis=1)
    corners = np.stack([centres.min(axis=0), centres.max(axis=0)])
    corner = corners[rng.integers(0, 2, 2), [0, 1]]
    distance = np.abs(centres - corner).max(axis=1)
    n_held_out = max(1, round(len(centres) * fraction))
    block = np.zeros(len(centres), bool)
    block[np.argsort(distance, kind="stable")[:n_held_out]] = True
    # Frames of N pixels overlap if their centres differ by less than N along both axes.
    tree = KDTree(members_yx[block].reshape(-1, 2))
    nearest, _ = tree.query(members_yx.reshape(-1, 2), p=np.inf)
    free = (nearest.reshape(len(centres), -1) >= patch_size).all(axis=1)
    return block, free


_WAYS = {"random": _at_random, "blocks": _blocks, "scans": _whole_scans}
