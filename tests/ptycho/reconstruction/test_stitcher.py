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
    """Notes how many patches come at once."""

    def __init__(self):
        super().__init__(LAYOUT, 0, N_PATCHES)
        self.counts = []

    def add(self, start, patches, *, batch_size):
        self.counts.append(len(patches))
        return super().add(start, patches, batch_size=batch_size)


def stitched(batches, batch_size="auto"):
    canvases = Counting()
    stitcher = PatchStitcher(canvases, batch_size)
    for start, crops in batches:
        stitcher.add(start, crops)
    return stitcher.sums(), canvases.counts, stitcher


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


def test_a_large_batch_is_added_at_once_and_not_copied(monkeypatch):
    monkeypatch.setattr(np, "concatenate", None)
    _, counts, _ = stitched([(0, CROPS[:600]), (600, CROPS[600:])])
    assert counts == [600, 600]


def test_the_size_that_was_asked_for_is_kept_and_errors_are_counted():
    _, _, stitcher = stitched(BATCHES, batch_size=100)
    assert stitcher.sizes[:2] == (BATCH, 100)
    stitcher = PatchStitcher(SimpleNamespace(add=_one_error), "auto")
    for start, crops in BATCHES[:2]:
        stitcher.add(start, crops)
    assert stitcher.n_oom == 1


def _one_error(*_arguments, **_more):
    plan = SimpleNamespace(batch_size=4, reason="")
    return SimpleNamespace(plan=plan, batch_sizes=[8, 4], n_oom=1)


def test_a_first_batch_that_cannot_be_added_fails_at_once():
    def fail(*_arguments, **_more):
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        PatchStitcher(SimpleNamespace(add=fail), "auto").add(*BATCHES[0])
