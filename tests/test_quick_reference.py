"""docs/debugging/QUICK_REFERENCE_PARAMS.md names every flag of every command, with its default."""

import argparse
import importlib
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "debugging" / "QUICK_REFERENCE_PARAMS.md").read_text(encoding="utf-8")
COMMANDS = dict(
    re.findall(
        r'^([\w-]+) = "(ptycho\.cli\.\w+):main"',
        (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)
# Only dispatches to the others; tests/ptycho/cli/test_main.py holds it to them.
del COMMANDS["ptycho"]
OF_EVERY_COMMAND = {"--help", "--version"}
# How the page says that a flag left out has no value, or one that is found when the command runs.
NOTHING = {"–", "all", "drawn", "raster", "auto", "told from the keys"}
# The parser lets them out for --demo; without it they are required.
REQUIRED_BUT_FOR_THE_DEMO = {"--pinn_dir", "--baseline_dir", "--test_data"}


def parser_flags(command):
    """The action of each long flag; both spellings of an on-off flag are filed under the positive one."""
    parser = importlib.import_module(COMMANDS[command]).build_parser()
    return {
        next(flag for flag in action.option_strings if flag.startswith("--")): action
        for action in parser._actions
        if action.option_strings
    }


def documented_flags(command):
    """Flag -> the cell of its default, None if the row leaves it to another section."""
    section = f"{PAGE}\n## ".split(f"\n## {command}\n", 1)[1].split("\n## ", 1)[0]
    found, column = {}, None
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if "default" in cells:
            column = cells.index("default")
        elif cells:
            found.update(
                _defaults(re.findall(r"`--(?:\[no-\])?([\w-]+)", cells[0]), cells[column], cells[-1])
            )
    return found


def _defaults(names, cell, last):
    if not cell and last.startswith("as "):
        return {f"--{name}": None for name in names}
    each = cell.split(", ") if ", " in cell else [cell] * len(names)
    return {f"--{name}": default for name, default in zip(names, each, strict=True)}


def says(cell, flag, action):
    """Whether `cell` is a way to write the default of `action`."""
    if cell == "required":
        return action.required or flag in REQUIRED_BUT_FOR_THE_DEMO
    if action.default is None or action.default is argparse.SUPPRESS or action.default == []:
        return cell in NOTHING and not action.required
    if isinstance(action.default, bool):
        return cell == ("on" if action.default else "off")
    if isinstance(action.default, tuple):
        return cell == " ".join(map(str, action.default))
    return cell == str(action.default) or _number(cell) == action.default


def _number(cell):
    try:
        return float(cell)
    except ValueError:
        return None


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_section_of_a_command_names_its_flags_and_no_others(command):
    flags = parser_flags(command).keys() - OF_EVERY_COMMAND
    assert len(flags) > 2
    assert documented_flags(command).keys() - OF_EVERY_COMMAND == flags


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_defaults_of_a_section_are_those_of_its_command(command):
    actions, shared = parser_flags(command), parser_flags("compare-models")
    wrong = {}
    for flag, cell in documented_flags(command).items():
        if flag in OF_EVERY_COMMAND or flag not in actions:
            continue
        default = actions[flag].default
        # A row that says "as for compare-models" has to mean it.
        right = default == shared[flag].default if cell is None else says(cell, flag, actions[flag])
        if not right:
            wrong[flag] = (cell, default)
    assert wrong == {}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_flag_says_what_it_is_for(command):
    assert [flag for flag, action in parser_flags(command).items() if not action.help] == []


def test_every_command_has_a_section():
    assert len(COMMANDS) >= 4
    assert [command for command in COMMANDS if f"\n## {command}\n" not in PAGE] == []
