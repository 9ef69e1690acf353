"""Tell where the suite's processor time goes, child processes included: ``PYTHONPATH=tests pytest -p processor_times``.

In one process, without ``-n``: what several workers do at the same time cannot be told apart.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

SHOWN = 10


class _Times:
    """Processor seconds by test, and those before the first."""

    def __init__(self) -> None:
        self.tests: Counter[str] = Counter()
        self.imports_s = 0.0
        self._last_s = _used_s()

    def spent_s(self) -> float:
        """Return what has been used since the last call."""
        before_s, self._last_s = self._last_s, _used_s()
        return self._last_s - before_s


def _used_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


TIMES = _Times()


def pytest_collection_finish() -> None:
    """Count the imports of test modules apart."""
    TIMES.imports_s = TIMES.spent_s()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count each phase of a test for it; of a fixture that several share, for the first."""
    TIMES.tests[report.nodeid] += TIMES.spent_s()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the sum, the slowest modules and the slowest tests."""
    modules: Counter[str] = Counter({"imports": TIMES.imports_s})
    for name, seconds in TIMES.tests.items():
        modules[name.partition("::")[0]] += seconds
    terminalreporter.section(f"{modules.total():.0f} processor seconds")
    for name, seconds in [*modules.most_common(2 * SHOWN), *TIMES.tests.most_common(SHOWN)]:
        terminalreporter.write_line(f"{seconds:7.1f}  {name}")
