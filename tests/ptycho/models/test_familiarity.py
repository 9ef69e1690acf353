"""Whether a scan is like those of a training: dose, light on the detector and probe, each with a word of its own."""

from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import SimulationSettings, defocused_probe, simulate
from ptycho.models import FrameStatistics, familiarity_of, frame_statistics
from ptycho.models.familiarity import distinct_probes

SETTINGS = SimulationSettings(patch_size=32, object_shape_yx=(90, 100), n_positions=60)


@pytest.fixture(scope="module")
def training():
    return [simulate(replace(SETTINGS, seed=seed)) for seed in (1, 2, 3, 4, 5, 6)]


def _compared(scan, training):
    return familiarity_of(
        frame_statistics(scan),
        scan.probe,
        training_frames=[frame_statistics(each) for each in training],
        training_probes=np.stack([each.probe for each in training]),
    )


def _smooth():
    y, x = np.indices(SETTINGS.object_shape_yx)
    return (0.9 * np.exp(2j * np.sin(y / 14) * np.cos(x / 11))).astype(np.complex64)


@pytest.mark.parametrize(
    "change", [{"seed": 77}, {"seed": 78, "photons_per_frame": 4e5}, {"seed": 9, "n_positions": 20}]
)
def test_a_scan_of_the_same_kind_is_like_the_training(training, change):
    found = _compared(simulate(replace(SETTINGS, **change)), training)
    assert (found.word, found.sentence) == ("like", None)


@pytest.mark.parametrize(
    ("factor", "word", "remark"),
    [
        (30.0, "like", "30 times the photons of its training's, which did the demo's networks no harm"),
        (4.0, "like", None),
        (0.1, "like", "1/10 of the photons of its training's, and the image may hold more of their noise"),
        (0.05, "other dose", None),
    ],
)
def test_another_dose_is_a_doubt_only_where_there_are_much_fewer_photons(training, factor, word, remark):
    found = _compared(simulate(replace(SETTINGS, seed=7, photons_per_frame=1e5 * factor)), training)
    assert found.dose_ratio == pytest.approx(factor, rel=0.02)
    assert found.counted
    assert found.word == word
    assert ("photons of its training's" in (found.sentence or "")) == (word == "other dose")
    assert found.note == (None if remark is None else f"Another dose: a frame holds {remark}.")


def test_another_probe_is_named_and_the_nearest_of_several_counts(training):
    other = replace(SETTINGS, seed=7, defocus=5.0)
    found = _compared(simulate(other), training)
    # Less out of focus, it lights less of the object, which shows on the detector too.
    assert found.word == "other light, other probe"
    assert f"overlap with that of this scan is {found.probe_overlap:.2f}" in found.sentence
    known = _compared(simulate(other), [*training, simulate(replace(other, seed=8))])
    assert (known.word, round(known.probe_overlap, 3)) == ("like", 1.0)


def test_an_object_of_another_family_spreads_its_light_elsewhere(training):
    found = _compared(simulate(replace(SETTINGS, seed=7), object_image=_smooth()), training)
    assert found.word == "other light"
    assert found.light_distance > 0.6
    assert "object is of another kind" in found.sentence


def _statistics(spectrum, photons=1e6, **others):
    shares = np.array(spectrum) / np.sum(spectrum)
    return FrameStatistics(n_frames=10, energy=photons, photons=photons, spectrum=shares, **others)


def test_the_distance_is_that_of_the_nearest_scan_as_a_logarithm():
    # Ring 2 holds a tenth of a photon in either and says nothing.
    scan = _statistics([0.6, 0.4, 1e-8])
    near, far = _statistics([0.5, 0.5, 3e-8]), _statistics([0.2, 0.8, 1e-8])
    found = familiarity_of(scan, np.zeros((2, 2)), training_frames=[far, near])
    assert found.light_distance == pytest.approx(np.sqrt((np.log(1.2) ** 2 + np.log(0.8) ** 2) / 2), rel=1e-6)


def test_without_counts_the_energies_are_compared(training):
    scan = training[0]
    background = np.random.default_rng(2).random(scan.amplitude.shape, np.float32)
    averaged = replace(scan, amplitude=3 * np.sqrt(scan.amplitude**2 + 0.3 * background))
    found = _compared(averaged, training)
    assert not found.counted
    assert found.dose_ratio == pytest.approx(9, rel=0.05)
    assert "light (in the unit of the file)" in found.note


def test_nothing_known_is_unknown(training):
    found = familiarity_of(frame_statistics(training[0]), training[0].probe)
    assert (found.word, found.sentence) == ("unknown", None)


def test_masked_pixels_do_not_shift_the_light(training):
    mask = np.ones((32, 32), bool)
    mask[:, 18:20] = False
    masked = training[0].with_mask(mask)
    assert _compared(masked, training).light_distance < 0.2
    assert frame_statistics(masked).energy < frame_statistics(training[0]).energy


def test_the_record_is_read_as_it_was_written(training):
    found = frame_statistics(training[0])
    again = FrameStatistics.from_dict(found.as_dict())
    np.testing.assert_allclose(again.spectrum, found.spectrum, rtol=1e-3)
    assert (again.n_frames, again.photons) == (60, pytest.approx(found.photons, rel=1e-3))


@pytest.mark.parametrize(
    "change",
    [{"spectrum": []}, {"spectrum": ["a"]}, {"energy": -1}, {"photons": float("nan")}, {"n_frames": None}],
)
def test_a_record_of_something_else_is_refused(training, change):
    record = frame_statistics(training[0]).as_dict() | change
    with pytest.raises(ValueError, match=r"has (no )?figures"):
        FrameStatistics.from_dict(record)


def test_probes_that_differ_are_kept_once_each():
    first, second = defocused_probe(32), defocused_probe(32, defocus=8.0)
    kept = distinct_probes(np.stack([first, 2j * first, second, np.roll(first, 2, axis=0), second]))
    np.testing.assert_array_equal(kept, np.stack([first, second, np.roll(first, 2, axis=0)]))
