"""What a file gives for a field has the field's shape, or is refused by name."""

import numpy as np
import pytest

from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._parts import Parts
from ptycho.errors import DataError


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "positions_yx",
            np.array(3.0),
            r"positions \(row, column\) in a\.h5 is float64 of shape \(\) .* \(n, 2\)",
        ),
        (
            "positions_yx",
            np.zeros((3, 2), "S3"),
            r"\|S3 of shape \(3, 2\) but must be numbers of shape \(n, 2\)",
        ),
        ("origin_yx", np.zeros(7), r"the place of the object in a\.h5 .* of shape \(2,\); mend"),
        ("object_image", np.zeros((3, 5, 7)), r"the object in a\.h5 is float64 of shape \(3, 5, 7\)"),
        ("bad_pixels", np.zeros(7, bool), r"the mask in a\.h5 is bool of shape \(7,\)"),
        ("position_ids", np.arange(24), "the list of positions in a.h5 has 24 entries for 12 positions"),
        ("frame_ids", np.arange(7), "the list of frames in a.h5 has 7 entries for 5 frames"),
        ("scan_index", np.arange(24), "the index of the scan in a.h5 has 24 entries for 12 positions"),
    ],
)
def test_what_does_not_fit_is_named(field, value, message):
    fields = {
        "positions_yx": np.zeros((12, 2)),
        "frames": FrameStack.of_array("a", np.ones((5, 8, 6))),
        field: value,
    }
    with pytest.raises(DataError, match=message):
        Parts(files=("/data/a.h5",), **fields)
