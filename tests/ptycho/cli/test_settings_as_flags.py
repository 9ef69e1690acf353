"""Sentences of the library name settings; commands name the flags, by one table, and no flag stands below them."""

import ast
import re
from pathlib import Path

import pytest

from ptycho._checks.import_options import OPTIONS
from ptycho.cli._parser import Parser
from ptycho.cli._settings_as_flags import FLAGS, settings_as_flags
from ptycho.cli.main import VERBS

ROOT = Path(__file__).parents[3]
_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
# The name may follow from a value.
_FLAG_OR_ITS_BEGINNING = re.compile(r"(?<![\w-])--([a-z%]|$)")
# The one table of what can be said of a file, whose help belongs to flags; the page, which answers with commands.
_OF_FLAGS = {"ptycho/_checks/import_options.py", "ptycho/report/page/_answers.py"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pass another `crop_size`.", "pass another --stitch-crop-size."),
        ("pass `crop_size=20` or less", "pass --stitch-crop-size 20 or less"),
        ("pass `axes='yxn'`", "pass --axes yxn"),
        ("pass `self_consistency=False`", "pass --no-self-consistency"),
        ("pass `snake=True`", "pass --snake"),
        ("`swap_xy=True` `flip_x=False`", "--swap-xy --no-flip-x"),
        ("pass `grid=(20, 25)`", "pass --grid 20,25"),
        ("leave them out (`skip='4,7:10'`)", "leave them out (--skip 4,7:10)"),
        ("leave them out (`skip`)", "leave them out (--skip)"),
        ("pass `frames=…`", "pass --frames FILE:DATASET"),
        ("pass `photon_energy_j=…`", "pass --energy 8keV"),
        ("check `photon_energy_j`", "check --energy (--wavelength, --electron)"),
        ("begin anew with `resume=False`", "begin anew with --overwrite"),
        ("`min_count=3`, `no_flag=3` and `backend='cpu'`", "--min-count 3, `no_flag=3` and `backend='cpu'`"),
        ("a `file name` stays", "a `file name` stays"),
    ],
)
def test_a_setting_is_named_as_it_is_typed(text, expected):
    assert settings_as_flags(text) == expected


def test_every_flag_of_the_table_is_one_of_a_command():
    known = {flag for verb in VERBS for flag in _parser_of(verb).flags()}
    assert {flag for text in FLAGS.values() for flag in _FLAG.findall(text)} <= known
    assert {option.field for option in OPTIONS} <= FLAGS.keys()


def _parser_of(verb) -> Parser:
    from importlib import import_module

    return import_module(verb.module).build_parser()


def _sentences(path):
    """The text that a file may show: its strings without the docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    shown = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [node.value for node in shown if id(node) not in documents]


def test_no_flag_stands_in_a_sentence_below_the_commands():
    named = {
        f"{path.relative_to(ROOT).as_posix()}: {text}"
        for path in sorted((ROOT / "ptycho").rglob("*.py")) + sorted((ROOT / "autobatch").rglob("*.py"))
        if not path.is_relative_to(ROOT / "ptycho" / "cli")
        and path.relative_to(ROOT).as_posix() not in _OF_FLAGS | {"autobatch/__main__.py"}
        for text in _sentences(path)
        # A program of others has flags of its own.
        if _FLAG_OR_ITS_BEGINNING.search(text.replace("dask scheduler --scheduler-file", ""))
        # How a line is drawn.
        and text != "--"
    }
    assert named == set()


def test_every_setting_that_a_sentence_names_has_a_flag_unless_none_sets_it():
    names = {
        name
        for path in (ROOT / "ptycho").rglob("*.py")
        if not path.is_relative_to(ROOT / "ptycho" / "cli")
        for text in _sentences(path)
        for name in re.findall(r"`([A-Za-z_][\w.]*)[`=]", text)
    }
    assert names - FLAGS.keys() == {"backend", "loss", "register"}
    assert settings_as_flags("`register='finished'`").startswith("--register-ptychi-only")
