"""The misfit of frames against plain NumPy and against what counting noise must leave."""

from dataclasses import replace

import numpy as np
import pytest
from made_results import frame_spread
from scipy import stats

from ptycho.evaluation import FrameMisfit, Misfit, pass_verdict
from ptycho.evaluation._poisson import STEPS_PER_UNIT, poisson_moments
from ptycho.evaluation.misfit import MAP_CELL_PX, MisfitSums
from ptycho.evaluation.verdict import region_of_detector, unexplained_share

SIDE = 24


def expected_intensity(photons, seed=1):
    """A bright disc with dark surroundings, off-centre and not symmetric, (N, N) float64."""
    y, x = np.mgrid[:SIDE, :SIDE]
    disc = np.exp(-(((y - 10) / 4) ** 2) - ((x - 13) / 3) ** 2) + 1e-4
    spots = 1 + 0.5 * np.random.default_rng(seed).standard_normal((SIDE, SIDE)) ** 2
    intensity = disc * spots
    return photons * intensity / intensity.sum()


def positions(n_frames):
    return np.stack([np.linspace(30, 90, n_frames), 40 + 7 * np.sin(np.arange(n_frames))], axis=1)


def misfit_of(measured, predicted, *, mask=None, photon_energy=1.0, batch=7):
    n_frames = len(measured)
    mask = np.ones(measured.shape[1:], bool) if mask is None else mask
    sums = MisfitSums(positions(n_frames), mask, photon_energy=photon_energy)
    for start in range(0, n_frames, batch):
        indices = np.arange(start, min(start + batch, n_frames))
        sums.add(indices, measured[indices], predicted[indices])
    return sums.result()


def noise_chi2(expected):
    """Mean of (2√n - 2√μ)², summed over the distribution by SciPy."""
    counts = np.arange(int(expected + 15 * expected**0.5 + 30))
    return stats.poisson.pmf(counts, expected) @ (4 * (np.sqrt(counts) - expected**0.5) ** 2)


@pytest.mark.parametrize("expected", [1e-3, 0.04, 0.5, 3.0, 20.0, 200.0, 255.0, 4000.0])
def test_the_moments_are_those_of_the_distribution(expected):
    table = poisson_moments().table()
    entry = table[min(round(expected**0.5 * STEPS_PER_UNIT), len(table) - 1)]
    counts = np.arange(int(expected + 15 * expected**0.5 + 30))
    weight, root = stats.poisson.pmf(counts, expected), np.sqrt(counts)
    chi2 = 4 * (root - expected**0.5) ** 2
    mean = weight @ chi2
    bend = 2 * np.sqrt(counts + 1) - root - np.sqrt(counts + 2)
    wanted = [
        mean,
        weight @ chi2**2 - mean**2,
        4 * expected**1.5 * (weight @ bend),
        weight @ np.abs(root - expected**0.5),
    ]
    # The entries lie 1/256 apart in amplitude; the last stands for all brighter ones.
    np.testing.assert_allclose(entry, wanted, rtol=0.15 if expected < 0.01 else 0.03)


@pytest.mark.parametrize("photons", [10, 1e2, 1e3, 1e5, 1e8])
def test_the_truth_leaves_what_counting_noise_leaves_at_every_dose(photons):
    rng = np.random.default_rng(5)
    expected = expected_intensity(photons)
    measured = np.sqrt(rng.poisson(expected, (1500, SIDE, SIDE))).astype(np.float32)
    # In another unit than the counts, and another in each frame: the brightness is fitted.
    scale = rng.uniform(0.01, 20, (1500, 1, 1))
    predicted = (np.sqrt(expected) * scale).astype(np.float32)
    found = misfit_of(measured, predicted, batch=500)
    assert found.chi2 == pytest.approx(1, abs=3 * found.chi2_error)
    assert 0 < found.chi2_error < 0.02
    assert found.r_factor == pytest.approx(found.noise_r_factor, rel=0.02)
    assert abs(found.unexplained) < 3 * found.chi2_error * 2
    assert found.n_frames == 1500 - (measured.sum(axis=(1, 2)) == 0).sum()


