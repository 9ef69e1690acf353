"""The lists of tests follow the suite, and the check fails when they do not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "scripts" / "registry.py"
FILES = {
    "pyproject.toml": """
[tool.pytest.ini_options]
addopts = "--import-mode=importlib --strict-markers -m 'not slow'"
markers = ["slow: minutes", "spec(clause): shows a clause"]
""",
    "docs/TESTING_GUIDE.md": "# Guide\n\n## 1. Before\n\nkept\n\n## 2. Registry\n\nold\n\n## 3. After\n\nkept too\n",
    "ptycho/canvas.py": "",
    "tests/ptycho/test_canvas.py": '''
"""A canvas, whatever | the batch.

More words.
"""
import pytest


@pytest.mark.parametrize("size", [1, 2, 3], ids=["one", "a\\\\b", "3"])
def test_adds(size):
    pass


@pytest.mark.slow
@pytest.mark.spec("CM-1")
def test_adds_many():
    pass
''',
    "tests/test_sweep.py": '"""A sweep."""\nimport pytest\n\n\n@pytest.mark.slow\ndef test_all():\n    pass\n',
    "tests/test_older.py": '"""Archived: replaced by tests/ptycho/test_canvas.py."""\n',
}


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """A small repository whose lists are up to date."""
    folder = tmp_path_factory.mktemp("listed")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    (folder / "plans" / "active" / "ID-1" / "reports").mkdir(parents=True)
    assert registry(folder).returncode == 0
    return folder


@pytest.fixture
def suite(listed, tmp_path):
    """The same for each test, which may change it."""
    shutil.copytree(listed, tmp_path, dirs_exist_ok=True)
    return tmp_path


def registry(folder, *arguments):
    command = [sys.executable, str(TOOL), "--root", str(folder), *arguments]
    # What one run of pytest is given besides says nothing of the suite.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-k nothing"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def lists_of(folder):
    return [
        (folder / "docs" / name).read_text()
        for name in ("development/TEST_SUITE_INDEX.md", "TESTING_GUIDE.md")
    ]


def test_the_lists_tell_what_pytest_collects_and_leave_other_sections_alone(suite):
    index, guide = lists_of(suite)
    assert (
        "| `test_canvas.py` | A canvas, whatever \\| the batch. | holds `ptycho/canvas.py` | 4 | 3 | slow 1, spec 1 "
        "| Active |\n"
    ) in index
    assert "| `test_older.py` | Archived: replaced by" in index
    assert "3 modules, 5 tests: 3 by default, 2 slow, 1 spec." in index
    assert re.findall(r"^- .*", guide, re.MULTILINE) == [
        "- `tests/ptycho/test_canvas.py` Active",
        "- `tests/test_older.py` Archived",
        "- `tests/test_sweep.py -m slow` Active",
    ]
    assert guide.startswith("# Guide\n\n## 1. Before\n\nkept\n\n## 2. ")
    assert guide.endswith("Active\n\n## 3. After\n\nkept too\n")


def test_the_logs_hold_what_pytest_says_of_each_documented_selector(suite):
    (folder,) = suite.glob("plans/active/*/reports/*/collect-only")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}Z", folder.parent.name)
    assert {path.name for path in folder.iterdir()} == {"ptycho.log", "repository.log"}
    (lines,) = (block.splitlines() for block in (folder / "ptycho.log").read_text().strip().split("\n\n$ "))
    assert lines[0] == "$ python -m pytest --collect-only -q tests/ptycho/test_canvas.py"
    assert "tests/ptycho/test_canvas.py::test_adds[3]" in lines
    assert lines[-1] == "exit code 0"
    older, sweep = (folder / "repository.log").read_text().split("\n\n$ ")
    assert older.startswith("$ python -m pytest --collect-only -q tests/test_older.py\n")
    assert older.endswith("exit code 5")
    assert sweep.startswith("python -m pytest --collect-only -q tests/test_sweep.py -m slow\n")
    assert "tests/test_sweep.py::test_all\n" in sweep


def test_logs_that_agree_with_the_suite_are_left_as_they_are(suite):
    before = {path: path.stat().st_mtime_ns for path in suite.glob("plans/**/*")}
    assert registry(suite).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in suite.glob("plans/**/*")} == before


def test_new_logs_take_the_place_of_the_newest_and_leave_everything_else(suite):
    (logs,) = suite.glob("plans/active/*/reports/*/collect-only")
    reports = logs.parents[1]
    older = suite / "plans" / "done" / "ID-0" / "reports" / "2025-01-02T030405Z"
    shutil.copytree(logs.parent, older)
    logs.parent.rename(reports / "2025-01-03T030405Z")
    (reports / "2025-01-03T030405Z" / "figures.txt").write_text("7\n")
    (suite / "tests" / "test_new.py").write_text('"""New."""\n\n\ndef test_new():\n    pass\n')
    assert registry(suite).returncode == 0
    (newest,) = reports.glob("*/collect-only")
    assert sorted(path.name for path in reports.iterdir()) == ["2025-01-03T030405Z", newest.parent.name]
    assert (reports / "2025-01-03T030405Z" / "figures.txt").read_text() == "7\n"
    assert (older / "collect-only" / "ptycho.log").is_file()


def test_a_check_fails_when_the_newest_logs_and_the_suite_disagree(suite):
    (logs,) = suite.glob("plans/active/*/reports/*/collect-only")
    kept = {log: log.read_text() for log in logs.iterdir()}
    (suite / "tests" / "test_new.py").write_text('"""New."""\n\n\ndef test_new():\n    pass\n')
    (suite / "tests" / "test_sweep.py").unlink()
    with (suite / "tests" / "ptycho" / "test_canvas.py").open("a") as file:
        file.write("\n\ndef test_adds_more():\n    pass\n")
    assert registry(suite).returncode == 0
    (new,) = suite.glob("plans/active/*/reports/*/collect-only")
    for log, text in kept.items():
        (new / log.name).write_text(text)
    run = registry(suite, "--check")
    assert run.returncode == 1
    assert [line.partition("collect-only ")[2] for line in run.stderr.splitlines()] == [
        "has no log of the Active selector `tests/test_new.py`; run `make registry`.",
        "has a log of `tests/test_sweep.py -m slow`, which is no selector any more; run `make registry`.",
        "has a log of `tests/ptycho/test_canvas.py` with other tests than pytest collects; run `make registry`.",
    ]
    # The lists still name a folder that is gone, and are made anew all the same.
    shutil.rmtree(suite / "tests" / "ptycho")
    assert registry(suite).returncode == 0
    assert registry(suite, "--check").returncode == 0


def test_a_check_fails_when_there_are_no_logs(suite):
    shutil.rmtree(suite / "plans")
    run = registry(suite, "--check")
    assert run.returncode == 1
    assert (
        "plans/*/*/reports has no log of the Active selector `tests/ptycho/test_canvas.py`; run" in run.stderr
    )
    # Nobody runs what is kept for the record.
    assert "test_older" not in run.stderr


def test_first_logs_go_to_the_only_plan_with_reports(suite):
    shutil.rmtree(suite / "plans")
    for name in ("ID-1", "ID-2"):
        (suite / "plans" / "active" / name / "reports").mkdir(parents=True)
    run = registry(suite)
    assert run.returncode == 1
    assert "plans has 2 folders */*/reports and no logs yet" in run.stderr
    (suite / "plans" / "active" / "ID-2" / "reports" / "2025-01-01T000000Z" / "collect-only").mkdir(
        parents=True
    )
    assert registry(suite).returncode == 0
    assert len(list(suite.glob("plans/active/ID-2/reports/*/collect-only/*.log"))) == 2


def test_a_check_passes_and_writes_nothing_while_all_agree(suite):
    before = {path: path.stat().st_mtime_ns for path in suite.rglob("*.md")}
    run = registry(suite, "--check")
    assert (run.returncode, run.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in suite.rglob("*.md")} == before
    assert len(list(suite.glob("plans/active/*/reports/*"))) == 1


def test_a_check_fails_when_a_file_is_added(suite):
    (suite / "tests" / "test_new.py").write_text('"""New."""\n\n\ndef test_new():\n    pass\n')
    run = registry(suite, "--check")
    assert run.returncode == 1
    assert "run `make registry`" in run.stderr
    assert "+- `tests/test_new.py` Active" in run.stderr


def test_a_check_fails_when_a_test_is_added_or_a_file_removed(suite):
    with (suite / "tests" / "test_sweep.py").open("a") as file:
        file.write("\n\ndef test_one():\n    pass\n")
    (suite / "tests" / "test_older.py").unlink()
    run = registry(suite, "--check")
    assert run.returncode == 1
    assert "-- `tests/test_sweep.py -m slow` Active\n  +- `tests/test_sweep.py` Active" in run.stderr
    assert "-- `tests/test_older.py` Archived" in run.stderr


def test_an_active_selector_that_collects_nothing_fails_and_cannot_be_registered(suite):
    before = lists_of(suite)
    (suite / "tests" / "test_sweep.py").write_text('"""A sweep."""\n')
    for arguments in (["--check"], []):
        run = registry(suite, *arguments)
        assert run.returncode == 1
        assert "tests/test_sweep.py is Active but holds no test; add one, delete the file, or" in run.stderr
    assert lists_of(suite) == before


def test_a_module_without_a_docstring_is_named(suite):
    (suite / "tests" / "test_mute.py").write_text("def test_one():\n    pass\n")
    assert "tests/test_mute.py has no docstring; say in one line" in registry(suite).stderr


@pytest.mark.parametrize("page", ["README.md", "docs/findings.md", "plans/active/ID-1/test_strategy.md"])
def test_a_page_may_name_only_what_exists(suite, page):
    (suite / "tests" / "twins.py").write_text("")
    held = (
        "Held by `tests/test_sweep.py::test_all`, `tests/ptycho/test_canvas.py::test_adds[2]`, tests/twins.py.\n"
        "All of tests/ptycho/ and `tests/ptycho/test_canvas.py -k adds`.\n\n"
        '    ```text\n    $ pytest tests/ptycho/test_canvas.py -k "adds or none"\n'
        "    tests/test_gone.py::test_x\n    ```\n"
    )
    (suite / page).write_text(held)
    run = registry(suite, "--check")
    assert (run.returncode, run.stderr) == (0, "")
    (suite / page).write_text(
        "`tests/test_sweep.py::test_some` and `tests/test_gone.py`, tests/ptycho/gone/, tests/test_gone.py::test_x,\n"
        "| `tests/ptycho/test_canvas.py -k adds_two`: all |\n"
        '```text\n$ pytest tests/ptycho/test_canvas.py -k "two or three"\n```\n'
    )
    run = registry(suite, "--check")
    assert run.returncode == 1
    assert re.findall(rf"{page} names (.*);", run.stderr) == [
        "tests/test_sweep.py::test_some, which pytest does not collect",
        "tests/test_gone.py, which does not exist",
        "tests/ptycho/gone, which does not exist",
        "tests/test_gone.py, which does not exist",
        "`tests/ptycho/test_canvas.py -k adds_two`, which collects no test",
        '`tests/ptycho/test_canvas.py -k "two or three"`, which collects no test',
    ]


def test_a_module_that_cannot_be_imported_is_told_in_pytests_words(suite):
    (suite / "tests" / "test_broken.py").write_text('"""Broken."""\nimport no_such_package\n')
    run = registry(suite, "--check")
    assert run.returncode == 1
    assert "No module named 'no_such_package'" in run.stderr
    assert "Traceback" not in run.stderr.partition("ERROR collecting")[0]


def test_a_guide_without_the_section_is_refused(suite):
    (suite / "docs" / "TESTING_GUIDE.md").write_text("# Guide\n")
    run = registry(suite)
    assert run.returncode == 1
    assert "has no heading that begins with '## 2. '" in run.stderr
