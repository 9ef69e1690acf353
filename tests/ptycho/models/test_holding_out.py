"""What a training never sees: random groups, places that nothing learnt overlaps, or whole scans."""

import numpy as np
import pytest

from ptycho.data import ScanData
from ptycho.errors import DataError
from ptycho.models._examples import Examples
from ptycho.models._holding_out import split
from ptycho.models.networks import Architecture
from ptycho.models.training import TrainingSettings

SIDE = 16


def _scan(seed, n=150, width=(150, 110)):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(SIDE, np.array(width), (n, 2))
    return ScanData(
        amplitude=rng.random((n, SIDE, SIDE)), positions_yx=positions, probe=np.ones((SIDE, SIDE))
    )


def _split(scans, hold_out, fraction=0.1, gridsize=1):
    architecture = Architecture(kind="pinn", patch_size=32, gridsize=gridsize)
    examples = Examples.gather(scans, architecture, np.random.default_rng(0))
    settings = TrainingSettings(hold_out=hold_out, validation_fraction=fraction)
    seen, held_out, _ = split(examples, settings, np.random.default_rng(2))
    return examples, seen, held_out


def _positions(examples, chosen, number):
    rows = chosen[examples.scan_of[chosen] == number]
    return examples.scans[number].positions_yx[examples.indices[rows]].reshape(-1, 2)


@pytest.mark.parametrize("gridsize", [1, 2])
def test_no_frame_of_a_block_overlaps_with_one_that_is_learnt(gridsize):
    scans = [_scan(1), _scan(2, n=120, width=(120, 170))]
    examples, seen, held_out = _split(scans, "blocks", gridsize=gridsize)
    for number, scan in enumerate(scans):
        block, learnt = _positions(examples, held_out, number), _positions(examples, seen, number)
        apart = np.abs(block[:, None] - learnt[None]).max(axis=-1)
        assert apart.min() >= SIDE
        assert np.count_nonzero(examples.scan_of[held_out] == number) == round(0.1 * scan.n_frames)
        # In one place: within a rectangle that holds a share of the scan's area not far above that of its frames.
        assert np.prod(np.ptp(block, axis=0)) < 0.3 * np.prod(np.ptp(scan.positions_yx, axis=0))
    assert set(seen).isdisjoint(held_out)
    # The margin costs no more than what overlaps.
    assert len(seen) > 0.4 * len(examples)


def test_random_groups_are_drawn_as_ever():
    examples, seen, held_out = _split([_scan(1)], "random")
    order = np.random.default_rng(2).permutation(len(examples))
    np.testing.assert_array_equal(np.concatenate([held_out, seen]), order)
    assert len(held_out) == 15


def test_whole_scans_are_held_out_and_the_others_learnt():
    examples, seen, held_out = _split([_scan(seed, n=20 + seed) for seed in range(10)], "scans", fraction=0.2)
    kept = np.unique(examples.scan_of[held_out])
    assert len(kept) == 2
    np.testing.assert_array_equal(np.sort(held_out), np.flatnonzero(np.isin(examples.scan_of, kept)))
    assert len(seen) + len(held_out) == len(examples)


@pytest.mark.parametrize(("n_scans", "way"), [(10, "scans"), (2, "blocks"), (1, "blocks")])
def test_by_itself_scans_or_blocks_are_held_out_whichever_leaves_more_to_learn(n_scans, way):
    scans = [_scan(seed) for seed in range(n_scans)]
    found, expected = (_split(scans, hold_out, fraction=0.05)[1:] for hold_out in ("auto", way))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scans", [[_scan(3, n=40, width=(30, 32))], [_scan(4, width=(60, 60))] * 2])
def test_where_both_cost_too_much_random_groups_are_held_out_and_it_is_said(scans, caplog):
    found, expected = (_split(scans, way)[1:] for way in ("auto", "random"))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "drawn at random and overlaps with what is learnt" in caplog.text


def test_what_would_leave_too_little_is_refused():
    with pytest.raises(DataError, match="there is one scan"):
        _split([_scan(1)], "scans")
    with pytest.raises(DataError, match=r"leaves \d of 40 groups that do not overlap"):
        _split([_scan(3, n=40, width=(30, 32))], "blocks")
