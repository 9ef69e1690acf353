"""Both networks learn, repeat with a seed, and say when they have collapsed."""

import csv
from dataclasses import replace

import keras
import numpy as np
import pytest

from ptycho.data import ScanData, SimulationSettings, simulate
from ptycho.errors import DataError
from ptycho.models import _fitting
from ptycho.models._examples import Examples
from ptycho.models.bundle import load_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.models.training import TrainingSettings, check_trainable, save_training, train


def _scan(side, seed=1, n=24):
    return simulate(
        SimulationSettings(
            patch_size=side, object_shape_yx=(side + 30, side + 40), n_lines=12, n_positions=n, seed=seed
        )
    )


def _small(kind="baseline", side=16, gridsize=1):
    return Architecture(kind=kind, patch_size=side, gridsize=gridsize, n_filters_scale=0.25)


def _settings(**changes):
    return TrainingSettings(**({"epochs": 2, "batch_size": 8, "validation_fraction": 0.2} | changes))


@pytest.fixture(scope="module")
def small_scan():
    return _scan(16)


@pytest.fixture(scope="module")
def traced_steps():
    """The trainers whose step Python has run, once for every trace."""
    trainers = []
    original = keras.Model.train_step
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            keras.Model, "train_step", lambda self, data: trainers.append(self) or original(self, data)
        )
        yield trainers


@pytest.fixture(scope="module")
def trained(small_scan, traced_steps):
    return train([small_scan], _small(), settings=_settings(epochs=12, stop_patience=12, seed=3))


def _without_object(scan, **changes):
    return ScanData(amplitude=scan.amplitude, positions_yx=scan.positions_yx, probe=scan.probe, **changes)


def test_the_baseline_learns_the_patches_of_the_object(trained):
    assert trained.history["loss"][-1] < 0.6 * trained.history["loss"][0]
    assert trained.collapsed is None


@pytest.mark.parametrize("gridsize", [1, 2])
def test_the_pinn_learns_without_a_truth(gridsize, traced_steps):
    scan = _without_object(_scan(32, n=16))
    settings = _settings(epochs=4, batch_size=4, stop_patience=4)
    history = train([scan], _small("pinn", 32, gridsize), settings=settings).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert traced_steps.count(traced_steps[-1]) == 1


def test_the_step_is_traced_once_for_batches_of_two_sizes(trained, traced_steps):
    assert traced_steps.count(traced_steps[0]) == 1


def test_labels_are_preferred_to_the_object(small_scan):
    labels = np.random.default_rng(4).random(small_scan.amplitude.shape).astype(np.complex64)
    labelled = replace(small_scan, labels=labels)
    examples = Examples.gather([labelled], _small(), np.random.default_rng(0))
    chosen = np.array([5, 2])
    np.testing.assert_array_equal(examples.labels(chosen)[..., 0], labels[examples.indices[chosen, 0]])


def test_a_constant_output_is_called_collapsed(small_scan, shallow, without_graphs):
    network = build_network(_small())
    for name in ("amplitude", "phase"):
        kernel, bias = network.get_layer(name).get_weights()
        network.get_layer(name).set_weights([0 * kernel, bias + 0.5])
    constant = PatchModel(network, _small())
    settings = _settings(epochs=1, learning_rate=1e-6)
    result = train([small_scan], _small(), settings=settings, start=constant)
    assert "nearly constant" in result.collapsed
    assert "COLLAPSED" in result.summary


def test_the_same_seed_gives_the_same_weights(small_scan, shallow, without_graphs):
    runs = [train([small_scan], _small(), settings=_settings(epochs=1, seed=3)) for _ in range(2)]
    for first, second in zip(*(run.model.network.get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_physics_is_dark_where_the_mask_of_a_scan_is(small_scan):
    plain = _without_object(_scan(32, n=6))
    mask = np.ones((32, 32), bool)
    mask[12:15, 20] = False
    examples = Examples.gather([plain, plain.with_mask(mask)], _small("pinn", 32), np.random.default_rng(0))
    trainer = _fitting._trainer(build_network(_small("pinn", 32)), _small("pinn", 32), examples)
    chosen = np.array([1, 8])
    intensity = trainer(
        (examples.frames(chosen), examples.offsets_yx[chosen], examples.scan_of[chosen])
    ).numpy()
    assert intensity[0].min() > examples.backgrounds[0]
    np.testing.assert_array_equal(intensity[1, ..., 0] > examples.backgrounds[1], mask)


def test_scans_of_several_objects_and_probes_train_together(shallow, without_graphs):
    wide = simulate(
        SimulationSettings(patch_size=48, object_shape_yx=(90, 75), n_positions=8, aperture=0.3, seed=2)
    )
    scans = [_scan(48, n=9), replace(wide, amplitude=wide.amplitude * 9, probe=wide.probe * 9)]
    for kind in ("pinn", "baseline"):
        result = train(scans, _small(kind, 48), settings=_settings(epochs=1))
        assert np.isfinite(result.history["val_loss"]).all()
        assert [scan["n_frames"] for scan in result.model.training["scans"]] == [9, 8]


def test_time_that_is_over_ends_mixed_precision_training_after_the_epoch(small_scan, shallow, without_graphs):
    settings = _settings(epochs=50, stop_patience=50, max_minutes=1e-9, precision="mixed_bfloat16")
    result = train([small_scan], _small(), settings=settings)
    assert len(result.history["loss"]) == 1
    assert {weights.dtype for weights in result.model.network.get_weights()} == {np.dtype(np.float32)}
    assert result.model.network.compute_dtype == "float32"


def test_what_is_saved_can_be_loaded_and_read(small_scan, trained, tmp_path):
    files = save_training(tmp_path / "run", trained)
    assert all(path.is_file() for path in files)
    loaded = load_bundle(tmp_path / "run")
    assert loaded.training["settings"]["seed"] == 3
    np.testing.assert_allclose(loaded.probes, [small_scan.normalised().probe], rtol=1e-6)
    with (tmp_path / "run" / "loss_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, 13)]
    np.testing.assert_allclose([float(row["val_loss"]) for row in rows], trained.history["val_loss"])


def test_wrong_input_is_refused_before_training(small_scan):
    with pytest.raises(DataError, match="frames of 16 pixels but the network takes 64"):
        check_trainable([small_scan], _small("pinn", 64))
    with pytest.raises(DataError, match="at least one file"):
        check_trainable([], _small())
    with pytest.raises(DataError, match="neither labels"):
        check_trainable([_without_object(small_scan)], _small())
