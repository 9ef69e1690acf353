"""Write the table of clauses and tests at the end of specs/compare_models_spec.md; ``--check`` only compares.

A clause is a paragraph of the specification that begins with its number in bold, **CM-6.2**. A test shows it
by the marker ``@pytest.mark.spec("CM-6.2")``. The check fails for a clause without a test, a marker of no clause,
and a table that is out of date.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "specs" / "compare_models_spec.md"
BEGIN, END = "<!-- tests: begin -->", "<!-- tests: end -->"
_CLAUSE = re.compile(r"^\*\*(CM-\d+\.\d+)\*\* \S", re.MULTILINE)


def clauses(page: str) -> list[str]:
    """Return the numbers of the clauses of a specification, in order."""
    return _CLAUSE.findall(page)


def marked_tests(folder: Path) -> list[tuple[str, str]]:
    """Return (clause, test) for every marker below `folder`, a test as ``path::name`` from its parent."""
    return [
        (clause, f"{file.relative_to(folder.parent).as_posix()}::{name}")
        for file in sorted(folder.rglob("test_*.py"))
        for clause, name in _markers(ast.parse(file.read_text(encoding="utf-8")))
    ]


def _markers(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.spec":
                    yield from ((ast.literal_eval(argument), node.name) for argument in decorator.args)


def with_table(page: str, marked: Sequence[tuple[str, str]]) -> str:
    """Return the specification with its table made anew."""
    rows = ["| clause | shown by |", "|---|---|"]
    for clause in clauses(page):
        shown = [f"`{test}`" for found, test in marked if found == clause]
        rows.append(f"| {clause} | {'<br>'.join(shown)} |")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n" + "\n".join(rows) + f"\n\n{END}{rest.split(END)[1]}"


def problems(page: str, marked: Sequence[tuple[str, str]]) -> list[str]:
    """Return what is wrong, a sentence each; empty if every clause is shown and the table is right."""
    numbers = clauses(page)
    shown = {clause for clause, _ in marked}
    found = [
        f"{number} stands for more than one clause; give each its own number." for number in _twice(numbers)
    ]
    found += [
        f"{clause} has no test; mark one with @pytest.mark.spec({clause!r})."
        for clause in numbers
        if clause not in shown
    ]
    found += [
        f"{test} is marked with {clause}, which is no clause; correct the number."
        for clause, test in marked
        if clause not in numbers
    ]
    if with_table(page, marked) != page:
        found.append("the table of clauses and tests is out of date; run python scripts/spec_table.py.")
    return found


def _twice(numbers: Sequence[str]) -> list[str]:
    return sorted({number for number in numbers if numbers.count(number) > 1})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the table, or with ``--check`` say what is wrong; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if something is wrong")
    arguments = parser.parse_args(argv)
    marked = marked_tests(ROOT / "tests")
    page = PAGE.read_text(encoding="utf-8")
    if not arguments.check:
        page = with_table(page, marked)
        PAGE.write_text(page, encoding="utf-8")
    wrong = problems(page, marked)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
