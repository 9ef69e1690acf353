"""Every place that stitches is in the table of docs/architecture.md, and no other exists."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
STITCHING = {
    "Canvas",
    "add_in_batches",
    "add_to_several",
    "stitch_patches",
    "reassemble_position",
    "merge_patches",
}
ROW = re.compile(
    r"^\| `(?P<path>[\w/]+\.py)` `(?P<caller>[\w.]+)` \| (?P<called>(?:`\w+`(?:, )?)+) \|", re.MULTILINE
)


def _used(node):
    """Names of stitching functions that a call calls, directly or as an attribute, or hands on."""
    callee = node.func
    if isinstance(callee, ast.Attribute):
        yield callee.attr
        # Canvas.around, Canvas.load and the like make canvases too.
        yield getattr(callee.value, "id", getattr(callee.value, "attr", ""))
    for handed in (callee, *node.args, *(keyword.value for keyword in node.keywords)):
        yield getattr(handed, "id", "")


def _callers(source, path, owner=""):
    """Yield (path, function, called) for each use below the node `source`."""
    for child in ast.iter_child_nodes(source):
        named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        inside = f"{owner}.{child.name}".strip(".") if named else owner
        if isinstance(child, ast.Call):
            yield from ((path, inside, name) for name in _used(child) if name in STITCHING)
        yield from _callers(child, path, inside)


def _found():
    files = [
        file for folder in ("ptycho", "scripts", "autobatch") for file in (REPOSITORY / folder).rglob("*.py")
    ]
    return {
        use
        for file in files
        for use in _callers(ast.parse(file.read_text()), file.relative_to(REPOSITORY).as_posix())
    }


def _listed():
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    return {
        (row["path"], row["caller"], called)
        for row in ROW.finditer(page)
        for called in re.findall(r"\w+", row["called"])
    }


def test_every_place_that_stitches_is_listed_and_no_other_exists():
    assert _found() == _listed()


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    add_in_batches(c, p)",
        "def f():\n    stitching.add_in_batches(c, p)",
        "def f():\n    functools.partial(add_in_batches, c)",
        "def f():\n    run(step=add_in_batches)",
    ],
)
def test_the_scan_sees_calls_however_they_are_written(text):
    assert set(_callers(ast.parse(text), "x.py")) == {("x.py", "f", "add_in_batches")}


def test_the_scan_sees_canvases_that_are_made_in_other_ways():
    text = "class A:\n    def f(self):\n        return stitching.Canvas.around(p), Canvas.load(q)"
    assert set(_callers(ast.parse(text), "x.py")) == {("x.py", "A.f", "Canvas")}


def test_the_parts_of_the_stitcher_are_used_by_itself_alone():
    private = re.compile(r"ptycho\.stitching\._|from ptycho\.stitching import _")
    users = [
        file.relative_to(REPOSITORY).as_posix()
        for folder in ("ptycho", "scripts", "autobatch")
        for file in (REPOSITORY / folder).rglob("*.py")
        if private.search(file.read_text()) and "stitching" not in file.parts
    ]
    assert users == []