def test_the_figures_are_those_of_plain_sums():
    rng = np.random.default_rng(6)
    expected = expected_intensity(4000)
    measured = np.sqrt(rng.poisson(expected, (20, SIDE, SIDE))).astype(np.float32)
    predicted = np.sqrt(np.roll(expected, (1, -1), (0, 1)) * np.ones((20, 1, 1))).astype(np.float32)
    mask = np.ones((SIDE, SIDE), bool)
    mask[8:11, 12:14] = False
    measured[:, ~mask] = 0
    found = misfit_of(measured, predicted, mask=mask)
    squares, noise, deviation, amplitude, light = [], [], 0.0, 0.0, 0.0
    for frame, other in zip(measured.astype(float), predicted.astype(float), strict=True):
        frame, other = frame[mask], other[mask]
        other = other * ((frame**2).sum() / (other**2).sum()) ** 0.5
        squares.append((4 * (frame - other) ** 2).sum())
        noise.append(sum(noise_chi2(value**2) for value in other) - 1)
        deviation, amplitude = deviation + np.abs(frame - other).sum(), amplitude + frame.sum()
        light += (frame**2).sum()
    ratios = np.array(squares) / noise
    assert found.chi2 == pytest.approx(sum(squares) / sum(noise), rel=2e-3)
    assert found.r_factor == pytest.approx(deviation / amplitude, rel=1e-5)
    assert found.unexplained == pytest.approx((sum(squares) - sum(noise)) / (4 * light), rel=2e-3)
    worst = [frame.index for frame in found.worst_frames]
    assert worst == list(np.argsort(ratios)[::-1][:5])
    assert np.isnan(found.detector_map[~mask]).all()
    assert np.isfinite(found.detector_map[mask]).all()


def test_batches_change_nothing():
    rng = np.random.default_rng(7)
    expected = expected_intensity(300)
    measured = np.sqrt(rng.poisson(expected, (40, SIDE, SIDE))).astype(np.float32)
    predicted = np.sqrt(rng.permuted(np.broadcast_to(expected, measured.shape), axis=0)).astype(np.float32)
    one, many = (misfit_of(measured, predicted, batch=size) for size in (1, 40))
    assert one.chi2 == pytest.approx(many.chi2, rel=1e-6)
    assert [frame.index for frame in one.worst_frames] == [frame.index for frame in many.worst_frames]
    np.testing.assert_allclose(one.object_map, many.object_map, rtol=1e-5)


def test_maps_show_where_frames_are_badly_explained():
    expected = expected_intensity(1e4)
    measured = np.sqrt(np.random.default_rng(8).poisson(expected, (60, SIDE, SIDE))).astype(np.float32)
    predicted = np.broadcast_to(np.sqrt(expected), measured.shape).astype(np.float32)
    measured[41] = np.roll(measured[41], 3, axis=1)
    measured[:, 6, 9] += 12
    found = misfit_of(measured, predicted)
    assert found.worst_frames[0].index == 41
    assert np.unravel_index(np.nanargmax(found.detector_map), (SIDE, SIDE)) == (6, 9)
    cell = (positions(60)[41] - found.object_map_origin_yx) // MAP_CELL_PX
    assert np.unravel_index(np.nanargmax(found.object_map), found.object_map.shape) == tuple(cell.astype(int))
    assert found.object_map.shape == (8, 2)


def test_without_counts_only_the_r_factor_is_known():
    rng = np.random.default_rng(9)
    measured = rng.random((12, SIDE, SIDE), dtype=np.float32)
    predicted = measured + 0.1 * rng.random(measured.shape, dtype=np.float32)
    found = misfit_of(measured, predicted, photon_energy=None)
    assert (found.chi2, found.chi2_error, found.noise_r_factor) == (None, None, None)
    assert 0 < found.unexplained < 0.01
    assert misfit_of(5 * measured, predicted, photon_energy=None).r_factor == pytest.approx(found.r_factor)
    verdict = pass_verdict(found, None, found, n_frames=12)
    assert (verdict.counted, verdict.cause) == (False, "unknown")
    assert any("R-factors" in note for note in verdict.notes)


def test_frames_without_light_are_passed_over():
    measured = np.zeros((5, SIDE, SIDE), np.float32)
    predicted = np.ones_like(measured)
    assert misfit_of(measured, predicted) is None
    measured[2] = np.sqrt(expected_intensity(100)).astype(np.float32)
    predicted[3] = 0
    assert misfit_of(measured, predicted).n_frames == 1


def made(chi2, unexplained, *, excess=None, misfits=None, worst=()):
    """A misfit with these two figures, spread over the detector or in the pixels of `excess`, alike in all frames."""
    share = np.full((SIDE, SIDE), 1 / SIDE**2, np.float32)
    relative = np.full((SIDE, SIDE), 0.02, np.float32)
    if excess is not None:
        share[:], relative[excess] = 0, 0.9
        share[excess] = 1 / share[excess].size
    return Misfit(
        n_frames=80,
        chi2=chi2,
        chi2_error=0.002,
        r_factor=0.1,
        noise_r_factor=0.08,
        unexplained=unexplained,
        detector_map=share,
        detector_excess=relative,
        detector_share=share,
        object_map=np.ones((2, 3), np.float32),
        object_map_origin_yx=(30.0, 33.0),
        worst_frames=tuple(FrameMisfit(index, 50.0) for index in worst),
        spread=frame_spread(np.full(80, chi2) if misfits is None else misfits),
    )


