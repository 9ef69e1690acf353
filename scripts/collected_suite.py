"""The suite as pytest collects it, for `registry.py`: modules, tests, and what a selector selects."""

from __future__ import annotations

import ast
import io
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

PATTERN = "test_*.py"
# What pytest and its plugins put on a test says nothing of when it runs.
_PLAIN_MARKERS = {"parametrize", "filterwarnings", "skipif", "skip", "xfail", "usefixtures", "hypothesis"}


class RegistryError(Exception):
    """The suite cannot be collected, or a list cannot be written."""


@dataclass(frozen=True, kw_only=True)
class CollectedTest:
    """One case of a test: what pytest calls it, its markers, and whether it runs without a ``-m``."""

    node_id: str
    markers: frozenset[str]
    by_default: bool

    @property
    def name(self) -> str:
        """The name within its module, without the parameters of the case."""
        return self.node_id.partition("::")[2].partition("[")[0]


@dataclass(frozen=True, kw_only=True)
class SuiteModule:
    """One line of the lists."""

    path: str
    docstring: str
    purpose: str
    tests: tuple[CollectedTest, ...]
    deselected: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Active, or Archived if the docstring says so."""
        return "Archived" if self.docstring.startswith("Archived") else "Active"

    @property
    def n_default(self) -> int:
        """How many tests run without a ``-m``."""
        return sum(test.by_default for test in self.tests)

    @property
    def markers(self) -> Counter[str]:
        """How many tests bear which marker."""
        return Counter(marker for test in self.tests for marker in test.markers)

    @property
    def names(self) -> set[str]:
        """The tests, each once however many cases it has."""
        return {test.name for test in self.tests}

    @property
    def _asked_for(self) -> str | None:
        wanted = [name for name in self.deselected if name in self.markers]
        return None if self.n_default or not wanted else wanted[0]

    @property
    def selector(self) -> str:
        """What to give to pytest so that the tests run: the path, with ``-m`` where nothing runs by default."""
        return f"{self.path} -m {self._asked_for}" if self._asked_for else self.path

    @property
    def selected(self) -> set[str]:
        """What pytest calls the tests that the selector selects."""
        marker = self._asked_for
        return {
            test.node_id for test in self.tests if (marker in test.markers if marker else test.by_default)
        }


class _Collector:
    """A pytest plugin that notes every test, those that are deselected too."""

    def __init__(self) -> None:
        self.tests: dict[str, list[CollectedTest]] = {}
        self.deselected: tuple[str, ...] = ()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            self._note(item, by_default=False)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.deselected = tuple(re.findall(r"not (\w+)", session.config.getoption("markexpr") or ""))
        for item in session.items:
            self._note(item, by_default=True)

    def _note(self, item: pytest.Item, *, by_default: bool) -> None:
        markers = frozenset(marker.name for marker in item.iter_markers()) - _PLAIN_MARKERS
        test = CollectedTest(node_id=item.nodeid, markers=markers, by_default=by_default)
        self.tests.setdefault(item.nodeid.partition("::")[0], []).append(test)


def collect(arguments: Sequence[str], *plugins: object) -> tuple[int, str]:
    """Let pytest collect in this process, where heavy packages are imported once; return its code and output."""
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        # -s: what pytest would capture with is where the output shall go.
        code = pytest.main(["--collect-only", "-q", "-s", *arguments], plugins=list(plugins))
    return int(code), output.getvalue()


def read_suite() -> list[SuiteModule]:
    """Collect the suite of the current folder: every test module below ``tests/``, sorted.

    Raises
    ------
    RegistryError
        If a module cannot be imported or collected; with pytest's own words.
    """
    collector, files = _Collector(), sorted(path.as_posix() for path in Path("tests").rglob(PATTERN))
    code, output = collect(files, collector)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RegistryError(f"pytest could not collect the suite; mend what it names:\n{output}")
    return [
        SuiteModule(
            path=path,
            docstring=_first_line(path),
            purpose=purpose(path),
            tests=tuple(collector.tests.get(path, ())),
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
