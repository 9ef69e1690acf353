"""Windows, centre crops, and the largest rectangle in a mask."""

import numpy as np
import pytest

from ptycho.errors import DataError
from ptycho.image.cropping import Rectangle, centre_crop, largest_rectangle, window_of_positions


def largest_area_by_trying_all(mask: np.ndarray) -> int:
    height, width = mask.shape
    return max(
        (r1 - r0) * (c1 - c0)
        for r0 in range(height)
        for r1 in range(r0 + 1, height + 1)
        for c0 in range(width)
        for c1 in range(c0 + 1, width + 1)
        if mask[r0:r1, c0:c1].all()
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_rectangle_is_covered_and_none_is_larger(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 12)) < rng.uniform(0.3, 0.95)
    found = largest_rectangle(mask)
    assert found.of(mask).all()
    assert found.area_px == largest_area_by_trying_all(mask)


def test_the_largest_rectangle_of_a_ragged_scan():
    mask = np.zeros((30, 40), bool)
    mask[4:20, 7:33] = True
    mask[2:25, 12:20] = True
    mask[4, 7:12] = False
    assert largest_rectangle(mask) == Rectangle(5, 20, 7, 33)


def test_an_empty_mask_is_refused():
    with pytest.raises(DataError, match="no covered pixel"):
        largest_rectangle(np.zeros((4, 5), bool))


@pytest.mark.spec("CM-7.1")
@pytest.mark.parametrize(
    ("crop_size", "rows", "columns"),
    [(20, (30, 56), (40, 81)), (21, (30, 57), (40, 82)), (1, (40, 47), (50, 72))],
)
def test_the_window_holds_every_pixel_that_a_crop_touches(crop_size, rows, columns):
    positions = np.array([[40.0, 71.0], [45.5, 50.25], [46.0, 60.0]])
    window = window_of_positions(positions, crop_size=crop_size, shape_yx=(200, 300))
    assert (window.row_start, window.row_stop) == rows
    assert (window.column_start, window.column_stop) == columns


def test_the_window_agrees_with_crops_marked_one_by_one():
    positions = np.random.default_rng(3).uniform(20, 60, (15, 2))
    touched = np.zeros((90, 90), bool)
    for y, x in positions:
        row, column = int(np.floor(y)) - 7 // 2, int(np.floor(x)) - 7 // 2
        touched[row : row + 8, column : column + 8] = True
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    expected = Rectangle(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    assert window_of_positions(positions, crop_size=7, shape_yx=(90, 90)) == expected


def test_the_window_is_cut_to_the_image():
    window = window_of_positions(np.array([[1.0, 2.0], [8.0, 13.0]]), crop_size=10, shape_yx=(9, 14))
    assert window == Rectangle(0, 9, 0, 14)


def test_positions_outside_the_image_are_refused_with_the_remedy():
    with pytest.raises(DataError, match=r"outside the image of 50x60 .* order \(row, column\)"):
        window_of_positions(np.array([[500.0, 20.0]]), crop_size=8, shape_yx=(50, 60))


def test_the_centre_crop_leaves_the_odd_pixel_at_the_end():
    image = np.arange(7 * 8).reshape(7, 8)
    np.testing.assert_array_equal(centre_crop(image, (4, 5)), image[1:5, 1:6])
    with pytest.raises(DataError, match="cannot be centre-cropped"):
        centre_crop(image, (8, 3))
