"""docs/debugging/QUICK_REFERENCE_PARAMS.md names every flag of every command."""

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


def documented(flag):
    """Whether the page names the flag; `--[no-]save-npz` names both of its spellings."""
    plain = flag.replace("--no-save", "--save")
    return re.search(rf"--(\[no-\])?{re.escape(plain[2:])}(?![\w-])", PAGE) is not None


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_flag_of_a_command_is_in_the_quick_reference(command):
    parser = importlib.import_module(COMMANDS[command]).build_parser()
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    assert len(flags) > 3
    assert [flag for flag in flags if not documented(flag)] == []


def test_every_command_has_a_section():
    assert len(COMMANDS) >= 4
    assert [command for command in COMMANDS if f"\n## {command}\n" not in PAGE] == []
