"""The specification of compare-models is complete, and the tool that says so can fail."""

import importlib.util
import re
from pathlib import Path

import pytest

from ptycho.cli._compare_flags import build_parser

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    found = importlib.util.spec_from_file_location("spec_table", ROOT / "scripts" / "spec_table.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def page(tool):
    text = f"**CM-1.1** It runs.\n\n**CM-1.2** It stops.\n\n{tool.BEGIN}\n{tool.END}\nThe end.\n"
    return tool.with_table(text, MARKED)


MARKED = [("CM-1.1", "tests/test_a.py::test_run"), ("CM-1.2", "tests/test_a.py::test_stop")]


def test_every_clause_has_a_test_and_the_table_is_current(tool, capsys):
    assert tool.main(["--check"]) == 0, capsys.readouterr().err
    assert len(tool.clauses(tool.PAGE.read_text(encoding="utf-8"))) > 70


def test_every_flag_is_in_the_specification(tool):
    flags = {option for action in build_parser()._actions for option in action.option_strings}
    page = tool.PAGE.read_text(encoding="utf-8").replace("--[no-]", "--")
    named = set(re.findall(r"--[\w-]+", page))
    assert {flag for flag in flags if flag.startswith("--") and not flag.startswith("--no-")} - named == set()


def test_a_right_page_has_no_problem(tool, page):
    assert tool.problems(page, MARKED) == []
    assert "| CM-1.2 | `tests/test_a.py::test_stop` |" in page
    assert page.endswith("The end.\n")


def test_a_clause_without_a_test_is_named(tool, page):
    assert (
        tool.problems(page, MARKED[:1])[0] == "CM-1.2 has no test; mark one with @pytest.mark.spec('CM-1.2')."
    )


def test_a_marker_of_no_clause_is_named(tool, page):
    stray = ("CM-9.9", "tests/test_b.py::test_x")
    assert tool.problems(page, [*MARKED, stray]) == [
        "tests/test_b.py::test_x is marked with CM-9.9, which is no clause; correct the number."
    ]


def test_a_number_given_twice_is_named(tool, page):
    twice = page.replace("CM-1.2** It", "CM-1.1** It")
    assert tool.problems(twice, MARKED)[0].startswith("CM-1.1 stands for more than one clause")


def test_a_table_that_is_out_of_date_is_said(tool, page):
    other = [("CM-1.1", "tests/test_a.py::test_renamed"), MARKED[1]]
    assert tool.problems(page, other) == [
        "the table of clauses and tests is out of date; run python scripts/spec_table.py."
    ]


def test_markers_are_found_above_other_decorators_and_several_at_once(tool, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        '@pytest.mark.spec("CM-1.1", "CM-1.2")\n@pytest.mark.spec("CM-1.3")\n@slow\ndef test_a():\n    pass\n\n\n'
        '@pytest.mark.spec("CM-1.4")\ndef helper():\n    pass\n'
    )
    found = tool.marked_tests(tmp_path / "tests")
    assert found == [(f"CM-1.{number}", "tests/test_a.py::test_a") for number in (1, 2, 3)]
