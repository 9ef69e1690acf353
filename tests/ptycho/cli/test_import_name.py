"""PtychoPINN's package is called `ptycho` too: who else is in the folder, or owns a package of that name."""

import sys
from pathlib import Path

import pytest

from ptycho.cli import _flags, _import_name
from ptycho.cli._errors import UsageError, run
from ptycho.cli._import_name import Neighbours, find_neighbours

OURS = {"ptycho/__init__.py": "our door", "ptycho/image/placed.py": "ours", "ptycho/py.typed": ""}


@pytest.fixture
def site(tmp_path):
    """A folder of installed packages with ours alone, and another distribution that says nothing."""
    _install(tmp_path, "ptycho_autobatch-0.1", OURS)
    _install(tmp_path, "numpy-2.4", {"numpy/__init__.py": ""}, top_level="numpy\n")
    _install(tmp_path, "attrs-25.1", {"attr/__init__.py": "", "not/ptycho/x.py": ""})
    return tmp_path


def _install(site, name, files, top_level=None):
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    metadata = site / f"{name}.dist-info"
    metadata.mkdir()
    lines = [f"{path},sha256=0,{len(text)}" for path, text in files.items()]
    (metadata / "RECORD").write_text("\n".join([*lines, f"{name}.dist-info/RECORD,,"]))
    if top_level is not None:
        (metadata / "top_level.txt").write_text(top_level)


def _found(site, *, search_path=None):
    return find_neighbours(site / "ptycho", [str(site)] if search_path is None else search_path)


def test_alone_there_is_nothing_to_say(site):
    (site / "ptycho" / "__pycache__").mkdir()
    (site / "ptycho" / "__pycache__" / "odd.py").write_text("no module")
    assert _found(site) == Neighbours()
    assert Neighbours().check() is None


@pytest.mark.parametrize("top_level", [None, "tests\nptycho\n"])
def test_an_owner_of_the_same_package_is_named(site, top_level):
    _install(site, "PtychoPINN-0.1.0", {"ptycho/params.py": "theirs"}, top_level=top_level)
    found = _found(site)
    assert found == Neighbours(owners=("ptychopinn",), foreign=("ptycho/params.py",))
    assert found.check() == (
        "ptychopinn (ptycho/params.py) has the import name ptycho too; whichever is installed or removed next "
        "breaks the other, so keep each in an environment of its own"
    )


def test_an_owner_elsewhere_on_the_path_is_named(site, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("user_site")
    _install(elsewhere, "ptychopinn-0.1.0", {}, top_level="ptycho")
    search_path = [
        str(elsewhere),
        str(site),
        str(site / "no-such-folder"),
        str(site / "ptycho" / "__init__.py"),
    ]
    assert _found(site, search_path=search_path) == Neighbours(owners=("ptychopinn",))


def test_files_without_an_owner_are_foreign(site):
    for name in ("params.py", "model.py", "loader.py", "diffsim.py"):
        (site / "ptycho" / name).write_text("theirs")
    warning = _found(site).check()
    assert (
        "PtychoPINN (ptycho/diffsim.py, ptycho/loader.py, ptycho/model.py and 1 more) has the import"
        in warning
    )


def test_a_replaced_or_removed_file_stops_the_command(site):
    _install(site, "ptychopinn-0.1.0", {"ptycho/__init__.py": "their longer door"}, top_level="ptycho")
    (site / "ptycho" / "image" / "placed.py").unlink()
    found = _found(site)
    assert found.damaged == ("ptycho/__init__.py", "ptycho/image/placed.py")
    with pytest.raises(
        UsageError, match=r"placed.py of this program was removed or replaced, as when ptychopinn"
    ):
        found.check()


def test_a_checkout_has_nothing_foreign(site):
    metadata = site / "ptycho_autobatch-0.1.dist-info"
    (metadata / "RECORD").write_text("__editable__.ptycho_autobatch.pth,sha256=0,3\n")
    (site / "ptycho" / "mine.py").write_text("work in progress")
    assert _found(site) == Neighbours()


def test_what_this_test_runs_in_is_sound():
    package = Path(_import_name.__file__).parents[1]
    assert find_neighbours(package, sys.path).damaged == ()


def test_a_command_warns_or_stops_before_it_does_anything(monkeypatch, capsys):
    parser = _flags.argument_parser("tool", "Do a thing.")
    monkeypatch.setattr(_import_name, "check_import_name", lambda: Neighbours(owners=("theirs",)).check())
    assert run(parser, lambda arguments: 0, []) == 0
    assert capsys.readouterr().err.startswith("warning: theirs has the import name ptycho too;")
    monkeypatch.setattr(_import_name, "check_import_name", lambda: Neighbours(damaged=("a.py",)).check())
    assert run(parser, lambda arguments: pytest.fail("it ran"), []) == 2
    assert capsys.readouterr().err.startswith("tool: error: a.py of this program was removed or replaced")
