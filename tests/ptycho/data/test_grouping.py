"""Neighbour groups against a plain loop, and their identities."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.data.grouping import neighbour_groups
from ptycho.errors import DataError

POSITIONS = np.random.default_rng(11).uniform((5, 400), (90, 700), size=(60, 2))


def _nearest_by_loop(positions, point, count):
    distance = np.hypot(*(positions - positions[point]).T)
    distance[point] = np.inf
    return set(np.argsort(distance)[:count].tolist())


@pytest.mark.spec("CM-4.1")
@pytest.mark.parametrize(("gridsize", "n_neighbours"), [(2, 7), (2, 4), (3, 12)])
def test_members_are_distinct_neighbours_and_never_the_point_itself(gridsize, n_neighbours):
    rng = np.random.default_rng(0)
    groups = neighbour_groups(POSITIONS, gridsize=gridsize, n_neighbours=n_neighbours, rng=rng)
    assert groups.indices.shape == (60, gridsize**2)
    assert groups.indices.dtype == np.int64
    for point, members in enumerate(groups.indices):
        assert len(set(members.tolist())) == gridsize**2
        assert set(members.tolist()) <= _nearest_by_loop(POSITIONS, point, n_neighbours)


@pytest.mark.spec("CM-4.2")
def test_centres_and_relative_positions():
    groups = neighbour_groups(POSITIONS, gridsize=2, rng=np.random.default_rng(0))
    for members, centre, relative in zip(groups.indices, groups.centres_yx, groups.relative_yx, strict=True):
        np.testing.assert_allclose(centre, sum(POSITIONS[k] for k in members) / 4, rtol=1e-13)
        np.testing.assert_allclose(relative, [-(POSITIONS[k] - centre) for k in members], atol=1e-12)


@pytest.mark.spec("CM-4.1")
def test_gridsize_one_is_the_frame_itself():
    groups = neighbour_groups(POSITIONS, gridsize=1, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(groups.indices, np.arange(60)[:, None])
    np.testing.assert_array_equal(groups.centres_yx, POSITIONS)
    np.testing.assert_array_equal(groups.relative_yx, np.zeros((60, 1, 2)))


@pytest.mark.spec("CM-4.4")
def test_the_generator_decides_the_draw():
    first, again, other = (
        neighbour_groups(POSITIONS, gridsize=2, rng=np.random.default_rng(seed)).indices for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_every_neighbour_is_drawn_equally_often():
    positions = np.random.default_rng(4).random((8, 2))
    rng = np.random.default_rng(5)
    draws = np.concatenate(
        [neighbour_groups(positions, gridsize=2, rng=rng).indices[:1] for _ in range(4000)]
    )
    counts = np.bincount(draws.ravel(), minlength=8)
    assert counts[0] == 0
    # Each of 7 is drawn with probability 4/7: 2286 ± 31 (one standard deviation) of 4000.
    assert np.abs(counts[1:] - 4000 * 4 / 7).max() < 160


def test_coinciding_points_are_neighbours_but_not_of_themselves():
    positions = np.repeat([[3.0, 8.0], [3.5, 9.0]], 10, axis=0)
    groups = neighbour_groups(positions, gridsize=2, rng=np.random.default_rng(0))
    assert (groups.indices != np.arange(20)[:, None]).all()
    assert all(len(set(row)) == 4 for row in groups.indices.tolist())


def test_a_scan_of_just_enough_points_uses_all_the_others():
    groups = neighbour_groups(POSITIONS[:5], gridsize=2, rng=np.random.default_rng(0))
    assert [sorted(row) for row in groups.indices.tolist()] == [
        [other for other in range(5) if other != point] for point in range(5)
    ]


def test_select_keeps_the_members():
    groups = neighbour_groups(POSITIONS, gridsize=2, rng=np.random.default_rng(0))
    chosen = groups.select([9, 4])
    assert (len(groups), len(chosen)) == (60, 2)
    np.testing.assert_array_equal(chosen.indices, groups.indices[[9, 4]])
    np.testing.assert_array_equal(chosen.centres_yx, groups.centres_yx[[9, 4]])
    np.testing.assert_array_equal(chosen.relative_yx, groups.relative_yx[[9, 4]])


@pytest.mark.parametrize(
    ("n", "gridsize", "n_neighbours", "message"),
    [
        (4, 2, 7, "there are 4 scan points but gridsize 2 groups 4 neighbours of each; pass at least 5"),
        (60, 3, 7, "n_neighbours is 7 but gridsize 3 draws 9"),
        (60, 0, 7, "gridsize is 0 but must be at least 1"),
    ],
)
def test_impossible_groups_are_refused(n, gridsize, n_neighbours, message):
    with pytest.raises(DataError, match=message):
        neighbour_groups(
            POSITIONS[:n], gridsize=gridsize, n_neighbours=n_neighbours, rng=np.random.default_rng(0)
        )


def test_positions_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"\(60, 3\) but must be \(n, 2\)"):
        neighbour_groups(np.ones((60, 3)), gridsize=2, rng=np.random.default_rng(0))
