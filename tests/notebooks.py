"""The notebooks of the documentation, executed in this process: a kernel would take longer than all they compute."""

import ast
import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"


def paths():
    return sorted(FOLDER.glob("*.ipynb"))


def cells(path, kind):
    """The sources of the cells of one kind, in order."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def executed(path):
    """The HTML or the text that each code cell would end with, None for one that ends with no expression."""
    names = {"__name__": "notebook"}
    return [
        _shown(_value(source, f"{path.name}, code cell {n}", names))
        for n, source in enumerate(cells(path, "code"))
    ]


def _value(source, place, names):
    *most, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        most, last = [*most, last], None
    exec(compile(ast.Module(most, []), place, "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), place, "eval"), names)


def _shown(value):
    if value is None:
        return None
    # Some have HTML in some notebooks only, such as Matplotlib's figures.
    return (value._repr_html_() if hasattr(value, "_repr_html_") else None) or repr(value)
