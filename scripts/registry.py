"""Keep the lists of tests in step with the suite.

``python scripts/registry.py`` collects the suite once and writes the test suite index and section 2 of the testing
guide. ``--logs`` also puts what ``pytest --collect-only`` says of every documented selector into a new report folder,
in place of the older record. ``--check`` writes nothing and fails if the lists, the record and the suite disagree.
A module whose docstring begins with "Archived" is kept for the record; every other one is Active and must hold tests.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import io
import os
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pytest

INDEX = Path("docs/development/TEST_SUITE_INDEX.md")
GUIDE = Path("docs/TESTING_GUIDE.md")
REPORTS = Path("plans/active/FIX-OBJECT-REASSEMBLY-BATCH-001/reports")
HEADING = "## 2. "
# Where a test may be named as the one that guards something.
PAGES = ("docs", "specs", "plans")
PATTERN = "test_*.py"
_COMMAND = "$ python -m pytest --collect-only -q "
# What pytest and its plugins put on a test says nothing of when it runs.
_PLAIN_MARKERS = {"parametrize", "filterwarnings", "skipif", "skip", "xfail", "usefixtures", "hypothesis"}
_SHOWN_DIFFERENCES = 20


class RegistryError(Exception):
    """The suite cannot be collected, or a list cannot be written."""


@dataclass
class Collected:
    """What pytest collected from one module: tests in all, tests that run by default, and markers."""

    n_tests: int = 0
    n_default: int = 0
    markers: Counter[str] = field(default_factory=Counter)
    names: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class SuiteModule:
    """One line of the lists."""

    path: str
    docstring: str
    purpose: str
    collected: Collected
    deselected: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Active, or Archived if the docstring says so."""
        return "Archived" if self.docstring.startswith("Archived") else "Active"

    @property
    def selector(self) -> str:
        """What to give to pytest so that the tests run: the path, with ``-m`` where nothing runs by default."""
        wanted = [name for name in self.deselected if name in self.collected.markers]
        if self.collected.n_default or not wanted:
            return self.path
        return f"{self.path} -m {wanted[0]}"


class _Collector:
    """A pytest plugin that notes every test, those that are deselected too."""

    def __init__(self) -> None:
        self.modules: dict[str, Collected] = {}
        self.deselected: tuple[str, ...] = ()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            self._note(item)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.deselected = tuple(re.findall(r"not (\w+)", session.config.getoption("markexpr") or ""))
        for item in session.items:
            self._note(item).n_default += 1

    def _note(self, item: pytest.Item) -> Collected:
        path, _, name = item.nodeid.partition("::")
        module = self.modules.setdefault(path, Collected())
        module.n_tests += 1
        module.names.add(name.partition("[")[0])
        module.markers.update({marker.name for marker in item.iter_markers()} - _PLAIN_MARKERS)
        return module


def _pytest(arguments: Sequence[str], *plugins: object) -> tuple[int, str]:
    """Run pytest in this process, where heavy packages are imported once, and return its code and output."""
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        # -s: what pytest would capture with is where the output shall go.
        code = pytest.main(["--collect-only", "-q", "-s", *arguments], plugins=list(plugins))
    return int(code), output.getvalue()


def suite_files() -> list[str]:
    """Return the path of every test module below the current folder, sorted."""
    return sorted(path.as_posix() for path in Path("tests").rglob(PATTERN))


def read_suite() -> list[SuiteModule]:
    """Collect the suite of the current folder.

    Raises
    ------
    RegistryError
        If a module cannot be imported or collected; with pytest's own words.
    """
    collector, files = _Collector(), suite_files()
    code, output = _pytest(files, collector)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RegistryError(f"pytest could not collect the suite; mend what it names:\n{output}")
    return [
        SuiteModule(
            path=path,
            docstring=_first_line(path),
            purpose=purpose(path),
            collected=collector.modules.get(path, Collected()),
            deselected=collector.deselected,
        )
        for path in files
    ]


