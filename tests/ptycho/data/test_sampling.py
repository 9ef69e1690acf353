"""Subsets: the same for the same seed, in scan order, never more than there is."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

from ptycho.data import subsample, subsample_indices
from ptycho.errors import DataError


@pytest.mark.spec("CM-3.1")
def test_a_seed_gives_the_subset_that_it_always_gave():
    expected = np.sort(np.random.RandomState(42).choice(1000, 300, replace=False))
    np.testing.assert_array_equal(subsample_indices(1000, 300, seed=42), expected)


@pytest.mark.spec("CM-3.1")
def test_known_subset():
    assert subsample_indices(10, 4, seed=0).tolist() == [2, 4, 8, 9]


def test_the_subset_is_ascending_and_without_repeats():
    chosen = subsample_indices(500, 200, seed=3)
    assert chosen.dtype == np.int64
    assert (np.diff(chosen) > 0).all()
    assert chosen.min() >= 0
    assert chosen.max() < 500


@pytest.mark.spec("CM-3.2")
def test_without_a_seed_the_logged_one_repeats_the_draw(caplog):
    with caplog.at_level(logging.INFO):
        chosen = subsample_indices(10**6, 50)
    seed = re.search(r"seed (\d+) repeats the draw", caplog.text)
    assert seed is not None
    np.testing.assert_array_equal(subsample_indices(10**6, 50, seed=int(seed[1])), chosen)


def test_without_a_seed_draws_differ():
    assert subsample_indices(10**6, 50).tolist() != subsample_indices(10**6, 50).tolist()


@pytest.mark.spec("CM-3.3")
@pytest.mark.parametrize("wanted", [0, -3, 10])
def test_more_than_there_is_or_none_is_refused(wanted):
    with pytest.raises(DataError, match=f"{wanted} frames are wanted but the scan holds 9; ask for 1 to 9"):
        subsample_indices(9, wanted, seed=1)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(DataError, match=rf"seed is {seed} but must be 0 to 4294967295"):
        subsample_indices(9, 3, seed=seed)


def test_subsample_selects_those_frames(scan):
    chosen = subsample(scan, 4, seed=5)
    np.testing.assert_array_equal(chosen.positions_yx, scan.positions_yx[subsample_indices(9, 4, seed=5)])


def test_all_frames_are_the_scan_itself(scan):
    assert subsample(scan, 9, seed=5) is scan
    with pytest.raises(DataError, match="10 frames are wanted"):
        subsample(scan, 10, seed=5)
