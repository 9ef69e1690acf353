"""Break guarded lines one at a time, in a copy, and print which test fails: what no test catches is guarded by none.

    .venv/bin/python scripts/broken_lines.py [--list] [WORD …]

The lines, the mistake in each and the test files that must catch it stand in scripts/guarded_lines.py; words choose
those whose file holds one of them. The tests run in an unbroken copy first: one that fails there catches nothing. Exit
code 1 if a mistake is not caught.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

# A script beside this one, which is in no package.
sys.path.insert(0, str(Path(__file__).parent))
from guarded_lines import LINES, Guarded

ROOT = Path(__file__).parents[1]
_LONGEST_S = 1800
# What no test reads.
_LEFT_OUT = (".*", "*.egg-info", "build", "dist", "plans", "demo-output")
# Machine code of loops, which holds that of loops from other files: it would be used although one of these has changed.
_MACHINE_CODE = ("*.nbi", "*.nbc")
_HAS_LOOPS = "import compiled"
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - |$)", re.MULTILINE)


class TableError(Exception):
    """The table of guarded lines is not true of the source."""


def broken_source(source: str, guarded: Guarded) -> str:
    """Return the text of a file with the mistake in it.

    Raises
    ------
    TableError
        The line is not there, or more than once.
    """
    lines = source.splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip() == guarded.line]
    if len(found) != 1:
        raise TableError(
            f"{guarded.file} holds the line {guarded.line!r} {len(found)} times but must hold it once; "
            "mend its entry in scripts/guarded_lines.py."
        )
    # Its own indentation and end of line stay.
    lines[found[0]] = lines[found[0]].replace(guarded.line, guarded.broken)
    return "".join(lines)


def copied(root: Path, folder: Path, *, machine_code: bool = True) -> Path:
    """Copy packages, tests and what they read into `folder`."""
    left_out = _LEFT_OUT if machine_code else (*_LEFT_OUT, *_MACHINE_CODE)
    return Path(shutil.copytree(root, folder / "copy", ignore=shutil.ignore_patterns(*left_out)))


def run_tests(copy: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run test files of a copy until one fails; the packages are those of the copy, in child processes too."""
    files = [f"tests/{name}" for name in tests]
    options = ["-x", "-q", "-rfE", "--tb=no", "--no-header", "-p", "no:cacheprovider"]
    # The name of a test is cut to the width of a terminal.
    environment = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "400"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
    )


def verdict(root: Path, guarded: Guarded) -> str:
    """Break one line in a copy of `root` and return ``caught by TEST``, or ``NOT CAUGHT`` with what happened.

    Raises
    ------
    TableError
        The line is not found once.
    """
    source = (root / guarded.file).read_text(encoding="utf-8")
    broken = broken_source(source, guarded)
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(root, Path(folder), machine_code=_HAS_LOOPS not in source)
        (copy / guarded.file).write_text(broken, encoding="utf-8")
        try:
            run = run_tests(copy, guarded.tests)
        except subprocess.TimeoutExpired:
            return f"NOT CAUGHT (no test came to its end in {_LONGEST_S} s)"
    found = _FAILED.search(run.stdout)
    # Where tests could not even be collected none has caught anything.
    if run.returncode == 1 and found:
        return f"caught by `{found[1]}`"
    last = (run.stdout + run.stderr).strip().splitlines()[-1:]
    return f"NOT CAUGHT ({' '.join(last)})"


def check_unbroken(root: Path, lines: Sequence[Guarded]) -> None:
    """Refuse test files that fail without any mistake.

    Raises
    ------
    TableError
        One does.
    """
    tests = list(dict.fromkeys(name for guarded in lines for name in guarded.tests))
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(root, Path(folder))
        for name in tests:
            run = run_tests(copy, [name])
            if run.returncode:
                raise TableError(f"tests/{name} fails before any line is broken:\n{run.stdout}{run.stderr}")


def row(guarded: Guarded, outcome: str) -> str:
    """Return a line of docs/TESTING_GUIDE.md's table."""
    cells = (f"`{guarded.file}`", f"`{guarded.line}`", f"`{guarded.broken}`", outcome)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(argv: Sequence[str] | None = None) -> int:
    """Break the chosen lines and print a row of Markdown for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="lines of files whose name holds one of these"
    )
    parser.add_argument("--list", action="store_true", help="only print the table")
    parser.add_argument("--no-check", action="store_true", help="do not run the tests unbroken first")
    arguments = parser.parse_args(argv)
    chosen = [
        guarded
        for guarded in LINES
        if not arguments.words or any(word in guarded.file for word in arguments.words)
    ]
    try:
        for guarded in chosen:
            broken_source((ROOT / guarded.file).read_text(encoding="utf-8"), guarded)
        if not (arguments.list or arguments.no_check):
            check_unbroken(ROOT, chosen)
    except TableError as error:
        print(f"broken_lines.py: error: {error}", file=sys.stderr)
        return 2
    escaped = 0
    print("| file | line | by mistake | outcome |\n|---|---|---|---|")
    for guarded in chosen:
        outcome = ", ".join(guarded.tests) if arguments.list else verdict(ROOT, guarded)
        escaped += outcome.startswith("NOT CAUGHT")
        print(row(guarded, outcome), flush=True)
    print(f"\n{len(chosen)} lines, {escaped} mistakes not caught")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