CONSTANT = made(25.0, 0.05)
GOOD, FAIR, BAD = made(1.5, 0.002), made(1.6, 0.0035), made(9.0, 0.03)
STOPPED = made(9.0, 0.03, excess=np.s_[3:6, 4:8])


@pytest.mark.parametrize(
    ("image", "patches", "cause", "words"),
    [
        (GOOD, FAIR, "explained", "image explains the frames"),
        (BAD, GOOD, "positions", "suspect the positions or the stitching"),
        (BAD, made(3.0, 0.0085), "positions", "suspect the positions"),
        (BAD, BAD, "network", "suspect the network, the probe, or an object"),
        (GOOD, BAD, "explained", "image explains the frames. Single patches do not"),
        (None, BAD, "network", "The patches do not explain the frames: suspect the network"),
        (STOPPED, STOPPED, "detector", r"rows 3 to 5, columns 4 to 7 of the detector"),
        (STOPPED, None, "detector", "its mask, a beam stop or bad pixels"),
        (BAD, None, "image", "another object's"),
        (GOOD, None, "explained", "image explains the frames"),
        (None, GOOD, "explained", "patches explain the frames"),
        (None, None, "unknown", "no frame could be recomputed"),
        # A misfit within the noise is no alarm, whatever its share.
        (made(1.2, 0.02), made(1.2, 0.02), "explained", "explains"),
    ],
)
def test_the_word_of_diagnosis_follows_from_which_figures_are_high(image, patches, cause, words):
    verdict = pass_verdict(image, patches, CONSTANT, n_frames=100)
    assert verdict.cause == cause
    assert words in verdict.diagnosis
    assert verdict.judged_fraction == (0 if image is None else 0.8)


def bad(n_bad, *, worst, others=1.5):
    """A misfit of 80 frames of which `n_bad` spoil the whole."""
    misfits = np.where(np.arange(80) < n_bad, 400.0, others)
    return made(misfits.mean(), (misfits.mean() - 1) / 1000, misfits=misfits, worst=worst)


CONSTANT_OF_BAD = replace(made(25.0, 0.024), spread=frame_spread(np.full(80, 25.0)))


@pytest.mark.parametrize(
    ("image", "patches", "count", "words"),
    [
        (bad(1, worst=[17, 3, 5]), None, 1, "but 1, frame 17. Suspect"),
        (bad(2, worst=[17, 3, 5]), GOOD, 2, "but 2: frames 17, 3. Suspect"),
        (bad(4, worst=[17, 3, 5]), bad(3, worst=[6]), 4, "but 4: frames 17, 3, 5 and 1 more"),
        (GOOD, bad(1, worst=[6]), 1, "but 1, frame 6"),
    ],
)
def test_a_few_bad_frames_are_to_blame_themselves(image, patches, count, words):
    verdict = pass_verdict(image, patches, CONSTANT_OF_BAD, n_frames=80)
    assert (verdict.cause, verdict.n_bad_frames) == ("frames", count)
    assert words in verdict.diagnosis


@pytest.mark.parametrize(
    ("image", "patches", "cause"),
    [
        (bad(5, worst=[1]), None, "image"),  # one more than a twentieth
        (bad(1, worst=[1], others=9.0), None, "image"),  # the others are not explained either
        (bad(1, worst=[1]), bad(9, worst=[2]), "network"),
    ],
)
def test_frames_are_not_to_blame_for_what_is_wrong_without_them(image, patches, cause):
    verdict = pass_verdict(image, patches, CONSTANT_OF_BAD, n_frames=80)
    assert (verdict.cause, verdict.n_bad_frames) == (cause, 0)


def test_the_median_over_frames_is_not_moved_by_a_few():
    assert frame_spread([0.3, 1.7, 1.9, 2e3, 1e6]).median == pytest.approx(1.9, rel=0.03)
    assert np.isnan(frame_spread([]).median)
    rest = list(frame_spread([1.0, 2.0, 7.0]).without_worst())
    assert [(left.n_left_out, round(left.misfit, 6)) for left in rest] == [(1, 1.5), (2, 1.0)]
    assert rest[0].unexplained == pytest.approx((2 * 1.5 - 2) / 2000)


def test_frames_that_a_constant_explains_give_no_verdict():
    verdict = pass_verdict(BAD, BAD, made(1.1, 0.04), n_frames=80)
    assert verdict.cause == "unknown"
    assert "too few photons" in verdict.diagnosis


def test_what_is_unexplained_is_counted_in_constants():
    assert unexplained_share(GOOD, CONSTANT) == pytest.approx(0.04)
    assert unexplained_share(BAD, replace(CONSTANT, unexplained=0.0)) == float("inf")
    assert unexplained_share(replace(GOOD, unexplained=-1e-9), replace(CONSTANT, unexplained=0.0)) == 0
    assert region_of_detector(BAD) is None
