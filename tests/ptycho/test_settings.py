"""Every settings class checks every field when it is made."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.comparison import ComparisonSettings, Failure, FinishedArm, ModelArm, compare
from ptycho.data import SimulationSettings
from ptycho.errors import DataError, SettingsError
from ptycho.image.placed import PlacedImage
from ptycho.models.networks import Architecture
from ptycho.models.training import TrainingSettings
from ptycho.reconstruction import InferenceSettings
from ptycho.report import ArtifactOptions, PlotOptions

CLASSES = (
    InferenceSettings,
    ComparisonSettings,
    TrainingSettings,
    SimulationSettings,
    ArtifactOptions,
    PlotOptions,
)
REQUIRED = {Architecture: {"kind": "baseline", "patch_size": 64}}
EVERY_FIELD = [(kind, field.name) for kind in (*CLASSES, Architecture) for field in dataclasses.fields(kind)]
NO_SETTING = (
    object(),
    b"20",
    1 + 2j,
    float("nan"),
    float("inf"),
    [1],
    {"a": 1},
    np.zeros(3),
    "",
    "no such word",
)
OPTIONAL_PATHS = {"batch_memo"}
WITHOUT_RANGE = {"defocus"}  # a phase


def _make(settings_class, **changes):
    return settings_class(**(REQUIRED.get(settings_class, {}) | changes))


@pytest.mark.parametrize(("kind", "name"), EVERY_FIELD)
def test_no_field_takes_what_it_cannot_mean(kind, name):
    for value in NO_SETTING:
        if name in OPTIONAL_PATHS and isinstance(value, str) and value:
            continue
        with pytest.raises(SettingsError) as caught:
            _make(kind, **{name: value})
        assert name in str(caught.value)
        assert " but must be " in str(caught.value)


@pytest.mark.parametrize(("kind", "name"), [field for field in EVERY_FIELD if field[1] not in WITHOUT_RANGE])
@pytest.mark.parametrize("value", [-(10**12), -1e12])
def test_no_field_takes_a_number_far_out_of_range(kind, name, value):
    with pytest.raises(SettingsError, match=f"{name} is {value!r}"):
        _make(kind, **{name: value})


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (ComparisonSettings, {"register": "All"}, "register is 'All' .* did you mean 'all'?"),
        (ComparisonSettings, {"register": True}, "register is True but must be 'all', 'finished' or 'none'"),
        (
            ComparisonSettings,
            {"crop_size": 20.5},
            "crop_size is 20.5 .* a whole number of at least 1; pass 20",
        ),
        (ComparisonSettings, {"crop_size": 0}, "crop_size is 0 .* pass 1"),
        (ComparisonSettings, {"phase_align": "plain"}, "'plane' or 'mean'; did you mean 'plane'?"),
        (
            ComparisonSettings,
            {"ms_ssim_sigma": -1},
            "ms_ssim_sigma is -1 but must be a finite number of at least 0",
        ),
        (ComparisonSettings, {"max_shift_px": -1}, "max_shift_px is -1 but must be a finite number above 0"),
        (ComparisonSettings, {"metric_convention": "best"}, "'standard' or 'ptychopinn'"),
        (ComparisonSettings, {"self_consistency": 1}, "self_consistency is 1 but must be True or False"),
        (ComparisonSettings, {"device": "gpu"}, "device is 'gpu'"),
        (ComparisonSettings, {"seed": 2**32}, "from 0 to 4294967295"),
        (TrainingSettings, {"schedule": "Plateau"}, "did you mean 'plateau'?"),
        (TrainingSettings, {"validation_fraction": -0.5}, "above 0 and below 1"),
        (TrainingSettings, {"epochs": 0}, "epochs is 0"),
        (TrainingSettings, {"batch_size": 0}, "batch_size is 0"),
        (InferenceSettings, {"predict_batch_size": "Auto"}, "'auto' or a whole number of at least 1"),
        (
            SimulationSettings,
            {"aperture": 1.5},
            "aperture is 1.5 but must be a finite number above 0 and of at most 1",
        ),
        (PlotOptions, {"p_min": 95}, "p_min"),
    ],
)
def test_what_was_taken_in_silence_is_refused_with_the_remedy(kind, changes, words):
    with pytest.raises(SettingsError, match=words):
        _make(kind, **changes)


@given(
    value=st.one_of(st.none(), st.booleans(), st.integers(-(2**33), 2**33), st.floats(), st.text(max_size=8))
)
@pytest.mark.parametrize(("kind", "name"), EVERY_FIELD)
def test_a_field_is_refused_or_kept_as_a_plain_value(kind, name, value):
    try:
        settings = _make(kind, **{name: value})
    except SettingsError:
        return
    kept = getattr(settings, name)
    assert kept == value
    assert type(kept) in (bool, int, float, str, type(None))


def test_numbers_of_numpy_become_pythons_own():
    settings = ComparisonSettings(
        crop_size=np.int64(24), ms_ssim_sigma=np.float32(0.5), self_consistency=np.bool_(False), frc_sigma=2
    )
    kept = settings.crop_size, settings.ms_ssim_sigma, settings.self_consistency, settings.frc_sigma
    assert kept == (24, 0.5, False, 2.0)
    assert [type(value) for value in kept] == [int, float, bool, float]


def test_the_sizes_of_an_arm_are_checked_too():
    for name in ("predict_batch_size", "max_predict_batch_size", "max_groups"):
        with pytest.raises(SettingsError, match=f"{name} is 0"):
            ModelArm(label="a", model=None, **{name: 0})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ModelArm(label=3, model=None), "label is 3"),
        (lambda: ModelArm(label=" ", model=None), "label is ' ' but must be a text with something in it"),
        (lambda: ModelArm(label="a", model=None, role="Pinn"), "role is 'Pinn' .* did you mean 'pinn'"),
        (lambda: Failure("a", "b", "Stopped"), "kind is 'Stopped' .* did you mean 'stopped'"),
        (lambda: PlotOptions(phase_limits={"a": (1.0, -1.0)}), "low below high"),
    ],
)
def test_what_is_made_by_hand_checks_itself_too(make, words):
    with pytest.raises(SettingsError, match=words):
        make()


def test_arrays_of_different_shapes_are_no_image():
    with pytest.raises(DataError, match=r"values have shape \(4, 4\), covered \(3, 3\)"):
        PlacedImage(np.ones((4, 4), complex), np.ones((3, 3), bool))


def test_an_image_moved_by_three_pixels_is_registered_by_default_and_never_in_silence_left_alone(scan):
    moved = np.roll(scan.object_guess, (3, -2), (0, 1))
    arm = FinishedArm(label="moved", image=PlacedImage(moved, np.ones(moved.shape, bool), (0.0, 0.0)))
    (result,) = compare([arm], scan, settings=ComparisonSettings(crop_size=12)).arms
    assert result.registration.offset_yx == pytest.approx((-3, 2), abs=0.05)
