"""What holds for any scan: adjointness, linearity, translation, exact ramps."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.stitching import Canvas, stitch_patches

seeds = st.integers(0, 2**32 - 1)
# Narrower than a vector of the kernel, several vectors wide, and several of its blocks of rows high.
crop_sizes = st.integers(1, 40)


def positions_on_a_grid(rng, n, denominator):
    """Positions that are multiples of 1/denominator, so that sums and differences are exact in binary."""
    return rng.integers(-9 * denominator, 14 * denominator, (n, 2)) / denominator


@settings(deadline=None, max_examples=40)
@given(seeds, crop_sizes, st.integers(0, 3))
def test_summing_and_extracting_are_adjoint(seed, crop_size, margin):
    rng = np.random.default_rng(seed)
    patch_size = crop_size + margin
    positions = reference.random_positions(rng, 7, (4, 9))
    patches = reference.random_patches(rng, 7, patch_size)
    canvas = Canvas.around(positions, crop_size=crop_size, accumulate="float64")
    canvas.add(patches, positions)
    image = rng.standard_normal(canvas.shape_yx) + 1j * rng.standard_normal(canvas.shape_yx)
    crops = np.array([reference.crop_of(patch, crop_size) for patch in patches])
    forward = np.vdot(canvas.state().values, image)
    backward = np.vdot(crops, canvas.extract(image, positions))
    assert forward == pytest.approx(backward, rel=1e-5, abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(seeds, crop_sizes, st.complex_numbers(max_magnitude=5), st.complex_numbers(max_magnitude=5))
def test_the_image_is_linear_in_the_patches(seed, crop_size, a, b):
    rng = np.random.default_rng(seed)
    first, second = (reference.random_patches(rng, 9, crop_size + 3) for _ in range(2))
    offsets = reference.random_positions(rng, 9, (6, 3))
    mixed = (a * first + b * second).astype(np.complex64)
    parts = [stitch_patches(p, offsets, crop_size=crop_size) for p in (mixed, first, second)]
    scale = 1 + abs(a) * np.abs(parts[1]).max() + abs(b) * np.abs(parts[2]).max()
    assert np.abs(parts[0] - a * parts[1] - b * parts[2]).max() <= 1e-6 * scale


@settings(deadline=None, max_examples=40)
@given(seeds, crop_sizes, st.integers(-3000, 3000), st.integers(-3000, 3000))
def test_translating_an_exact_scan_changes_no_bit(seed, crop_size, down, right):
    rng = np.random.default_rng(seed)
    patches = reference.random_patches(rng, 8, crop_size + 3)
    offsets = positions_on_a_grid(rng, 8, 16)
    moved = offsets + np.array([right, down]) / 16
    images = [stitch_patches(patches, o, crop_size=crop_size) for o in (offsets, moved)]
    assert images[0].tobytes() == images[1].tobytes()


@settings(deadline=None, max_examples=40)
@given(seeds, crop_sizes, st.floats(-5000, 5000), st.floats(-5000, 5000))
def test_translating_any_scan_changes_the_image_by_rounding_only(seed, crop_size, down, right):
    rng = np.random.default_rng(seed)
    patches = reference.random_patches(rng, 8, crop_size + 3)
    offsets = reference.random_positions(rng, 8, (3, 7.5))
    moved = offsets + np.array([right, down])
    # A largest distance within rounding of a whole number would change the size of the canvas; none is drawn.
    images = [stitch_patches(patches, o, crop_size=crop_size) for o in (offsets, moved)]
    assert images[0].shape == images[1].shape
    heavy = np.abs(images[0] - images[1]) <= 1e-6 * np.abs(images[0]).max()
    assert heavy.all()


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(6, 40), st.tuples(*[st.floats(-2, 2)] * 4))
def test_a_ramp_object_is_reproduced_exactly_inside_the_scan(seed, crop_size, slopes):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(0, 22, 4.0), np.arange(0, 41, 5.0), indexing="ij"), -1)
    positions = grid.reshape(-1, 2) + rng.uniform(-0.4, 0.4, (grid.size // 2, 2))
    size = crop_size + 2
    rows = positions[:, 0, None, None] - size // 2 + np.arange(size)[:, None]
    columns = positions[:, 1, None, None] - size // 2 + np.arange(size)
    a, b, c, d = slopes

    def ramp(y, x):
        return (a + 1j * b) * y + (c + 1j * d) * x + 3 - 2j

    canvas = Canvas.around(positions, crop_size=crop_size)
    canvas.add(ramp(rows, columns).astype(np.complex64), positions)
    y, x = np.indices(canvas.shape_yx)
    expected = ramp(y + canvas.origin_yx[0], x + canvas.origin_yx[1])
    inside = fully_covered(positions, canvas, crop_size)
    assert inside.sum() > 50
    assert np.abs(canvas.image() - expected)[inside].max() <= 2e-6 * np.abs(expected).max()


def fully_covered(positions, canvas, crop_size):
    """Pixels on which no crop has its fading edge: there a ramp is interpolated, not extrapolated."""
    edge = np.zeros(canvas.shape_yx, bool)
    corners = np.floor(positions - np.array(canvas.origin_yx) - crop_size // 2).astype(int)
    for top, left in corners:
        for row in (top, top + crop_size):
            edge[row, left : left + crop_size + 1] = True
        for column in (left, left + crop_size):
            edge[top : top + crop_size + 1, column] = True
    return (canvas.coverage() > 0) & ~edge
