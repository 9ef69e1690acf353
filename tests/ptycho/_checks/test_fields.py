"""A bound is allowed or refused to the last digit: what is above, at least, at most and below a number."""

import math

import numpy as np
import pytest

from ptycho._checks import fields
from ptycho.errors import SettingsError

JUST_ABOVE, JUST_BELOW = math.nextafter(2.0, 3.0), math.nextafter(2.0, 1.0)


@pytest.mark.parametrize(
    ("bound", "inside", "outside", "words"),
    [
        ("above", JUST_ABOVE, 2.0, "a finite number above 2"),
        ("at_least", 2.0, JUST_BELOW, "a finite number of at least 2"),
        ("at_most", 2.0, JUST_ABOVE, "a finite number of at most 2"),
        ("below", JUST_BELOW, 2.0, "a finite number below 2"),
    ],
)
def test_a_number_is_held_to_each_bound(bound, inside, outside, words):
    assert fields.number(inside, "step_px", **{bound: 2.0}) == inside
    with pytest.raises(
        SettingsError, match=f"step_px is {outside!r} but must be {words}; pass such a number"
    ):
        fields.number(outside, "step_px", **{bound: 2.0})


def test_a_number_may_lie_anywhere_between_two_bounds():
    assert fields.number(0.5, "share", above=0, below=1) == 0.5
    for outside in (0, 1, -0.0):
        with pytest.raises(SettingsError, match="above 0 and below 1"):
            fields.number(outside, "share", above=0, below=1)


def test_a_whole_number_is_held_to_both_bounds_and_told_the_nearest():
    assert [fields.whole_number(value, "epochs", at_least=1, at_most=3) for value in (1, np.int16(3))] == [
        1,
        3,
    ]
    with pytest.raises(SettingsError, match="epochs is 0 but must be a whole number from 1 to 3; pass 1"):
        fields.whole_number(0, "epochs", at_least=1, at_most=3)
    with pytest.raises(SettingsError, match="epochs is 4 but must be a whole number from 1 to 3; pass 3"):
        fields.whole_number(4, "epochs", at_least=1, at_most=3)
    with pytest.raises(
        SettingsError, match=r"epochs is 2\.6 but must be a whole number of at least 1; pass 3"
    ):
        fields.whole_number(2.6, "epochs", at_least=1)


@pytest.mark.parametrize("value", [0, fields.LARGEST_SEED])
def test_the_smallest_and_the_largest_seed_are_seeds(value):
    assert fields.seed(value, "seed") == value
    with pytest.raises(SettingsError, match="from 0 to 4294967295"):
        fields.seed(value + (1 if value else -1), "seed")


@pytest.mark.parametrize("value", [True, np.True_, "2", b"2", None, 2j, math.nan, math.inf])
def test_what_is_no_number_is_none(value):
    with pytest.raises(SettingsError, match=r"step_px is .* but must be a finite number; pass such a number"):
        fields.number(value, "step_px")


def test_a_side_of_a_shape_is_at_least_one():
    assert fields.shape_yx((1, 70), "object_shape_yx") == (1, 70)
    with pytest.raises(SettingsError, match="object_shape_yx is 0 but must be a whole number of at least 1"):
        fields.shape_yx((70, 0), "object_shape_yx")
