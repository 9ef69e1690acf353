"""A training that was stopped goes on to the very weights that it would have had."""

import csv
from dataclasses import replace

import keras
import numpy as np
import pytest
from known_models import shallow_baselines

from autobatch import NoProgress
from ptycho.data import SimulationSettings, simulate
from ptycho.errors import DataError, SettingsError
from ptycho.models._checkpoint import load_checkpoint
from ptycho.models.networks import Architecture
from ptycho.models.training import TrainingOrigin, TrainingSettings, train

ARCHITECTURE = Architecture(kind="baseline", patch_size=16, n_filters_scale=0.25)
# A rate that makes the loss go up and down, so that it is halved on the way.
SETTINGS = TrainingSettings(
    epochs=7,
    batch_size=8,
    learning_rate=0.07,
    plateau_patience=1,
    stop_patience=5,
    validation_fraction=0.2,
    seed=3,
)


@pytest.fixture(scope="module", autouse=True)
def _shallow():
    with pytest.MonkeyPatch.context() as monkeypatch:
        shallow_baselines(monkeypatch)
        yield


class Stop(keras.callbacks.Callback):
    """Ends the training without a word, in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch, self._at = None, epoch

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == (self._at, 1):
            raise RuntimeError("killed")


@pytest.fixture(scope="module")
def scan():
    return simulate(
        SimulationSettings(patch_size=16, object_shape_yx=(46, 56), n_lines=12, n_positions=24, seed=1)
    )


def _stopped(scan, folder, settings=SETTINGS, epoch=3):
    with pytest.raises(RuntimeError, match="killed"):
        train([scan], ARCHITECTURE, settings=settings, folder=folder, callbacks=[Stop(epoch)])


@pytest.fixture(scope="module")
def straight(scan):
    return train([scan], ARCHITECTURE, settings=SETTINGS)


@pytest.fixture(scope="module")
def stopped(scan, tmp_path_factory):
    """The folder of a training that was stopped in its fourth epoch; not to be changed."""
    folder = tmp_path_factory.mktemp("stopped")
    _stopped(scan, folder)
    return folder


@pytest.fixture
def copied(stopped, tmp_path):
    for path in stopped.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def _same_bits(first, second):
    pairs = zip(first.model.network.get_weights(), second.model.network.get_weights(), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def test_a_stopped_training_ends_with_the_same_bits_as_one_that_was_not(scan, straight, copied):
    assert load_checkpoint(copied / "checkpoint.npz").n_epochs == 3
    resumed = train([scan], ARCHITECTURE, settings=SETTINGS, folder=copied, resume=True)
    assert resumed.history == straight.history
    assert _same_bits(resumed, straight)
    # Else the test would not see a rate that is lost.
    assert len(set(straight.history["learning_rate"])) > 1


class Counting(NoProgress):
    """Notes how long its stages are to be, and how far they came."""

    def __init__(self):
        self.totals, self.done = [], 0

    def stage(self, label, total, unit="items"):
        self.totals.append(total)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def advance(self, n_items=1):
        self.done += n_items

    def note(self, text):
        pass


def test_the_display_counts_the_frames_of_this_run_alone(scan, copied, without_graphs):
    progress, settings = Counting(), replace(SETTINGS, epochs=4)
    train([scan], ARCHITECTURE, settings=settings, folder=copied, resume=True, progress=progress)
    (total,) = progress.totals
    assert 0 < total == progress.done < scan.n_frames


def test_a_training_at_its_end_says_that_there_was_nothing_to_do(scan, copied, without_graphs, caplog):
    with caplog.at_level("INFO", logger="ptycho"):
        train([scan], ARCHITECTURE, settings=replace(SETTINGS, epochs=1), folder=copied, resume=True)
    assert "nothing to do: the training has 3 epochs and no more than 1 are wanted" in caplog.text


def test_one_that_has_come_to_its_end_gives_its_best_weights_again(scan, copied, without_graphs):
    done = load_checkpoint(copied / "checkpoint.npz")
    result = train([scan], ARCHITECTURE, settings=replace(SETTINGS, epochs=3), folder=copied, resume=True)
    assert result.history == done.history
    for found, best in zip(result.model.network.get_weights(), done.best_weights, strict=True):
        np.testing.assert_array_equal(found, best)


def test_the_table_of_losses_grows_with_each_epoch(stopped):
    with (stopped / "loss_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    kept = load_checkpoint(stopped / "checkpoint.npz").history["val_loss"]
    assert [float(row["val_loss"]) for row in rows] == kept


def test_a_cosine_goes_on_where_it_was(scan, tmp_path, without_graphs):
    settings = replace(SETTINGS, schedule="cosine", epochs=2)
    straight = train([scan], ARCHITECTURE, settings=settings)
    _stopped(scan, tmp_path, settings, epoch=1)
    resumed = train([scan], ARCHITECTURE, settings=settings, folder=tmp_path, resume=True)
    rates = resumed.history["learning_rate"]
    assert rates == straight.history["learning_rate"]
    assert rates[0] > rates[1]
    assert _same_bits(resumed, straight)


def test_without_a_checkpoint_only_the_table_is_written_and_resuming_begins_anew(
    scan, tmp_path, without_graphs, caplog
):
    settings = replace(SETTINGS, epochs=1, checkpoint=False)
    with caplog.at_level("INFO", logger="ptycho"):
        train([scan], ARCHITECTURE, settings=settings, folder=tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["loss_curve.csv"]
    assert "training begins with the first epoch" in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 4}, "began with batch_size 8 and cannot go on with 4; give the same"),
        ({"learning_rate": 0.01}, "learning_rate 0.07 and cannot go on with 0.01"),
        ({"schedule": "cosine"}, "schedule plateau and cannot go on with cosine|epochs None"),
    ],
)
def test_other_settings_are_refused(scan, copied, changes, words):
    settings = replace(SETTINGS, **changes)
    with pytest.raises(DataError, match=words):
        train([scan], ARCHITECTURE, settings=settings, folder=copied, resume=True)


def test_other_data_and_another_network_are_refused(scan, copied):
    dimmer = replace(scan, amplitude=scan.amplitude * np.float32(0.5))
    with pytest.raises(DataError, match="began with scans"):
        train([dimmer], ARCHITECTURE, settings=SETTINGS, folder=copied, resume=True)
    wider = replace(ARCHITECTURE, n_filters_scale=0.5)
    with pytest.raises(DataError, match=r"n_filters_scale 0\.25 and cannot go on with 0\.5"):
        train([scan], wider, settings=SETTINGS, folder=copied, resume=True)


def test_a_state_is_neither_lost_nor_looked_for_nowhere(scan, copied):
    with pytest.raises(DataError, match=r"holds the state of a training .* pass resume=True"):
        train([scan], ARCHITECTURE, settings=SETTINGS, folder=copied)
    (copied / "checkpoint.npz").unlink()
    (copied / "bundle.json").write_text("precious")
    with pytest.raises(DataError, match=r"a finished model but no checkpoint\.npz to go on from"):
        train([scan], ARCHITECTURE, settings=SETTINGS, folder=copied, resume=True)
    with pytest.raises(SettingsError, match="resume is True but folder is None"):
        train([scan], ARCHITECTURE, settings=SETTINGS, resume=True)


def test_other_data_is_told_by_the_names_of_its_files(scan, tmp_path, without_graphs):
    settings = replace(SETTINGS, epochs=1)

    def run(amplitude, file):
        given = {"settings": settings, "folder": tmp_path, "origin": TrainingOrigin(files=(file,))}
        train([replace(scan, amplitude=amplitude)], ARCHITECTURE, resume=True, **given)

    run(scan.amplitude, "a.npz")
    dimmer = scan.amplitude * np.float32(0.5)
    with pytest.raises(DataError, match=r"began with a\.npz and cannot go on with b\.npz; give the same"):
        run(dimmer, "b.npz")
    with pytest.raises(DataError, match=r"began with a\.npz but with other contents"):
        run(dimmer, "a.npz")
    run(scan.amplitude, "moved/a.npz")


def test_a_state_that_is_cut_off_says_the_way_out(scan, copied):
    path = copied / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"is truncated: .* or begin anew with `resume=False`"):
        train([scan], ARCHITECTURE, settings=SETTINGS, folder=copied, resume=True)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda arrays: arrays.pop("weights_0"), "weights_0|arrays where the training has"),
        (lambda arrays: arrays.update(description=np.array("[]")), "describes no state of a training"),
        (lambda arrays: arrays.update(description=np.array({}, dtype=object)), "pickled"),
    ],
)
def test_a_damaged_state_is_refused(scan, copied, damage, words):
    path = copied / "checkpoint.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    damage(arrays)
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=words):
        train([scan], ARCHITECTURE, settings=SETTINGS, folder=copied, resume=True)
