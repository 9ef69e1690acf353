"""Canvases of parts of a scan add up to the canvas of the whole."""

import itertools
import tracemalloc

import numpy as np
import pytest
import reference

from ptycho.stitching import Canvas


def shards_of(patches, positions, n_shards, **options):
    shards = []
    for which in range(n_shards):
        canvas = Canvas.around(positions, crop_size=9, **options)
        canvas.add(patches[which::n_shards], positions[which::n_shards])
        shards.append(canvas)
    return shards


@pytest.fixture
def scan():
    rng = np.random.default_rng(4)
    return reference.random_patches(rng, 60, 12), reference.random_positions(rng, 60, (8, 17))


@pytest.mark.parametrize("backend", ["cpu", "tensorflow"])
def test_merged_shards_equal_the_whole_to_rounding(scan, backend):
    whole = Canvas.around(scan[1], crop_size=9)
    whole.add(*scan)
    image = Canvas.merged(shards_of(*scan, 4, backend=backend)).image()
    assert np.abs(image - whole.image()).max() <= 1e-6 * np.abs(whole.image()).max()


@pytest.mark.parametrize(("depth", "accumulate"), [(300, "float32"), (5000, "float64")])
def test_deep_shards_equal_the_whole_to_rounding(depth, accumulate):
    """In float32 the rounding of a sum grows with the patches on a pixel; beyond some hundred it takes float64."""
    rng = np.random.default_rng(6)
    patches, positions = (
        reference.random_patches(rng, depth, 20),
        reference.random_positions(rng, depth, (3, 3)),
    )
    whole = Canvas.around(positions, crop_size=20, accumulate=accumulate)
    whole.add(patches, positions)
    shards = []
    for which in range(8):
        shards.append(Canvas.around(positions, crop_size=20, accumulate=accumulate))
        shards[-1].add(patches[which::8], positions[which::8])
    image = Canvas.merged(shards).image()
    assert np.abs(image - whole.image()).max() <= 1e-6 * np.abs(whole.image()).max()


def test_merged_has_the_same_bits_in_any_order_of_completion(scan):
    shards = shards_of(*scan, 4)
    images = {Canvas.merged(order).image().tobytes() for order in itertools.permutations(shards)}
    coverages = {Canvas.merged(order).coverage().tobytes() for order in itertools.permutations(shards)}
    assert (len(images), len(coverages)) == (1, 1)


def test_canvases_of_parts_are_added_on_the_smallest_that_holds_both_in_one_piece_of_memory():
    rng = np.random.default_rng(8)
    patches = reference.random_patches(rng, 40, 96)
    positions = np.stack([np.linspace(0, 2400, 40), rng.uniform(0, 1500, 40)], axis=1)
    upper = Canvas((1500, 1700), crop_size=96, origin_yx=(-60.0, -70.0))
    lower = Canvas((1300, 1720), crop_size=96, origin_yx=(1250.0, -80.0))
    upper.add(patches[:22], positions[:22])
    lower.add(patches[22:], positions[22:])
    states = upper.state(), lower.state()
    tracemalloc.start()
    joined = states[0].joined(states[1])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = (
        states[0]
        .on(joined.values.shape, joined.origin_yx)
        .plus(states[1].on(joined.values.shape, joined.origin_yx))
    )
    assert joined.digest() == expected.digest()
    assert peak_bytes < 1.1 * (joined.values.nbytes + joined.corner_weights.nbytes)


def test_canvases_of_parts_that_differ_in_more_than_their_place_are_not_added():
    states = [Canvas.around(np.zeros((1, 2)), crop_size=size).state() for size in (9, 10)]
    with pytest.raises(ValueError, match="canvases differ in crop_size: 9 and 10"):
        states[0].joined(states[1])


def test_merging_one_after_another_does_depend_on_the_order(scan):
    images = set()
    for order in itertools.permutations(range(4)):
        shards = shards_of(*scan, 4)
        for other in order[1:]:
            shards[order[0]].merge(shards[other])
        images.add(shards[order[0]].image().tobytes())
    assert len(images) > 1


def test_merged_leaves_its_shards_alone(scan):
    shard = shards_of(*scan, 2)[0]
    before = shard.image()
    merged = Canvas.merged([shard])
    merged.add(*scan)
    np.testing.assert_array_equal(shard.image(), before)


def test_counts_add_up(scan):
    patches, positions = scan
    patches[3, 6, 6] = np.nan
    first, second = shards_of(patches, positions, 2)
    first.merge(second)
    assert (first.n_added, first.n_rejected) == (59, 1)


def test_canvases_of_another_layout_are_refused(scan):
    canvas = shards_of(*scan, 2)[0]
    with pytest.raises(ValueError, match="canvases differ in origin"):
        canvas.merge(Canvas(canvas.shape_yx, crop_size=9))
    with pytest.raises(ValueError, match="canvases differ in accumulate: complex64 and complex128"):
        canvas.merge(Canvas.around(scan[1], crop_size=9, accumulate="float64"))
    with pytest.raises(ValueError, match="0 shards"):
        Canvas.merged([])
