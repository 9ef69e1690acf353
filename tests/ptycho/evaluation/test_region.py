"""Small holes of the coverage are masked and large ones avoided; what fills them decides no figure."""

import numpy as np
import pytest
from complex_objects import analytic_object, complex_noise

from ptycho.evaluation import compare_images, half_set_frc
from ptycho.evaluation.region import Region
from ptycho.image.cropping import Rectangle

SHAPE = (80, 125)


def holes(*places):
    """A mask (80, 125) whose slices are not covered."""
    mask = np.ones(SHAPE, bool)
    for place in places:
        mask[place] = False
    return mask


def noisy_pair():
    truth = analytic_object(SHAPE)
    return 0.7 * truth * np.exp(0.4j) + complex_noise(SHAPE, 0.06, seed=3), truth


def test_a_small_hole_is_masked_and_the_rectangle_kept():
    region = Region.of_mask(holes(np.s_[35, 69]), SHAPE)
    assert region.window == Rectangle(0, 80, 0, 125)
    assert (region.share, np.count_nonzero(~region.valid)) == (1.0, 1)


@pytest.mark.parametrize(
    ("mask", "window"),
    [
        # Thirteen a side is more than a hole may have; the largest rectangle lies right of it.
        (holes(np.s_[30:43, 20:33]), Rectangle(0, 80, 33, 125)),
        # A dent in the border is no hole.
        (holes(np.s_[0, 60]), Rectangle(1, 80, 0, 125)),
        # Small ones that are too many.
        (holes(*(np.s_[r : r + 11, 4:15] for r in (8, 30, 52))), Rectangle(0, 80, 15, 125)),
    ],
)
def test_what_is_not_a_small_hole_is_left_outside(mask, window):
    region = Region.of_mask(mask, SHAPE)
    assert (region.window, region.has_holes) == (window, False)
    assert region.share == window.area_px / np.count_nonzero(mask)


def test_holes_are_filled_from_around_them_and_nothing_else_changes():
    image = np.add.outer(np.arange(80.0), 2j * np.arange(125.0))
    region = Region.of_mask(holes(np.s_[40:43, 60:62]), SHAPE)
    filled = region.filled(np.where(region.valid, image, 1e9))
    np.testing.assert_array_equal(filled[region.valid], image[region.valid])
    np.testing.assert_allclose(filled[~region.valid], image[~region.valid], atol=1.0)
    np.testing.assert_array_equal(region.cut(np.where(region.valid, image, np.nan))[~region.valid], 0)


@pytest.mark.spec("CM-7.8")
@pytest.mark.parametrize(
    ("mask", "tolerance"),
    [
        (holes(np.s_[35, 69]), 0.005),
        (holes(*(np.s_[r : r + 7, c : c + 7] for r, c in ((12, 20), (33, 80), (60, 101), (50, 40)))), 0.02),
    ],
)
def test_figures_with_small_holes_are_those_without(mask, tolerance):
    image, truth = noisy_pair()
    whole = compare_images(image, truth)
    masked = compare_images(np.where(mask, image, np.nan), truth, mask=mask)
    for name in ("mae", "mse", "ssim", "ms_ssim", "frc50"):
        for channel in ("amplitude", "phase"):
            wanted = getattr(getattr(whole, name), channel)
            assert getattr(getattr(masked, name), channel) == pytest.approx(wanted, rel=tolerance), name
    assert masked.window == whole.window
    assert (masked.scored_share, masked.n_masked) == (1.0, np.count_nonzero(~mask))
    assert any("in small holes of the coverage are left out" in note for note in masked.notes)


def test_windows_that_touch_a_hole_are_left_out_of_ssim():
    image, truth = noisy_pair()
    image[30:33, 50:53] *= 20
    mask = holes(np.s_[30:33, 50:53])
    clean, _ = noisy_pair()
    scores = [compare_images(each, truth, mask=mask).ssim.amplitude for each in (image, clean)]
    assert scores[0] == scores[1]


def test_half_sets_with_small_holes_have_the_cutoffs_of_whole_ones():
    halves = [analytic_object(SHAPE) + complex_noise(SHAPE, 0.1, seed=seed) for seed in (5, 6)]
    mask = holes(np.s_[20:27, 30:37], np.s_[50:57, 90:97])
    whole, masked = (
        half_set_frc(*halves),
        half_set_frc(*(np.where(mask, half, np.nan) for half in halves), mask=mask),
    )
    assert masked.phase.cutoffs.half_bit.frequency == pytest.approx(
        whole.phase.cutoffs.half_bit.frequency, rel=0.02
    )
    difference = np.abs(masked.amplitude.correlation - whole.amplitude.correlation)
    assert np.median(difference) < 0.02