def _first_line(path: str) -> str:
    docstring = ast.get_docstring(ast.parse(Path(path).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def purpose(path: str) -> str:
    """Say what a test module is for: the source file that it mirrors, or else the folder of it."""
    test = Path(path)
    folder = Path(*test.parts[1:-1])
    if folder.name == "benchmarks":
        return "times this project beside its peers"
    name = test.stem.removeprefix("test_")
    # Where two folders have a module of one name, the test of the second carries its folder's name too.
    for stem in (name, f"_{name}", f"_{name.removeprefix(f'{folder.name}_')}"):
        for source in (folder / f"{stem}.py", folder / stem):
            if folder.parts and source.exists():
                return f"holds `{source.as_posix()}{'/' if source.is_dir() else ''}`"
    return f"holds `{folder.as_posix()}/` as a whole" if folder.parts else "holds the repository as a whole"


def index_text(modules: Sequence[SuiteModule]) -> str:
    """Return the whole of the test suite index."""
    lines = [
        "# Test suite index",
        "",
        "Made by `make registry` from what pytest collects; `make test` fails if it is out of date.",
        "How to run what is listed here: [testing guide](../TESTING_GUIDE.md).",
        "",
        "*Tests* counts every case of a parametrised test, *default* those that `pytest` runs without a `-m`.",
        "",
        _totals(modules),
    ]
    folders = dict.fromkeys(Path(module.path).parent.as_posix() for module in modules)
    for folder in folders:
        lines += ["", f"## `{folder}/`", "", *_table(folder, modules)]
    return "\n".join(lines) + "\n"


def _totals(modules: Sequence[SuiteModule]) -> str:
    markers = sum((module.collected.markers for module in modules), Counter())
    n_tests = sum(module.collected.n_tests for module in modules)
    n_default = sum(module.collected.n_default for module in modules)
    marked = "".join(f", {count:,} {name}" for name, count in sorted(markers.items()))
    return f"{len(modules)} modules, {n_tests:,} tests: {n_default:,} by default{marked}."


def _table(folder: str, modules: Sequence[SuiteModule]) -> list[str]:
    rows = [
        "| module | what it shows | purpose | tests | default | markers | state |",
        "|---|---|---|---:|---:|---|---|",
    ]
    for module in modules:
        if Path(module.path).parent.as_posix() == folder:
            found = module.collected
            markers = ", ".join(f"{name} {count}" for name, count in sorted(found.markers.items()))
            cells = (
                f"`{Path(module.path).name}`",
                module.docstring.replace("|", "\\|"),
                module.purpose,
                f"{found.n_tests}",
                f"{found.n_default}",
                markers,
                module.state,
            )
            rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return rows


def section_text(modules: Sequence[SuiteModule]) -> str:
    """Return section 2 of the testing guide, heading included."""
    lines = [
        f"{HEADING}Registry of selectors",
        "",
        "Made by `make registry`; give a selector to `.venv/bin/python -m pytest`. An *Active* one collects at least",
        "one test, an *Archived* one is kept for the record. What each shows:",
        "[test suite index](development/TEST_SUITE_INDEX.md).",
        "",
        *(f"- `{module.selector}` {module.state}" for module in modules),
    ]
    return "\n".join(lines) + "\n"


def with_section(guide: str, section: str) -> str:
    """Return the text of the guide with its section 2 replaced.

    Raises
    ------
    RegistryError
        If the guide has no such section.
    """
    pattern = re.compile(rf"^{re.escape(HEADING)}.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    found = pattern.search(guide)
    if found is None:
        raise RegistryError(
            f"{GUIDE} has no heading that begins with {HEADING!r}; put it where the list shall go."
        )
    rest = guide[found.end() :]
    return guide[: found.start()] + section + (f"\n{rest}" if rest else "")


def faults(modules: Sequence[SuiteModule]) -> list[str]:
    """Return what making the lists anew would not mend."""
    found = [
        f"{module.path} is Active but holds no test; add one, delete the file, or begin its docstring with 'Archived'."
        for module in modules
        if module.state == "Active" and not module.collected.n_tests
    ]
    found += [
        f"{module.path} has no docstring; say in one line what its tests show."
        for module in modules
        if not module.docstring
    ]
    return found + _stale_mentions(modules) + _empty_selectors(modules)


def _stale_mentions(modules: Sequence[SuiteModule]) -> list[str]:
    """Return a sentence for each test that a page names and the suite does not hold."""
    names = {module.path: module.collected.names for module in modules}
    pages = [page for folder in PAGES for page in sorted(Path(folder).rglob("*.md"))]
    return [
        f"{page} names {path}::{name}, which pytest does not collect; name the test that took its place."
        for page in pages
        for path, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", page.read_text(encoding="utf-8"))
        if name not in names.get(path, ())
    ]


def _empty_selectors(modules: Sequence[SuiteModule]) -> list[str]:
    """Return a sentence for each selector in the tables of the guide that collects nothing."""
    names = {module.path: module.collected.names for module in modules}
    guide = GUIDE.read_text(encoding="utf-8") if GUIDE.exists() else ""
    return [
        f"{GUIDE} names `{path}{option}`, which collects no test; name the selector that took its place."
        for path, option, word in re.findall(r"\| `(tests/[\w/]+\.py)( -k (\w+))?`", guide)
        if not any(word in name for name in names.get(path, ()))
    ]


def documents(modules: Sequence[SuiteModule]) -> dict[Path, str]:
    """Return what the two lists should say."""
    guide = GUIDE.read_text(encoding="utf-8") if GUIDE.exists() else ""
    return {INDEX: index_text(modules), GUIDE: with_section(guide, section_text(modules))}


def differences(wanted: dict[Path, str]) -> list[str]:
    """Return how the lists differ from what they should say, as lines of a diff."""
    lines = []
    for path, text in wanted.items():
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        diff = difflib.unified_diff(
            current.splitlines(), text.splitlines(), path.as_posix(), "what pytest collects", "", "", 0, ""
        )
        lines += list(diff)
    return lines


def check(modules: Sequence[SuiteModule]) -> list[str]:
    """Return every reason why the lists and the suite are not in step."""
    changed = differences(documents(modules))
    reasons = faults(modules)
    if changed:
        shown = "\n".join(f"  {line}" for line in changed[:_SHOWN_DIFFERENCES])
        more = len(changed) - _SHOWN_DIFFERENCES
        rest = f"\n  … and {more} more lines" if more > 0 else ""
        reasons.append(f"the lists of tests are out of date; run `make registry`.\n{shown}{rest}")
    return reasons + _log_faults(modules)


def log_folders() -> list[Path]:
    """Return the folders that hold logs, oldest first."""
    return sorted(REPORTS.glob("*/collect-only"))


def _log_faults(modules: Sequence[SuiteModule]) -> list[str]:
    """Return a sentence for each selector whose log is missing, and for each log whose selector is gone."""
    folder = next(reversed(log_folders()), REPORTS)
    logged = {
        line.removeprefix(_COMMAND)
        for log in folder.glob("*.log")
        for line in log.read_text(encoding="utf-8").splitlines()
        if line.startswith(_COMMAND)
    }
    missing = {module.selector for module in modules if module.state == "Active"} - logged
    gone = logged - {module.selector for module in modules}
    remedy = "run `make registry-logs`."
    return [f"{folder} has no log of the Active selector `{name}`; {remedy}" for name in sorted(missing)] + [
        f"{folder} has a log of `{name}`, which is no selector any more; {remedy}" for name in sorted(gone)
    ]


def log_texts(modules: Sequence[SuiteModule]) -> dict[str, str]:
    """Return pytest's own list of every documented selector, one text for each folder of tests."""
    texts: dict[str, str] = {}
    for module in modules:
        code, output = _pytest(shlex.split(module.selector))
        folder = Path(module.path).parts[1:-1][:1] or ("repository",)
        log = f"{_COMMAND}{module.selector}\n{output}exit code {code}\n\n"
        texts[folder[0]] = texts.get(folder[0], "") + log
    return texts


def write_logs(modules: Sequence[SuiteModule]) -> Path:
    """Put the logs into a new report folder in place of the older ones, and return it."""
    texts = log_texts(modules)
    # Before the new folder is made, which within one second has the name of the last.
    for record in log_folders():
        shutil.rmtree(record)
        if not any(record.parent.iterdir()):
            record.parent.rmdir()
    folder = REPORTS / datetime.now(timezone.utc).strftime("%Y-%m-%dT%H%M%SZ") / "collect-only"
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"{name}.log").write_text(text, encoding="utf-8")
    return folder


def write_documents(modules: Sequence[SuiteModule]) -> None:
    """Write the two lists."""
    for path, text in documents(modules).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="registry.py", description="Lists of tests, from the suite itself.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="write nothing; fail if anything is out of date")
    action.add_argument("--logs", action="store_true", help="also write pytest's own list of every selector")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parents[1], help="folder that holds tests/ and docs/"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Check or write the lists; returns 1 if the suite and the lists are not in step."""
    options = _options(argv)
    os.chdir(options.root)
    # As `python -m pytest` does: without it tests/ptycho would pass for the package of that name.
    sys.path.insert(0, os.getcwd())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        modules = read_suite()
        reasons = check(modules) if options.check else faults(modules)
        if not reasons and not options.check:
            write_documents(modules)
            logs = f"; logs in {write_logs(modules)}" if options.logs else ""
            print(f"{INDEX} and {GUIDE} are up to date{logs}")
    except RegistryError as error:
        reasons = [str(error)]
    for reason in reasons:
        print(f"registry.py: {reason}", file=sys.stderr)
    if options.check and not reasons:
        print(_totals(modules))
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
