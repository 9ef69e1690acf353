"""The canvas on the CPU against a float64 double loop, and its bits for every batch and thread count."""

import logging

import numpy as np
import pytest
import reference

from ptycho.stitching import Canvas


def assert_close(image, expected):
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.spec("CM-6.1")
@pytest.mark.spec("CM-6.3")
@pytest.mark.parametrize(("patch_size", "crop_size"), [(12, 12), (12, 7), (12, 6), (11, 5), (11, 8), (9, 1)])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (5000.25, -4321.7)])
def test_image_equals_a_float64_double_loop(patch_size, crop_size, centre):
    rng = np.random.default_rng(patch_size * 100 + crop_size)
    patches = reference.random_patches(rng, 23, patch_size)
    positions = reference.random_positions(rng, 23, (6.3, 15.9), centre)
    canvas = Canvas.around(positions, crop_size=crop_size)
    canvas.add(patches, positions)
    expected, weights = reference.stitch(patches, positions, crop_size)
    assert_close(canvas.image(), expected)
    np.testing.assert_allclose(canvas.coverage(), weights, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("crop_size", [*range(1, 26), 31, 32, 33, 40])
@pytest.mark.parametrize("accumulate", ["float32", "float64"])
def test_every_width_of_a_crop_ends_where_it_should(crop_size, accumulate, monkeypatch):
    """Narrower than a vector of the kernel, as wide, wider by any rest; on a canvas without a pixel to spare."""
    monkeypatch.setattr("ptycho.stitching._cpu._PIXELS_PER_THREAD", 1)
    rng = np.random.default_rng(crop_size)
    fractions = [(0, 0), (0.25, 0), (0, 0.75), (0.4, 0.999), (0, 0)]
    corners = np.array([(0, 0), (1, 4), (2, 6), (1, 6), (3, 7)]) + fractions
    patches = reference.random_patches(rng, len(corners), crop_size)
    shape_yx = (crop_size + 3, crop_size + 7)
    canvas = Canvas(shape_yx, crop_size=crop_size, accumulate=accumulate, n_threads=3)
    canvas.add(patches, corners + crop_size // 2)
    expected, weights = reference.stitch_at(patches, corners, crop_size, shape_yx)
    assert_close(canvas.image(), expected)
    np.testing.assert_allclose(canvas.coverage(), weights, rtol=1e-6, atol=1e-12)


@pytest.mark.spec("CM-6.3")
def test_an_offset_moves_a_patch_right_for_x_and_down_for_y():
    patches = np.zeros((2, 4, 4), np.complex64)
    patches[:, 0, 0] = [1, 2j]
    canvas = Canvas((10, 12), crop_size=4)
    canvas.add(patches, np.array([[2.0, 2.0], [5.0, 8.0]]))
    image = canvas.image()
    assert image[0, 0] == pytest.approx(1)
    assert image[3, 6] == pytest.approx(2j)
    assert np.count_nonzero(image) == 2


def test_origin_places_canvas_pixels_in_the_object_frame():
    rng = np.random.default_rng(5)
    patches = reference.random_patches(rng, 4, 8)
    positions = reference.random_positions(rng, 4, (3, 5), (100.0, 40.0))
    canvas = Canvas((30, 40), crop_size=5, origin_yx=(90.25, 22.5))
    canvas.add(patches, positions)
    expected, _ = reference.stitch_at(patches, positions - 2 - (90.25, 22.5), 5, (30, 40))
    assert_close(canvas.image(), expected)


@pytest.mark.parametrize("split", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 16])
def test_bits_do_not_depend_on_batches_or_threads(split, n_threads, monkeypatch):
    monkeypatch.setattr("ptycho.stitching._cpu._PIXELS_PER_THREAD", 1)
    rng = np.random.default_rng(1)
    patches = reference.random_patches(rng, 64, 16)
    positions = reference.random_positions(rng, 64, (20, 9))
    whole = Canvas.around(positions, crop_size=13, n_threads=1)
    whole.add(patches, positions)
    parts = Canvas.around(positions, crop_size=13, n_threads=n_threads)
    for start in range(0, 64, split):
        parts.add(patches[start : start + split], positions[start : start + split])
    assert parts.image().tobytes() == whole.image().tobytes()
    assert parts.coverage().tobytes() == whole.coverage().tobytes()


@pytest.mark.parametrize("crop_size", [3, 8, 11, 20])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1j * np.nan])
def test_what_is_not_finite_is_seen_anywhere_in_the_crop_and_nowhere_else(crop_size, value):
    patch_size = crop_size + 2
    pixels = [(row, column) for row in range(patch_size) for column in range(patch_size)]
    patches = np.ones((len(pixels), patch_size, patch_size), np.complex64)
    for patch, pixel in zip(patches, pixels, strict=True):
        patch[pixel] = value
    canvas = Canvas((crop_size, crop_size), crop_size=crop_size)
    canvas.add(patches, np.full((len(pixels), 2), crop_size // 2, float))
    assert canvas.n_rejected == crop_size**2
    assert canvas.n_added == len(pixels) - crop_size**2
    np.testing.assert_array_equal(canvas.image(), 1)


def test_a_patch_that_is_not_finite_is_left_out_whole_and_named(caplog):
    rng = np.random.default_rng(2)
    patches = reference.random_patches(rng, 30, 8)
    patches[7, 5, 2] = complex(np.nan, 1)
    patches[19, 1, 4] = complex(0, -np.inf)
    patches[11, 0, 0] = np.inf
    positions = reference.random_positions(rng, 30, (12, 30))
    canvas = Canvas.around(positions, crop_size=6)
    with caplog.at_level(logging.WARNING, "ptycho.stitching"):
        canvas.add(patches[:10], positions[:10])
        canvas.add(patches[10:], positions[10:])
    expected, weights = reference.stitch(patches, positions, 6)
    assert_close(canvas.image(), expected)
    assert (canvas.n_rejected, canvas.n_added, canvas.first_rejected) == (2, 28, (7, 19))
    assert "2 of 30 patches" in caplog.text
    assert "7, 19" in caplog.text
    np.testing.assert_allclose(canvas.coverage(), weights, rtol=1e-6, atol=1e-12)
    assert (canvas.image()[weights == 0] == 0).all()


@pytest.mark.parametrize("options", [{}, {"accumulate": "float64"}, {"overlap_variance": True}])
def test_n_bytes_is_the_memory_of_the_sums(options):
    canvas = Canvas((30, 41), crop_size=6, **options)
    state = canvas.state()
    squares = 0 if state.squares is None else state.squares.nbytes
    assert canvas.n_bytes == state.values.nbytes + state.corner_weights.nbytes + squares


@pytest.mark.spec("CM-6.4")
def test_refusals_name_the_value_and_the_remedy():
    patches = np.ones((3, 8, 8), np.complex64)
    positions = np.zeros((3, 2))
    canvas = Canvas((20, 20), crop_size=6)
    with pytest.raises(ValueError, match="3 patches came with 2 positions"):
        canvas.add(patches, positions[:2] + 9)
    with pytest.raises(ValueError, match=r"M is 6 but must satisfy 0 < M <= N = 5"):
        canvas.add(patches[:, :5, :5], positions + 9)
    with pytest.raises(ValueError, match=r"1 of 3 positions are not finite, the first at index 1"):
        canvas.add(patches, np.array([[9, 9], [np.nan, 9], [9, 9]]))
    with pytest.raises(ValueError, match=r"patch 0 at \(y, x\) = \(0, 0\) does not lie wholly on the canvas"):
        canvas.add(patches, positions)
    with pytest.raises(TypeError, match="complex128 but must be complex64; cast"):
        canvas.add(patches.astype(complex), positions + 9)
    with pytest.raises(TypeError, match="float32 but must be float64"):
        canvas.add(patches, np.float32(positions + 9))
    with pytest.raises(ValueError, match=r"index 2 at \(y, x\) = \(1e\+09, 0\)"):
        Canvas.around(np.array([[0, 0], [1, 0], [1e9, 0]]), crop_size=6)
    assert not canvas.coverage().any()
