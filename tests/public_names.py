"""What is public, told from the code: the names that each door gives, and the pages that list them."""

import ast
import inspect
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_origin

from markdown_pages import ROOT

REFERENCE = ROOT / "docs" / "api"
# The page of each door. A name has one home: the door on whose page it is described.
HOMES = {
    "autobatch": "autobatch.md",
    "autobatch.testing": "autobatch.md",
    "ptycho.comparison": "comparison.md",
    "ptycho.data": "data.md",
    "ptycho.demo": "demo.md",
    "ptycho.diffraction": "diffraction.md",
    "ptycho.distributed": "distributed.md",
    "ptycho.errors": "errors.md",
    "ptycho.evaluation": "evaluation.md",
    "ptycho.image": "image.md",
    "ptycho.models": "models.md",
    "ptycho.orientation": "orientation.md",
    "ptycho.reconstruction": "reconstruction.md",
    "ptycho.refinement": "refinement.md",
    "ptycho.report": "report.md",
    "ptycho.stitching": "stitching.md",
}
# Doors that only lead on, and are listed in the tables of the first page.
SHORTCUTS = ("ptycho", "ptycho.tf_helper", "ptycho.training")


def exported(door):
    """The names that `door` gives: those it imports to pass on, and the classes and functions it defines."""
    found = set()
    for node in _statements(ast.parse(Path(find_spec(door).origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname for alias in node.names if alias.asname == alias.name}
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            found |= set(ast.literal_eval(node.value))
    return {name for name in found if not name.startswith("_")} | ({"__version__"} & found)


def _statements(tree):
    """The statements of a module, those of its conditions too."""
    for node in tree.body:
        if isinstance(node, ast.If):
            yield from node.body
        else:
            yield node


def described(page):
    """The full names that `page` describes, in its order."""
    return re.findall(r"^::: (\S+)$", (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE)


def shortcuts():
    """Each address in the tables of the first page with the name that it is documented as, "" for none."""
    text = (REFERENCE / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \|(?: \[`([\w.]+)`\]\(\w+\.md\))? \|", text, re.MULTILINE)
    return dict(rows)


def resolved(name):
    """The object of a full name."""
    door, _, own = name.rpartition(".")
    return getattr(import_module(door), own)


def is_class(thing):
    """Whether it is a class: Python 3.10 takes an alias such as `Callable[[int], None]` for one."""
    return inspect.isclass(thing) and get_origin(thing) is None


def public_callables():
    """Each public function, and each public method of a public class, by its full name."""
    found = {}
    for door in HOMES:
        for name in sorted(exported(door)):
            thing = resolved(f"{door}.{name}")
            if inspect.isfunction(thing):
                found[f"{door}.{name}"] = thing
            elif is_class(thing):
                found |= {f"{door}.{name}.{own}": method for own, method in _methods(thing)}
    return found


def _methods(kind):
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function) and (not name.startswith("_") or name == "__call__"):
            yield name, function
