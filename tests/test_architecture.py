"""The layout that docs/architecture.md draws is the layout that there is."""

import pytest
from markdown_pages import ROOT, code_blocks
from room_arrows import arrows, circles, floors_in, modules, room_of

LONGEST_FILE, MOST_AT_THE_TOP = 400, 6


@pytest.fixture(scope="module")
def all_arrows():
    return list(arrows(ROOT))


@pytest.fixture(scope="module")
def floors():
    """The block of docs/architecture.md that begins with the top floor."""
    blocks = code_blocks(ROOT / "docs" / "architecture.md", "text")
    (found,) = [block.text for block in blocks if block.text[:1].isdigit()]
    return floors_in(found)


def test_every_room_has_one_floor(floors):
    assert set(floors) == {room_of(module) for module in modules(ROOT)}


def test_no_arrow_climbs_or_stays_on_its_floor(all_arrows, floors):
    climbing = [str(arrow) for arrow in all_arrows if floors[arrow.target] >= floors[arrow.origin]]
    assert climbing == []


def test_no_rooms_import_each_other_in_a_circle(all_arrows):
    assert circles((arrow.origin, arrow.target) for arrow in all_arrows) == set()


def test_no_room_reaches_into_another_past_an_underscore(all_arrows):
    assert [str(arrow) for arrow in all_arrows if arrow.is_of_private] == []


def test_no_floor_is_higher_than_it_must_be(all_arrows, floors):
    # So that the block is not only true but says what depends on what.
    below = {room: {arrow.target for arrow in all_arrows if arrow.origin == room} for room in floors}
    assert floors == {room: 1 + max((floors[t] for t in below[room]), default=-1) for room in floors}


@pytest.mark.parametrize("package", ["autobatch", "ptycho"])
def test_no_file_is_too_long_to_hold_in_a_head(package):
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / package).rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_the_top_level_holds_few_files():
    assert len(list((ROOT / "ptycho").glob("*.py"))) <= MOST_AT_THE_TOP


@pytest.fixture
def sketch(tmp_path):
    """A package that does everything wrong once."""
    files = {
        "__init__.py": "from ptycho.top import run as run\n",
        "low/__init__.py": "def f():\n    from ptycho.high import g\n    return g\n",
        "low/_hidden.py": "secret = 1\n",
        "low/plain.py": "from . import _hidden\nfrom ._hidden import secret\nfrom ..high import g\n",
        "high.py": (
            "from typing import TYPE_CHECKING\nimport ptycho.low.plain\nif TYPE_CHECKING:\n"
            "    from ptycho.low import _hidden\nfrom ptycho.low.plain import _own\nfrom ptycho import __version__\n"
        ),
        "top.py": "from ptycho import high\nimport numpy.linalg\n",
    }
    for name, text in files.items():
        path = tmp_path / "ptycho" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_every_kind_of_import_is_seen(sketch):
    found = {(arrow.origin, arrow.target, arrow.module, arrow.name) for arrow in arrows(sketch)}
    assert found == {
        ("ptycho", "top", "ptycho.top", "run"),
        ("low", "high", "ptycho.high", "g"),
        ("high", "low", "ptycho.low.plain", None),
        ("high", "low", "ptycho.low._hidden", None),
        ("high", "low", "ptycho.low.plain", "_own"),
        ("high", "ptycho", "ptycho", "__version__"),
        ("top", "high", "ptycho.high", None),
    }
    assert [arrow.file for arrow in arrows(sketch) if arrow.origin == "low"] == [
        "ptycho/low/__init__.py",
        "ptycho/low/plain.py",
    ]


def test_circles_and_private_imports_are_found(sketch):
    found = list(arrows(sketch))
    assert circles((arrow.origin, arrow.target) for arrow in found) == {("high", "low", "ptycho", "top")}
    assert circles([("a", "b"), ("b", "a"), ("c", "a")]) == {("a", "b")}
    private = sorted((arrow.origin, arrow.line) for arrow in found if arrow.is_of_private)
    assert private == [("high", 4), ("high", 5)]


def test_floors_are_read_from_their_block():
    assert floors_in("2  top\n1  high  low\n0  errors\n") == {"top": 2, "high": 1, "low": 1, "errors": 0}


def test_one_place_asks_whether_tensorflow_is_imported():
    # The others that look there want Python's own concurrent.futures, or versions to report.
    looking = {
        path.relative_to(ROOT).as_posix()
        for package in ("autobatch", "ptycho")
        for path in (ROOT / package).rglob("*.py")
        if "sys.modules" in path.read_text(encoding="utf-8")
    }
    assert looking == {
        "autobatch/_results.py",
        "autobatch/_modules.py",
        "ptycho/models/_record.py",
        "ptycho/report/run_report.py",
    }
