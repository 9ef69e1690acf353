"""A run in shards: the same image, to the last bit whatever the order in which they finish."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from oracle_model import OracleModel, lopsided_scan

from autobatch import BatchCost
from ptycho.reconstruction import InferenceSettings, reconstruct
from ptycho.reconstruction.job import InferenceJob
from ptycho.reconstruction.shard_sums import ShardSums
from ptycho.reconstruction.sharding import Shards, prepared, shard_of
from ptycho.reconstruction.tree import TreeSum, merges_of

SETTINGS = InferenceSettings(
    crop_size=15, predict_batch_size=16, self_consistency=True, mean_centred=True, verdict=True
)


class CheapOracle(OracleModel):
    def batch_cost(self, frame_shape):
        # The network's own takes a second to find.
        return BatchCost(bytes_per_item=1 << 16)


@pytest.fixture(scope="module")
def scan():
    return lopsided_scan()


@pytest.fixture(scope="module")
def model(scan):
    return CheapOracle(scan)


@pytest.fixture(scope="module")
def whole(model, scan):
    return reconstruct(model, scan, SETTINGS)


def images_of(run):
    return [run.image.values, run.image.coverage, run.mean_centred, run.half_sets.overlap_variance] + [
        group.values for group in run.half_sets.groups
    ]


@pytest.mark.parametrize("shard_size", [37, 101, 1000])
def test_shards_add_up_to_the_image_of_one_piece(model, scan, whole, shard_size):
    run = reconstruct(model, scan, replace(SETTINGS, shard_size=shard_size))
    assert run.sharding.n_shards == -(-scan.n_frames // min(shard_size, scan.n_frames))
    for found, expected in zip(images_of(run), images_of(whole), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.nanmax(np.abs(expected)))
    assert run.image.origin_yx == whole.image.origin_yx


def test_shards_add_up_to_the_same_misfit(model, scan, whole):
    run = reconstruct(model, scan, replace(SETTINGS, shard_size=37))
    assert run.patch_misfit.n_frames == whole.patch_misfit.n_frames == scan.n_frames
    assert run.patch_misfit.r_factor == pytest.approx(whole.patch_misfit.r_factor, rel=1e-9)
    assert [each.index for each in run.patch_misfit.worst_frames] == [
        each.index for each in whole.patch_misfit.worst_frames
    ]
    np.testing.assert_allclose(run.patch_misfit.object_map, whole.patch_misfit.object_map, rtol=1e-5)


def test_the_image_has_the_same_bits_in_whatever_order_shards_finish(model, scan):
    work = prepared(InferenceJob.of(model, scan, replace(SETTINGS, shard_size=65)), None)
    sums = [shard_of(work, number)[0] for number in range(len(work.shards))]
    assert len(sums) == 5
    found = set()
    for order in itertools.islice(itertools.permutations(range(5)), 0, None, 17):
        tree = TreeSum(5, ShardSums.plus)
        for number in order:
            tree.put(number, sums[number])
        run = work.job.finished(tree.result())
        found.add(b"".join(image.tobytes() for image in images_of(run)))
    assert len(found) == 1


def test_a_shard_takes_the_memory_of_its_own_pixels(model, scan):
    work = prepared(InferenceJob.of(model, scan, replace(SETTINGS, shard_size=20)), None)
    first = shard_of(work, 0)[0].canvases.parts[0]
    height, width = work.job.layout.window.shape_yx
    # A raster's first rows.
    assert first.values.shape[0] < 0.4 * height
    assert first.values.shape[1] <= width


def test_half_sets_are_drawn_for_the_whole_run_however_it_is_cut(model, scan):
    groups = [
        InferenceJob.of(model, scan, replace(SETTINGS, shard_size=size)).layout.group_of for size in (7, 90)
    ]
    np.testing.assert_array_equal(*groups)


def test_rejected_patches_are_named_by_their_numbers_in_the_run(scan, caplog):
    broken = CheapOracle(scan)
    broken._patches = broken._patches.copy()
    broken._patches[[3, 70, 200]] = np.nan
    run = reconstruct(broken, scan, replace(SETTINGS, verdict=False, shard_size=64))
    assert run.stitching.n_rejected == 3
    assert "first indices: 3, 70, 200" in caplog.text


def test_what_the_batches_did_is_told_of_all_shards(model, scan):
    run = reconstruct(model, scan, replace(SETTINGS, shard_size=64))
    last = scan.n_frames % 64
    sizes = [16, 16, 16, 16] * (scan.n_frames // 64) + [16] * (last // 16) + [last % 16] * bool(last % 16)
    assert run.prediction.batch_sizes == sizes
    assert (run.prediction.start, run.prediction.n_items) == (0, scan.n_frames)
    assert run.sharding.predict_batch_size == 16


def test_a_planned_batch_size_is_fixed_before_the_first_shard(model, scan):
    job = InferenceJob.of(model, scan, InferenceSettings(crop_size=15, shard_size=50))
    assert prepared(job, None).job.settings.predict_batch_size == job.plan().batches.batch_size


@pytest.mark.parametrize("n_leaves", [1, 2, 3, 5, 8, 13])
def test_the_tree_has_the_same_shape_in_every_order(n_leaves):
    rng = np.random.default_rng(n_leaves)
    shapes = set()
    for _ in range(10):
        tree = TreeSum(n_leaves, lambda left, right: f"({left}{right})")
        for number in rng.permutation(n_leaves):
            tree.put(int(number), "abcdefghijklm"[number])
        shapes.add(tree.result())
    (shape,) = shapes
    assert shape.replace("(", "").replace(")", "") == "abcdefghijklm"[:n_leaves]
    assert len(list(merges_of(n_leaves))) == n_leaves - 1


def test_of_finished_branches_only_the_sums_are_kept():
    tree = TreeSum(64, lambda left, right: left + right)
    most = 0
    for number in range(64):
        tree.put(number, 1)
        most = max(most, len(tree._waiting))
    assert most == 6
    assert tree.result() == 64


@pytest.mark.parametrize(
    ("n_patches", "size", "expected"),
    [(1500, None, [1024, 476]), (10, 4, [4, 4, 2]), (128_000, None, [2000] * 64), (3, 100, [3])],
)
def test_shards_depend_on_the_number_of_patches_alone(n_patches, size, expected):
    shards = Shards.of(n_patches, size)
    bounds = [shards.bounds(number) for number in range(len(shards))]
    assert [stop - start for start, stop in bounds] == expected
    assert [start for start, _ in bounds[1:]] == [stop for _, stop in bounds[:-1]]
    assert bounds[-1][1] == n_patches


def test_parts_that_are_no_neighbours_are_not_added_up(model, scan):
    work = prepared(InferenceJob.of(model, scan, replace(SETTINGS, shard_size=100)), None)
    first = shard_of(work, 0)[0]
    with pytest.raises(ValueError, match="leaves a gap or counts some twice"):
        first.plus(first)
