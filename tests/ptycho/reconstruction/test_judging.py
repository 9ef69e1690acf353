"""Frames recomputed from the truth leave what counting noise leaves; what is wrong leaves more."""

from dataclasses import replace

import numpy as np
import pytest
from oracle_model import FrameOracle, OracleModel

from ptycho.data import ScanData, SimulationSettings, extract_patches, photon_energy, simulate
from ptycho.errors import DataError
from ptycho.image.placed import PlacedImage
from ptycho.models.patch_parts import PatchLight, PatchNeeds, PatchParts
from ptycho.reconstruction import InferenceSettings, judge_constant, judge_image, reconstruct
from ptycho.reconstruction.judging import PatchJudge

SETTINGS = SimulationSettings(
    patch_size=32, object_shape_yx=(96, 110), step_px=5.0, aperture=0.6, defocus=6.0, n_lines=15, seed=4
)


@pytest.fixture(scope="module")
def scan():
    return simulate(SETTINGS)


def truth_of(scan):
    return PlacedImage(scan.object_guess, np.ones(scan.object_guess.shape, bool), (0.0, 0.0))


@pytest.mark.parametrize("photons", [1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8])
def test_the_truth_is_within_three_standard_errors_of_the_noise_at_every_dose(photons):
    scan = simulate(replace(SETTINGS, photons_per_frame=photons, seed=int(np.log10(photons))))
    found = judge_image(scan, truth_of(scan))
    assert found.n_frames == scan.n_frames
    assert found.chi2 == pytest.approx(1, abs=3 * found.chi2_error)
    assert found.chi2_error < 0.02
    assert found.r_factor == pytest.approx(found.noise_r_factor, rel=0.05)


def test_a_constant_is_the_other_end_of_the_scale(scan):
    constant, truth = judge_constant(scan), judge_image(scan, truth_of(scan))
    assert constant.chi2 > 10 * truth.chi2
    flat = truth_of(replace(scan, object_guess=np.full_like(scan.object_guess, 0.3 - 0.4j)))
    assert judge_image(scan, flat).chi2 == pytest.approx(constant.chi2, rel=1e-4)


def test_brightness_and_phase_of_an_image_do_not_matter(scan):
    truth = truth_of(scan)
    turned = replace(truth, values=truth.values * np.complex64(3 * np.exp(0.7j)))
    assert judge_image(scan, turned).chi2 == pytest.approx(judge_image(scan, truth).chi2, rel=1e-4)


def test_frames_are_judged_whose_light_is_covered(scan):
    truth = truth_of(scan)
    covered = truth.covered.copy()
    covered[:, 60:] = False
    part = judge_image(scan, replace(truth, covered=covered, values=np.where(covered, truth.values, 0)))
    assert 0 < part.n_frames < scan.n_frames / 2
    # A hundredth of the light falls on guesses.
    assert part.chi2 < 1.3
    assert judge_image(scan, replace(truth, covered=np.eye(*covered.shape, dtype=bool))) is None
    assert judge_image(scan, replace(truth, origin_yx=(500.0, 3.0))) is None
    with pytest.raises(DataError, match=r"origin_yx None .* register it first"):
        judge_image(scan, replace(truth, origin_yx=None))


def test_an_image_elsewhere_in_its_frame_is_judged_where_it_lies(scan):
    truth = truth_of(scan)
    cut = PlacedImage(truth.values[10:, 14:], truth.covered[10:, 14:], (10.0, 14.0))
    found = judge_image(scan, cut)
    assert found.chi2 == pytest.approx(1, abs=0.1)
    assert judge_image(scan, replace(cut, origin_yx=(12.0, 13.0))).chi2 > 2


def test_masked_pixels_are_left_out(scan):
    mask = np.ones((32, 32), bool)
    mask[14:18, 15:19] = False
    hidden = replace(scan, amplitude=np.where(mask, scan.amplitude, 0))
    honest = judge_image(hidden.with_mask(mask), truth_of(scan))
    assert honest.chi2 == pytest.approx(1, abs=3 * honest.chi2_error)
    assert judge_image(hidden, truth_of(scan)).chi2 > 3


def test_patches_are_judged_batch_by_batch_as_they_come(scan):
    model = FrameOracle(scan, extract_patches(scan.object_guess, scan.positions_yx, 32))
    runs = [
        reconstruct(
            model, scan, InferenceSettings(crop_size=16, predict_batch_size=size, verdict=True)
        ).patch_misfit
        for size in (5, 64)
    ]
    assert runs[0].n_frames == scan.n_frames
    assert runs[0].chi2 == pytest.approx(1, abs=3 * runs[0].chi2_error)
    assert runs[0].chi2 == pytest.approx(runs[1].chi2, rel=1e-6)
    assert reconstruct(model, scan, InferenceSettings(crop_size=16)).patch_misfit is None


def test_groups_have_no_patches_of_frames(scan):
    run = reconstruct(OracleModel(scan, gridsize=2), scan, InferenceSettings(crop_size=16, verdict=True))
    assert run.patch_misfit is None


def test_patches_that_mean_nothing_outside_a_square_are_judged_within(scan):
    patches = extract_patches(scan.object_guess, scan.positions_yx, 32)
    wild = 1000 * patches
    wild[:, 5:27, 5:27] = patches[:, 5:27, 5:27]
    judges = [PatchJudge(scan, PatchLight(scan.probe, size)) for size in (32, 22)]
    whole = PatchParts.of(wild, PatchNeeds(crop_size=16), scan.n_frames)
    for judge in judges:
        judge.add(np.arange(scan.n_frames), scan.amplitude, whole)
    believing, careful = (judge.result().chi2 for judge in judges)
    assert careful < 2
    assert believing > 10 * careful


@pytest.mark.parametrize("factor", [1.0, 0.037])
def test_one_photon_is_found_whatever_the_unit(scan, factor):
    scaled = replace(scan, amplitude=scan.amplitude * np.float32(factor))
    assert photon_energy(scaled) == pytest.approx(factor**2, rel=1e-3)
    assert judge_constant(scaled).chi2 == pytest.approx(judge_constant(scan).chi2, rel=1e-3)


def test_frames_that_are_no_counts_are_known_by_their_fractions(scan):
    rng = np.random.default_rng(2)
    for frames in (
        rng.random(scan.amplitude.shape),
        np.sqrt(np.square(scan.amplitude, dtype=float) + 0.3 * rng.random(scan.amplitude.shape)),
        (scan.amplitude[:, :, :] + np.roll(scan.amplitude, 1, axis=2)) / 2,
    ):
        assert photon_energy(replace(scan, amplitude=frames.astype(np.float32))) is None
    found = judge_constant(replace(scan, amplitude=scan.amplitude + np.float32(0.3)))
    assert found.chi2 is None
    assert 0 < found.r_factor < 1


def test_single_photons_are_counts():
    frames = np.zeros((2, 8, 8))
    frames[0, 3, 4] = 1
    lone = ScanData(amplitude=frames, positions_yx=np.ones((2, 2)), probe=np.ones((8, 8)))
    assert photon_energy(lone) == 1.0
