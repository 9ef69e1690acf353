"""Every guarded line is in the source once, its mistake is still Python, and one that no test catches is called so."""

import ast
import sys

import pytest
from markdown_pages import ROOT
from room_arrows import modules, room_of

from scripts import broken_lines
from scripts.broken_lines import TableError, broken_source, check_unbroken, copied, verdict
from scripts.guarded_lines import LINES, Guarded

# It holds the version and nothing that could be wrong.
_WITHOUT_LINE = {"_version"}


@pytest.mark.parametrize("guarded", LINES, ids=lambda guarded: f"{guarded.file}: {guarded.line}")
def test_a_guarded_line_is_found_once_and_its_mistake_can_run(guarded):
    source = (ROOT / guarded.file).read_text(encoding="utf-8")
    broken = broken_source(source, guarded)
    assert broken != source
    ast.parse(broken)
    assert guarded.tests
    assert all((ROOT / "tests" / name).is_file() for name in guarded.tests)


def test_the_guide_records_an_outcome_for_every_line():
    guide = (ROOT / "docs" / "TESTING_GUIDE.md").read_text(encoding="utf-8").splitlines()
    recorded = [line.rpartition(" | caught by `")[0] for line in guide if " | caught by `" in line]
    assert recorded == [broken_lines.row(guarded, "").removesuffix(" |  |") for guarded in LINES]


def test_every_room_has_a_guarded_line():
    named = {
        guarded.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for guarded in LINES
    }
    assert {room_of(module) for module in modules(ROOT)} - _WITHOUT_LINE == {
        room_of(module) for module in named if module.split(".")[0] == "ptycho"
    }
    assert "autobatch" in {module.split(".")[0] for module in named}


@pytest.fixture
def checkout(tmp_path):
    """Two lines, of which a test looks at one."""
    files = {
        "package/sums.py": "def plus(a, b):\n    return a + b\n\n\ndef minus(a, b):\n    return a - b\n",
        "package/__init__.py": "",
        "tests/test_sums.py": (
            "from package.sums import plus, minus\n\ndef test_minus():\n    assert minus(3, 0) == 3\n\n"
            "def test_plus():\n    assert plus(2, 1) == 3\n"
        ),
        "tests/test_other.py": "def test_fails():\n    assert False\n",
    }
    for name, text in files.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "checkout"


def mistake(line, broken, *tests):
    return Guarded("package/sums.py", line, broken, tests or ("test_sums.py",))


def test_the_test_that_catches_a_mistake_is_named(checkout):
    before = (checkout / "package/sums.py").read_text()
    assert verdict(checkout, mistake("return a + b", "return a - b")) == (
        "caught by `tests/test_sums.py::test_plus`"
    )
    assert (checkout / "package/sums.py").read_text() == before


def test_a_mistake_that_no_test_sees_is_not_caught(checkout):
    assert verdict(checkout, mistake("return a - b", "return a + b")).startswith("NOT CAUGHT (2 passed")


def test_tests_that_cannot_begin_have_caught_nothing(checkout):
    nowhere = mistake("def plus(a, b):", "def add(a, b):")
    assert verdict(checkout, nowhere).startswith("NOT CAUGHT")


def test_a_line_that_is_gone_or_there_twice_is_an_error(checkout, capsys, monkeypatch):
    source = (checkout / "package/sums.py").read_text()
    with pytest.raises(
        TableError, match=r"package/sums\.py holds the line 'return b' 0 times but must hold it"
    ):
        broken_source(source, mistake("return b", "pass"))
    with pytest.raises(TableError, match="'return a' 2 times"):
        broken_source("return a\n  return a\n", mistake("return a", "pass"))
    monkeypatch.setattr(broken_lines, "ROOT", checkout)
    monkeypatch.setattr(broken_lines, "LINES", [mistake("return b", "pass")])
    assert broken_lines.main([]) == 2
    assert capsys.readouterr().err.endswith("mend its entry in scripts/guarded_lines.py.\n")


def test_a_test_that_fails_anyway_is_refused(checkout):
    with pytest.raises(TableError, match=r"tests/test_other\.py fails before any line is broken"):
        check_unbroken(checkout, [mistake("return a - b", "return a + b", "test_sums.py", "test_other.py")])


def test_the_copy_is_what_child_processes_import(checkout):
    test = checkout / "tests" / "test_child.py"
    test.write_text(
        "import subprocess, sys\n\ndef test_child():\n"
        f"    words = [{sys.executable!r}, '-c', 'from package.sums import plus; print(plus(2, 1))']\n"
        "    assert subprocess.run(words, capture_output=True, cwd='/').stdout == b'3\\n'\n"
    )
    assert "test_child" in verdict(checkout, mistake("return a + b", "return a - b", "test_child.py"))


def test_machine_code_is_not_taken_along_where_loops_change(checkout, tmp_path):
    (checkout / "package" / "__pycache__").mkdir()
    (checkout / "package" / "__pycache__" / "sums.nbi").touch()
    found = {
        machine_code: (
            copied(checkout, tmp_path / str(machine_code), machine_code=machine_code)
            / "package/__pycache__/sums.nbi"
        ).exists()
        for machine_code in (True, False)
    }
    assert found == {True: True, False: False}
