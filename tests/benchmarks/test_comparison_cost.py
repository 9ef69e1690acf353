"""What a whole comparison costs beside its networks; `python -m benchmarks.comparison_report` makes the table."""

import pytest
from benchmarks.comparing import measure

pytestmark = pytest.mark.benchmark

ABOVE_FRAMES_BYTES = 1_600_000_000
STITCHING_SHARE = 0.03
VERDICT_SHARE = 0.15
TIMES_BARE = 1.15


def test_a_comparison_costs_little_more_than_its_networks(tmp_path, benchmark):
    results = []
    benchmark.pedantic(lambda: results.append(measure(tmp_path)), rounds=1)
    (result,) = results
    benchmark.extra_info["comparison"] = result
    assert result["peak_bytes"] <= result["frames_bytes"] + ABOVE_FRAMES_BYTES
    assert result["stitch_s"] <= STITCHING_SHARE * result["work_s"]
    assert result["verdict_s"] <= VERDICT_SHARE * result["work_s"]
    assert result["work_s"] <= TIMES_BARE * sum(result["bare_s"])
