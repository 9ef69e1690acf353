"""The forward model against direct formulas, and against the scans that we simulate."""

import numpy as np
import pytest
import scipy.fft

from ptycho.data import defocused_probe, extract_patches, random_lines, simulate_scan
from ptycho.diffraction import SplineObject, expected_amplitude, spread_under_frames
from ptycho.errors import DataError

POSITIONS_YX = np.array([[16.0, 20.0], [30.3, 41.85], [27.5, 19.25]])


@pytest.fixture
def truth():
    return random_lines((48, 66), n_lines=20, rng=np.random.default_rng(3))


def test_a_spline_gives_its_image_back(truth):
    spline = SplineObject.of(truth)
    assert spline.shape_yx == (48, 66)
    np.testing.assert_allclose(spline.image(), truth, atol=2e-6)


def test_the_expected_amplitude_is_the_direct_formula(truth):
    probe = 3 * defocused_probe(32)
    frames = expected_amplitude(SplineObject.of(truth), probe, POSITIONS_YX)
    assert frames.dtype == np.float32
    for frame, patch in zip(frames, extract_patches(truth, POSITIONS_YX, 32), strict=True):
        direct = np.abs(scipy.fft.fftshift(scipy.fft.fft2(patch.astype(complex) * probe))) / 32
        np.testing.assert_allclose(frame, direct, atol=1e-5)


def test_simulated_frames_are_the_expected_ones_up_to_their_noise(truth):
    rng = np.random.default_rng(4)
    scan = simulate_scan(truth, defocused_probe(32), POSITIONS_YX, photons_per_frame=1e12, rng=rng)
    frames = expected_amplitude(SplineObject.of(truth), scan.probe, POSITIONS_YX)
    # The square root of a Poisson count has a standard deviation of one half.
    assert np.sqrt(np.mean((frames - scan.amplitude) ** 2)) == pytest.approx(0.5, rel=0.05)


def test_an_image_is_spread_over_all_that_the_frames_saw(truth):
    covered = np.zeros((20, 24), bool)
    covered[2:-2, 3:-1] = True
    image, given, origin_yx = spread_under_frames(
        truth[14:34, 18:42], covered, (14.0, 18.0), POSITIONS_YX, 32
    )
    assert origin_yx == (0.0, 3.0)
    assert image.shape == (47, 55)
    known = (slice(16, 32), slice(18, 38))
    assert given.sum() == given[known].sum() == 16 * 20
    np.testing.assert_array_equal(image[known], truth[16:32, 21:41])
    # Beyond it stands the nearest covered pixel, above, below and in the corners alike.
    np.testing.assert_array_equal(image[:16, 18:38], np.broadcast_to(truth[16, 21:41], (16, 20)))
    assert (image[32:, 38:] == truth[31, 40]).all()
    SplineObject.of(image).patches(POSITIONS_YX - origin_yx, 32)


def test_an_image_elsewhere_is_refused(truth):
    with pytest.raises(DataError, match="covers no pixel that a frame saw; pass the image of this very scan"):
        spread_under_frames(truth, np.ones(truth.shape, bool), (200.0, -90.0), POSITIONS_YX, 32)
