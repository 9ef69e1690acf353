"""The eight turns are a group, and the importer's flags do what they say."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.data import ImportSettings
from ptycho.data.formats._frames import oriented
from ptycho.data.importing.positions import _turned
from ptycho.errors import SettingsError
from ptycho.orientation import Turn
from ptycho.orientation.turns import all_turns

POINTS = np.array([[1.0, 2.0], [-3.0, 5.0], [0.5, -7.0]])


@pytest.mark.parametrize("number", range(8))
def test_a_turn_is_what_the_importer_does_by_that_number(number):
    turn = Turn(number)
    settings = ImportSettings(swap_xy=turn.swap_xy, flip_y=turn.flip_y, flip_x=turn.flip_x)
    np.testing.assert_array_equal(turn.of_positions(POINTS), _turned(POINTS, settings))
    # About its own middle, an image of odd side is turned as the importer turns it.
    image = np.arange(35.0).reshape(5, 7)[:, :5]
    plain = oriented(number)(image)
    rolled = np.roll(plain, (int(turn.flip_y), int(turn.flip_x)), axis=(0, 1))
    np.testing.assert_array_equal(turn.of_image(image), rolled)


@pytest.mark.parametrize("number", range(8))
def test_positions_and_images_turn_alike_about_the_middle_pixel(number):
    image = np.zeros((8, 8))
    image[4 + 1, 4 - 3] = 1.0
    (found,) = np.argwhere(Turn(number).of_image(image))
    np.testing.assert_array_equal(found - 4, Turn(number).of_positions(np.array([[1.0, -3.0]]))[0])


def test_each_turn_has_an_inverse_and_follows_another():
    for first in all_turns():
        assert first.inverse.after(first) == Turn(0)
        for second in all_turns():
            np.testing.assert_array_equal(
                second.after(first).of_positions(POINTS), second.of_positions(first.of_positions(POINTS))
            )


def test_only_four_of_them_mirror():
    assert [turn.number for turn in all_turns() if turn.is_mirror] == [1, 2, 4, 7]


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize(
    "given",
    [{}, {"swap_xy": True, "rotation_deg": 30.0}, {"flip_x": True, "flip_y": True, "rotation_deg": -12.5}],
)
def test_the_remedy_takes_the_place_of_the_flags_that_were_given(number, given):
    importing, turn = ImportSettings(**given), Turn(number)
    mended = turn.put_on(importing)
    np.testing.assert_allclose(_turned(POINTS, mended), turn.of_positions(_turned(POINTS, importing)))
    words = turn.positions_settings(importing).split()
    for name in ("swap_xy", "flip_y", "flip_x"):
        said = {f"`{name}={value}`": value for value in (True, False)}
        assert next((said[word] for word in words if word in said), getattr(importing, name)) == getattr(
            mended, name
        )
    turned = [float(word.strip("`").partition("=")[2]) for word in words if word.startswith("`rotation_deg=")]
    assert (turned or [importing.rotation_deg]) == [mended.rotation_deg]


def test_the_flag_of_the_frames_adds_to_the_one_given():
    assert Turn(1).frames_settings(ImportSettings(frame_orientation=4)) == "`frame_orientation=5`"


def test_there_is_no_ninth_turn():
    with pytest.raises(SettingsError, match="number is 8 but must be a whole number from 0 to 7"):
        Turn(8)
