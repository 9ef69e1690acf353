"""Images that are known between pixels are shifted and placed to where they should lie."""

import numpy as np
import pytest
from complex_objects import analytic_object

from ptycho.errors import DataError
from ptycho.image.placed import place_image, shift_image

SHAPE = (70, 91)


@pytest.mark.spec("CM-7.6")
@pytest.mark.parametrize("offset_yx", [(0.3, -0.45), (4.5, -2.25), (-11.8, 0.0), (0.0, 6.6)])
def test_a_subpixel_shift_equals_the_object_sampled_elsewhere(offset_yx):
    moved = shift_image(analytic_object(SHAPE), offset_yx)
    expected = analytic_object(SHAPE, shift_yx=offset_yx)
    assert moved.covered.mean() > 0.6
    # Periods go down to six pixels, where a quintic spline is good to 1e-3.
    np.testing.assert_allclose(moved.values[moved.covered], expected[moved.covered], atol=2e-3)
    assert not moved.values[~moved.covered].any()


def test_whole_pixels_are_copied_bit_for_bit():
    image = analytic_object(SHAPE).astype(np.complex64)
    moved = shift_image(image, (-3.0, 5.0))
    np.testing.assert_array_equal(moved.values[:-3, 5:], image[3:, :-5])
    assert moved.covered[:-3, 5:].all()
    assert not moved.covered[-3:].any()
    assert not moved.covered[:, :5].any()
    assert moved.values.dtype == np.complex64


@pytest.mark.spec("CM-7.6")
def test_invalid_pixels_neither_leak_nor_count():
    mask = np.ones(SHAPE, bool)
    mask[:20], mask[40, 50] = False, False
    image = np.where(mask, analytic_object(SHAPE), 1e6)
    moved = shift_image(image, (0.5, 0.25), mask=mask)
    expected = analytic_object(SHAPE, shift_yx=(0.5, 0.25))
    assert not moved.covered[:23].any()
    assert not moved.covered[40, 50]
    assert moved.covered[25:34, 5:85].all()
    np.testing.assert_allclose(moved.values[moved.covered], expected[moved.covered], atol=5e-3)


def test_an_image_is_placed_into_a_larger_frame_at_a_fractional_origin():
    part = analytic_object((60, 50))
    placed = place_image(part, origin_yx=(12.4, 30.7), shape_yx=(100, 120))
    expected = analytic_object((100, 120), shift_yx=(12.4, 30.7))
    assert placed.covered.sum() == (60 - 6) * (50 - 6)
    np.testing.assert_allclose(placed.values[placed.covered], expected[placed.covered], atol=2e-3)


def test_an_image_outside_the_frame_covers_nothing():
    assert not place_image(
        analytic_object((20, 30)), origin_yx=(-40.0, 500.0), shape_yx=(50, 60)
    ).covered.any()


@pytest.mark.parametrize(
    ("origin_yx", "mask_shape", "message"),
    [((np.nan, 0.0), (20, 30), "two finite numbers"), ((0.0, 0.0), (30, 20), "same 2-D shape")],
)
def test_a_bad_origin_or_mask_is_refused(origin_yx, mask_shape, message):
    with pytest.raises(DataError, match=message):
        shift_image(analytic_object((20, 30)), origin_yx, mask=np.ones(mask_shape, bool))
