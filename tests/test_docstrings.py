"""Public functions say in numpydoc what they take, give back and raise; the examples in docstrings run."""

import ast
import dataclasses
import doctest
import inspect
import re
import textwrap

import pytest
from public_names import HOMES, exported, is_class, public_callables, resolved

CALLABLES = public_callables()
CLASSES = {
    f"{door}.{name}": resolved(f"{door}.{name}")
    for door in HOMES
    for name in sorted(exported(door))
    if is_class(resolved(f"{door}.{name}"))
}


def sections(docstring):
    """The sections of a numpydoc docstring by their heading."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", docstring or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section):
    """The names that the entries of a section stand for."""
    heads = re.findall(r"^([*\w][^:\n]*?)(?: : .*)?$", section, re.MULTILINE)
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def missing_in(function):
    """What the docstring of `function` leaves out, in words."""
    found = sections(inspect.getdoc(function))
    inner = inspect.unwrap(function)
    signature = inspect.signature(inner)
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    told = entries(found.get("Parameters", ""))
    missing = [f"parameter {name}" for name in names if name not in told]
    missing += [f"{name} is no parameter" for name in sorted(told - set(names))]
    returns = signature.return_annotation
    if returns not in (None, "None", inspect.Signature.empty) and not {"Returns", "Yields"} & found.keys():
        missing.append("Returns")
    if raises(inner) and "Raises" not in found:
        missing.append("Raises")
    return missing


def is_described_by_a_parent(name):
    """Whether the method `name` stands in for one of a parent whose docstring leaves nothing out."""
    home, _, own = name.rpartition(".")
    if home in HOMES:
        return False
    parents = resolved(home).__mro__[1:]
    return any(own in vars(parent) and missing_in(vars(parent)[own]) == [] for parent in parents)


def raises(function):
    """Whether the function itself raises an error of its own; a bare `raise` passes another's on."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    waiting = [tree.body[0]]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return not ast.unparse(node.exc).startswith("NotImplementedError")
        inner = (ast.FunctionDef, ast.Lambda, ast.ClassDef)
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, inner)]
    return False


@pytest.mark.parametrize("name", CALLABLES)
def test_a_public_function_says_what_it_takes_gives_back_and_raises(name):
    assert missing_in(CALLABLES[name]) == [] or is_described_by_a_parent(name)


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_names_what_it_is_made_of(name):
    kind = CLASSES[name]
    found = sections(inspect.getdoc(kind))
    told = entries(found.get("Attributes", "")) | entries(found.get("Parameters", ""))
    if dataclasses.is_dataclass(kind):
        # What a parent has is described there.
        own = set(vars(kind).get("__annotations__", {}))
        names = {field.name for field in dataclasses.fields(kind) if field.name in own and field.init}
    elif (
        "__init__" in vars(kind)
        and not issubclass(kind, BaseException)
        and not getattr(kind, "_is_protocol", False)
    ):
        names = set(inspect.signature(kind.__init__).parameters) - {"self"}
    else:
        names = set()
    assert {name for name in names if not name.startswith("_")} - told == set()


EXAMPLES = {
    test.name: test
    for name, thing in (*public_callables().items(), *CLASSES.items())
    for test in doctest.DocTestFinder(recurse=False).find(thing, name)
    if test.examples
}


def test_the_names_that_are_used_most_have_examples():
    # Those that need a trained network are in the tutorial, whose code runs too.
    assert {
        "ptycho.comparison.compare",
        "ptycho.data.ScanData",
        "ptycho.data.read_scan",
        "ptycho.data.simulate",
        "ptycho.data.subsample",
        "ptycho.evaluation.compare_images",
        "ptycho.image.fit_phase_ramp",
        "ptycho.image.place_image",
        "ptycho.image.register",
        "ptycho.stitching.Canvas",
        "ptycho.stitching.stitch_patches",
    } <= EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_shows(name):
    example = EXAMPLES[name]
    example.globs = {}  # so that an example imports what it uses
    said = []
    # Told outright: by default it is as talkative as the command line of pytest.
    doctest.DocTestRunner(verbose=False).run(example, out=said.append, clear_globs=True)
    assert "".join(said) == ""
