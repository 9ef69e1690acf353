"""The pictures in `docs/` are those that the code would draw today."""

import pytest

from scripts.draw_coordinates import IMAGES, PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_up_to_date(name):
    assert (IMAGES / name).read_text(encoding="utf-8") == PICTURES[name]()
