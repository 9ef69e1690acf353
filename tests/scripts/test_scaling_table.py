"""docs/scaling.md shows what its script reckons."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("scaling_table", ROOT / "scripts" / "scaling_table.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_script(tool, capsys):
    assert tool.main([]) == 0
    page = (ROOT / "docs" / "scaling.md").read_text()
    for table in capsys.readouterr().out.strip().split("\n\n"):
        assert table in page


def test_a_run_is_reckoned_from_its_constants(tool):
    run = tool.Run(1_000_000, 10, tool.Constants(predict_ms=8, stitch_ms=1, judge_ms=1, add_us=2, sums_kb=5))
    assert run.shards_s == pytest.approx(1000)
    # At the root all n patches' sums are added and sent, on the level below half of them, and so on.
    assert run.tree_s == pytest.approx(2 * 2 + 2 * 5 / 1.25)
    assert run.limit == "shards"
    assert run.root_gb == pytest.approx(10)


def test_flags_change_constants(tool, capsys):
    tool.main(["--predict-ms", "1000"])
    assert "| 10⁶ | 1 | 12 days |" in capsys.readouterr().out
