"""What held-out frames say of a network, beside figures that are computed without it."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ptycho.data import SimulationSettings, simulate
from ptycho.diffraction import far_field_intensity
from ptycho.diffraction.spline_object import extract_patches
from ptycho.models._examples import BACKGROUND_PHOTONS, BACKGROUND_UNCOUNTED, Examples
from ptycho.models._held_out import HeldOut, Pictures
from ptycho.models._poisson_floor import expected_deviance
from ptycho.models.networks import Architecture
from ptycho.models.physics import poisson_deviance

SETTINGS = SimulationSettings(patch_size=32, object_shape_yx=(80, 95), n_positions=40, n_lines=12, seed=4)


class Truth(keras.Model):
    """Puts out the patches under the frames of a scan, found by their energies."""

    def __init__(self, examples):
        super().__init__()
        scan = examples.scans[0]
        self.patches = extract_patches(scan.object_guess, scan.positions_yx, 32)
        self._energies = (examples.frames(np.arange(len(examples))) ** 2).sum(axis=(1, 2, 3))

    def call(self, frames, training=False):
        energies = tf.reduce_sum(frames**2, axis=(1, 2, 3))
        nearest = tf.argmin(tf.abs(self._energies - energies[:, None]), axis=1)
        return tuple(tf.gather(part(self.patches[..., None]), nearest) for part in (np.abs, np.angle))


def _watched(scan, kind="pinn"):
    architecture = Architecture(kind=kind, patch_size=32, n_filters_scale=0.25)
    examples = Examples.gather([scan], architecture, np.random.default_rng(0))
    chosen = np.arange(4, 40, 2)
    return examples, chosen, HeldOut(Truth(examples), architecture, examples, chosen, 5)


@pytest.mark.parametrize("photons", [1e2, 1e5, 1e8])
def test_the_truth_explains_the_frames_and_its_loss_is_its_floor_at_every_dose(photons):
    scan = simulate(replace(SETTINGS, photons_per_frame=photons))
    examples, chosen, watcher = _watched(scan)
    figures = watcher.figures()
    assert figures["val_chi2"] == pytest.approx(1, abs=0.04)
    predicted = far_field_intensity(
        extract_patches(scan.object_guess, scan.positions_yx[chosen], 32) * scan.probe
    ) * np.float32(scan.normalisation**2)
    background = examples.backgrounds[0]
    loss = poisson_deviance(examples.frames(chosen)[..., 0] ** 2 + background, predicted + background)
    assert figures["val_loss_floor"] == pytest.approx(float(loss), rel=0.04)
    assert background / scan.normalisation**2 == pytest.approx(BACKGROUND_PHOTONS, rel=1e-5)


def test_masked_pixels_are_no_part_of_the_figures():
    scan = simulate(SETTINGS)
    mask = np.ones((32, 32), bool)
    mask[10:20, 14:] = False
    masked = scan.with_mask(mask)
    found = [_watched(each)[2].figures() for each in (scan, masked)]
    assert found[1]["val_chi2"] == pytest.approx(1, abs=0.04)
    in_photons = [
        each["val_loss_floor"] / one.normalisation**2 for each, one in zip(found, (scan, masked), strict=True)
    ]
    assert in_photons[1] < 0.95 * in_photons[0]


def test_patches_of_another_place_do_not_explain_the_frames():
    watcher = _watched(simulate(SETTINGS))[2]
    watcher._network.patches = np.roll(watcher._network.patches, 3, axis=0)
    assert watcher.figures()["val_chi2"] > 5


def test_where_frames_are_no_counts_only_the_r_factor_is_known():
    scan = simulate(SETTINGS)
    blurred = replace(scan, amplitude=np.sqrt(scan.amplitude**2 + 0.3))
    examples, _, watcher = _watched(blurred)
    assert watcher.figures().keys() == {"val_r_factor"}
    assert examples.backgrounds[0] == np.float32(BACKGROUND_UNCOUNTED)


def test_a_baseline_has_no_floor_for_its_loss_is_no_likelihood():
    assert _watched(simulate(SETTINGS), "baseline")[2].figures().keys() == {"val_chi2", "val_r_factor"}


def test_a_picture_comes_after_the_first_epoch_and_every_fifth_and_lies_on_the_object():
    scan, pictures, logs = simulate(SETTINGS), [], {}
    watcher = _watched(scan)[2]
    watcher.on_epoch_end(0, logs)
    shown = Pictures(watcher, pictures.append)
    for epoch in range(11):
        shown.on_epoch_end(epoch, logs)
    assert [picture.epoch for picture in pictures] == [1, 5, 10]
    assert logs.keys() == {"val_chi2", "val_r_factor", "val_loss_floor"}
    image, truth = pictures[0].image, pictures[0].truth
    row, column = (int(start) for start in image.origin_yx)
    np.testing.assert_array_equal(
        truth, scan.object_guess[row : row + truth.shape[0], column : column + truth.shape[1]]
    )
    # Bilinear shifts blur; a picture a pixel off is several times further from the truth.
    assert np.abs(image.values - truth)[image.covered].mean() < 0.02


@pytest.mark.parametrize("photons", [0.0, 1e-4, 0.3, 2.0, 90.0, 255.0, 1e5])
def test_the_expected_deviance_is_that_of_poisson_counts(photons):
    counts = np.arange(int(photons + 12 * photons**0.5 + 30))
    ratio = np.log((counts + BACKGROUND_PHOTONS) / (photons + BACKGROUND_PHOTONS))
    deviance = photons - counts + (counts + BACKGROUND_PHOTONS) * ratio
    expected = stats.poisson.pmf(counts, photons) @ deviance
    assert expected_deviance(np.array(photons)) == pytest.approx(expected, rel=2e-3, abs=1e-4)
