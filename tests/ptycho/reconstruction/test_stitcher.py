"""Small batches of patches are added together, and give the bits that they give one by one."""

from types import SimpleNamespace

import numpy as np
import pytest

from ptycho.reconstruction import InferenceSettings
from ptycho.reconstruction._canvases import CanvasLayout, CanvasSet, PatchStitcher

N_PATCHES, SIDE, BATCH = 1_200, 16, 8
RNG = np.random.default_rng(9)
CROPS = RNG.standard_normal((N_PATCHES, SIDE, 2 * SIDE), dtype=np.float32).view(np.complex64)
LAYOUT = CanvasLayout.of(
    RNG.uniform(20, 90, (N_PATCHES, 2)), InferenceSettings(crop_size=SIDE, self_consistency=True)
)
BATCHES = [(start, CROPS[start : start + BATCH]) for start in range(0, N_PATCHES, BATCH)]


class Counting(CanvasSet):
    """Notes which patches come at once."""

    def __init__(self):
        super().__init__(LAYOUT, 0, N_PATCHES)
        self.added = []

    def add(self, start, patches, *, batch_size):
        self.added.append(patches)
        return super().add(start, patches, batch_size=batch_size)


def stitched(batches, batch_size="auto"):
    canvases = Counting()
    stitcher = PatchStitcher(canvases, batch_size)
    for start, crops in batches:
        stitcher.add(start, crops)
    return stitcher.sums(), [len(added) for added in canvases.added], stitcher


def fields(sums):
    return [array for part in sums.parts for array in part.fields().values()]


def test_small_batches_are_added_together_to_the_same_bits():
    sums, counts, stitcher = stitched(BATCHES)
    # The first at once, then a MiB, then what is left.
    assert counts == [BATCH, 512, 512, N_PATCHES - BATCH - 1024]
    assert stitcher.first_run.n_items == BATCH
    one_by_one = CanvasSet(LAYOUT, 0, N_PATCHES)
    for start, crops in BATCHES:
        one_by_one.add(start, crops, batch_size="auto")
    for ours, theirs in zip(fields(sums), fields(one_by_one.sums()), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_large_batch_is_added_by_itself_and_not_copied():
    canvases = Counting()
    stitcher = PatchStitcher(canvases, "auto")
    large = CROPS[16:616]
    for start, crops in [(0, CROPS[:8]), (8, CROPS[8:16]), (16, large), (616, CROPS[616:])]:
        stitcher.add(start, crops)
    assert [len(added) for added in canvases.added] == [8, 8, 600, 584]
    assert canvases.added[2] is large


def test_a_network_may_give_each_batch_in_the_memory_of_the_one_before():
    expected, _, _ = stitched(BATCHES)
    buffer = np.empty_like(CROPS[:BATCH])
    stitcher = PatchStitcher(CanvasSet(LAYOUT, 0, N_PATCHES), "auto")
    for start, crops in BATCHES:
        buffer[:] = crops
        stitcher.add(start, buffer)
    for ours, theirs in zip(fields(stitcher.sums()), fields(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_size_that_was_asked_for_is_kept():
    _, _, stitcher = stitched(BATCHES, batch_size=100)
    assert stitcher.sizes[:2] == (BATCH, 100)


def test_errors_are_counted_and_sizes_told_once():
    plan = SimpleNamespace(batch_size=4, reason="")

    def add(*_arguments, **_more):
        return SimpleNamespace(plan=plan, batch_sizes=[8, 4], n_oom=1)

    stitcher = PatchStitcher(SimpleNamespace(add=add, sums=lambda: "sums"), "auto")
    for start, crops in BATCHES[:3]:
        stitcher.add(start, crops)
    assert stitcher.sums() == "sums"
    assert (stitcher.n_oom, stitcher.sizes) == (2, (8, 4))


def test_a_first_batch_that_cannot_be_added_fails_at_once():
    def fail(*_arguments, **_more):
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        PatchStitcher(SimpleNamespace(add=fail), "auto").add(*BATCHES[0])
