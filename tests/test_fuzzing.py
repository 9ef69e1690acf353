"""A few inputs of `make fuzz`, those that once went wrong among them: a refusal that names the file, or a result."""

import sys

import pytest
from fuzzing.__main__ import faults
from fuzzing.watched import Watch, one

SEED = 12
# Positions that are times, without an axis, or of other frames; a place of the object with millions of entries, and one
# in a file that no file has; weights without a shape.
FOUND = {"scan": [490], "HDF5": [118, 290, 677, 768], "bundle": [132, 368], "PtyRAD": [930]}
INPUTS = {
    "scan": 12,
    "tike": 12,
    "reconstruction": 12,
    "canvas": 12,
    "memo": 12,
    "bundle": 4,
    "NPZ": 8,
    "HDF5": 8,
    "MAT": 12,
    "TIFF": 8,
    "PtyRAD": 4,
}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted by /proc")
@pytest.mark.parametrize("family", INPUTS)
def test_a_damaged_input_is_refused_by_name_or_read(family):
    watch = Watch()
    for number in [*range(INPUTS[family]), *FOUND.get(family, [])]:
        result = one(family, SEED, number, watch)
        # A busy machine takes its time; that is for the command to judge.
        assert [fault for fault in faults(result) if fault != "slow"] == [], result
