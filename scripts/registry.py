"""Keep the lists of tests in step with the suite.

``python scripts/registry.py`` collects the suite and writes the test suite index, section 2 of the testing guide and,
where the record of what ``pytest --collect-only`` says of every documented selector is out of date, a new one.
``--check`` writes nothing and fails if the lists, the record and the suite disagree, or if a page names tests that
are not there. A module whose docstring begins with "Archived" is kept for the record; every other one is Active and
must hold tests.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from collected_suite import RegistryError, SuiteModule, collect, read_suite
from collection_logs import log_faults, newest_logs, write_logs

INDEX = Path("docs/development/TEST_SUITE_INDEX.md")
GUIDE = Path("docs/TESTING_GUIDE.md")
HEADING = "## 2. "
# Where a test may be named as the one that guards something.
PAGES = ("*.md", "docs/**/*.md", "specs/**/*.md", "plans/**/*.md", ".github/**/*.md")
_SHOWN_DIFFERENCES = 20
# A path, a test in it, and what -k asks for.
_MENTION = re.compile(r"(?<![\w./-])(tests/[\w./-]*\w)(?:::(\w+(?:::\w+)*))?(?: -k (\w+|\"[^\"\n]+\"))?")
# What was printed once may name what is gone; the commands above it may not.
_OUTPUT = re.compile(r"^ *```text\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


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
    markers = sum((module.markers for module in modules), Counter())
    n_tests = sum(len(module.tests) for module in modules)
    n_default = sum(module.n_default for module in modules)
    marked = "".join(f", {count:,} {name}" for name, count in sorted(markers.items()))
    return f"{len(modules)} modules, {n_tests:,} tests: {n_default:,} by default{marked}."


def _table(folder: str, modules: Sequence[SuiteModule]) -> list[str]:
    rows = [
        "| module | what it shows | purpose | tests | default | markers | state |",
        "|---|---|---|---:|---:|---|---|",
    ]
    for module in modules:
        if Path(module.path).parent.as_posix() == folder:
            markers = ", ".join(f"{name} {count}" for name, count in sorted(module.markers.items()))
            cells = (
                f"`{Path(module.path).name}`",
                module.docstring.replace("|", "\\|"),
                module.purpose,
                f"{len(module.tests)}",
                f"{module.n_default}",
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
        if module.state == "Active" and not module.tests
    ]
    found += [
        f"{module.path} has no docstring; say in one line what its tests show."
        for module in modules
        if not module.docstring
    ]
    return found + [fault for page in _pages() for fault in _stale_mentions(page, modules)]


def _pages() -> list[Path]:
    """Return the pages that people write; what is made here is made anew when a test goes."""
    return sorted({page for pattern in PAGES for page in Path().glob(pattern)} - {INDEX})


def _stale_mentions(page: Path, modules: Sequence[SuiteModule]) -> list[str]:
    """Return a sentence for each path, test and selector that a page names and that is not there."""
    names = {module.path: module.names for module in modules}
    text = page.read_text(encoding="utf-8")
    text = _OUTPUT.sub(lambda block: _commands(block[1]), with_section(text, "") if page == GUIDE else text)
    found = []
    for path, name, expression in dict.fromkeys(_MENTION.findall(text)):
        if not Path(path).exists():
            found.append(f"{page} names {path}, which does not exist; name what took its place.")
        elif name and name not in names.get(path, ()):
            found.append(
                f"{page} names {path}::{name}, which pytest does not collect; name the test that took its place."
            )
        elif expression and collect([path, "-k", expression.strip('"')])[0] != pytest.ExitCode.OK:
            found.append(
                f"{page} names `{path} -k {expression}`, which collects no test; "
                "name the selector that took its place."
            )
    return found


def _commands(output: str) -> str:
    return "".join(line for line in output.splitlines(keepends=True) if line.lstrip().startswith("$ "))


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
    return reasons + [f"{fault}; run `make registry`." for fault in log_faults(modules)]


def write_documents(modules: Sequence[SuiteModule]) -> None:
    """Write the two lists."""
    for path, text in documents(modules).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="registry.py", description="Lists of tests, from the suite itself.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything is out of date")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parents[1], help="folder that holds tests/ and docs/"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Check or write the lists and the record; returns 1 if the suite and the lists are not in step."""
    options = _options(argv)
    os.chdir(options.root)
    # As `python -m pytest` does: without it tests/ptycho would pass for the package of that name.
    sys.path.insert(0, os.getcwd())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # It is for one run of pytest and no part of the suite.
    os.environ.pop("PYTEST_ADDOPTS", None)
    try:
        modules = read_suite()
        reasons = check(modules) if options.check else faults(modules)
        if not reasons and not options.check:
            write_documents(modules)
            logs = write_logs(modules) if log_faults(modules) else newest_logs()
            print(f"{INDEX}, {GUIDE} and {logs} are up to date")
    except RegistryError as error:
        reasons = [str(error)]
    for reason in reasons:
        print(f"registry.py: {reason}", file=sys.stderr)
    if options.check and not reasons:
        print(_totals(modules))
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
