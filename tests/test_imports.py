"""The arrows of docs/architecture.md, seen from a fresh interpreter."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import ptycho

HEAVY = ("tensorflow", "keras", "rich", "pynvml", "matplotlib", "numba", "skimage", "h5py", "psutil")
REPOSITORY = Path(__file__).parents[1]


def _modules_after(statement):
    script = f"import sys; {statement}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("statement", "banned"),
    [
        ("import autobatch", (*HEAVY, "numpy", "scipy", "ptycho")),
        ("import autobatch.testing", (*HEAVY, "numpy", "ptycho")),
        ("import ptycho", (*HEAVY, "numpy", "autobatch")),
        ("import ptycho.data", (*HEAVY, "scipy", "autobatch", "ptycho.stitching", "ptycho.models")),
        ("import ptycho.models", (*HEAVY, "scipy", "ptycho.stitching", "ptycho.reconstruction")),
        ("import ptycho.stitching", ("tensorflow", "keras", "rich", "pynvml", "matplotlib", "ptycho.models")),
        ("import ptycho.evaluation", ("tensorflow", "rich", "matplotlib", "autobatch", "ptycho.models")),
        ("import ptycho.comparison", ("tensorflow", "keras", "rich", "pynvml", "matplotlib", "ptycho.cli")),
        ("import ptycho.cli.compare_models", ("tensorflow", "keras", "rich", "numpy", "matplotlib", "scipy")),
    ],
)
def test_an_import_brings_only_what_its_arrows_allow(statement, banned):
    loaded = _modules_after(statement)
    assert loaded.isdisjoint(banned), loaded.intersection(banned)


def test_nothing_but_the_outside_uses_the_compatibility_door():
    users = [
        path.relative_to(REPOSITORY)
        for folder in ("ptycho", "autobatch")
        for path in (REPOSITORY / folder).rglob("*.py")
        if path.name != "tf_helper.py" and "tf_helper" in path.read_text()
    ]
    assert users == []


def test_autobatch_knows_nothing_of_ptychography():
    text = "".join(path.read_text().lower() for path in (REPOSITORY / "autobatch").glob("*.py"))
    assert "ptycho" not in text


@pytest.mark.spec("CM-1.7")
@pytest.mark.parametrize(
    "command", ["compare_models", "reconstruct", "train", "simulate", "convert", "inspect"]
)
def test_help_needs_no_heavy_package(command):
    script = (
        f"import sys; from ptycho.cli.{command} import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('MODULES', *sorted(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    text, _, modules = run.stdout.partition("MODULES")
    assert "--output_dir" in text or "OUT" in text or "output" in text or "--plot FILE" in text
    assert set(modules.split()).isdisjoint((*HEAVY, "numpy", "scipy"))


def test_the_front_door_loads_a_room_when_a_name_is_asked_for():
    assert "ptycho.stitching" not in _modules_after("import ptycho; dir(ptycho)")
    loaded = _modules_after("import ptycho; ptycho.stitch_patches")
    assert "ptycho.stitching" in loaded
    assert "ptycho.models" not in loaded


def test_the_front_door_leads_to_the_objects_of_the_rooms():
    for home, names in ptycho._HOMES.items():
        for name in names:
            assert getattr(ptycho, name) is getattr(import_module(home), name)
    assert {name for names in ptycho._HOMES.values() for name in names} <= set(dir(ptycho))
    with pytest.raises(AttributeError, match="no attribute 'recontruct'"):
        _ = ptycho.recontruct


def test_a_type_checker_sees_what_the_front_door_gives():
    tree = ast.parse((REPOSITORY / "ptycho" / "__init__.py").read_text())
    seen = {
        (node.module, alias.asname)
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(home, name) for home, names in ptycho._HOMES.items() for name in names}
