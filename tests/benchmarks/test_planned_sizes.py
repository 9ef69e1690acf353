"""Planned sizes are neither too large nor timid; the table of docs/benchmarks.md comes from here."""

import os
import subprocess
import sys

import pytest
from benchmarks import report
from capped import ROOT


@pytest.mark.slow
def test_every_plan_meets_no_error_and_is_within_a_factor_of_what_fits():
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.planned_sizes"],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(finished.stdout)  # noqa: T201
    assert finished.returncode == 0, finished.stderr[-3000:]


def test_a_part_of_the_page_is_replaced_and_the_others_stay(tmp_path, monkeypatch):
    page = tmp_path / "benchmarks.md"
    monkeypatch.setattr(report, "PAGE", page)
    page.write_text("# Benchmarks\n\n<!-- a: begin -->\nold\n<!-- a: end -->\n\nBy hand.\n")
    for text, part in (("first", "b"), ("new", "a"), ("second", "b")):
        report.replace_part(text, f"<!-- {part}: begin -->", f"<!-- {part}: end -->")
    assert page.read_text() == (
        "# Benchmarks\n\n<!-- a: begin -->\n\nnew\n\n<!-- a: end -->\n\nBy hand.\n\n"
        "<!-- b: begin -->\n\nsecond\n\n<!-- b: end -->\n"
    )
