"""The shell blocks of the documentation: which commands they run, and whether those exist and take the flags.

A real shell runs each block, so that loops, substitutions and continued lines mean what they mean. In place of
the commands it finds recorders that write their words down and end well; any other program is not found.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from markdown_pages import ROOT

from ptycho.cli.main import VERBS

# They take seconds at most; of the others, those that have --dry-run are run with it.
_QUICK = {"ptycho-simulate", "ptycho-convert", "ptycho-inspect", "autobatch"}
_TOOLS = ("seq", "mkdir", "ls", "cat", "cp")


def _table(heading):
    """The keys and values of a table of pyproject.toml whose entries take one line each."""
    table = (ROOT / "pyproject.toml").read_text().partition(f"[{heading}]\n")[2].partition("\n[")[0]
    return dict(re.findall(r"^([\w-]+) = (.*)$", table, re.MULTILINE))


COMMANDS = {
    name: import_module(door.strip('"').partition(":")[0]) for name, door in _table("project.scripts").items()
}
# A file of scripts/ that is one of the commands has the name of its module.
_SCRIPTS = {f"scripts/{module.__name__.rpartition('.')[2]}.py": name for name, module in COMMANDS.items()}
_RECORDER = """#!/bin/bash
{ printf '%s\\037' "${0##*/}" "$@"; printf '\\036'; } >> "$RECORD"
"""


@dataclass(frozen=True)
class Checked:
    """A command as the shell passed it on, and what was done with it.

    `outcome` is ``ran``; ``parsed`` for what would take long or change the machine; ``inputs missing`` where it
    would have run had the files been there.
    """

    words: tuple[str, ...]
    outcome: str


def recorded_commands(text, folder):
    """The commands that the shell block `text` runs in `folder`, as lists of words.

    Raises
    ------
    AssertionError
        If the block is no valid shell or calls a program that is none of the project's.
    """
    bin_folder = folder / ".venv" / "bin"
    if not bin_folder.exists():
        _make_recorders(bin_folder)
    record = folder / ".record"
    record.write_text("")
    run = subprocess.run(
        [shutil.which("bash"), "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={"PATH": str(bin_folder), "RECORD": str(record), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [line.split("\037")[:-1] for line in record.read_text().split("\036")[:-1]]


def _make_recorders(bin_folder):
    bin_folder.mkdir(parents=True)
    recorder = bin_folder / ".recorder"
    recorder.write_text(_RECORDER.replace("/bin/bash", shutil.which("bash")))
    recorder.chmod(0o755)
    for name in (*COMMANDS, "python", "pip", "make", "pytest"):
        (bin_folder / name).symlink_to(recorder)
    for name in _TOOLS:
        (bin_folder / name).symlink_to(shutil.which(name))


def check_command(words):
    """Check one command of a block, and run it in the current folder if that is quick and its inputs are there."""
    name, arguments = _resolved(words)
    if name in COMMANDS:
        return Checked((name, *arguments), _check_ours(name, arguments))
    missing = {"make": _no_target, "pip": _no_extra, "pytest": _no_tests, "python": _no_script}[name](
        arguments
    )
    assert missing == [], f"{' '.join(words)}: there is no {' or '.join(missing)}"
    return Checked((name, *arguments), "parsed")


def _resolved(words):
    """Name the program behind ``python -m module``, ``python scripts/….py`` and ``ptycho VERB``."""
    name, *arguments = words
    older_names = {verb.name: verb.older_name for verb in VERBS}
    if name == "ptycho" and arguments and arguments[0] in older_names:
        return older_names[arguments[0]], arguments[1:]
    if name == "python" and arguments[:1] == ["-m"]:
        return arguments[1], arguments[2:]
    if name == "python" and (ROOT / arguments[0]).is_file() and arguments[0] in _SCRIPTS:
        return _SCRIPTS[arguments[0]], arguments[1:]
    return name, arguments


def _check_ours(name, arguments):
    module, extra = COMMANDS[name], []
    if hasattr(module, "build_parser") and {"--help", "--version"}.isdisjoint(arguments):
        parsed = _parsed(module.build_parser(), arguments)
        if name not in _QUICK and not hasattr(parsed, "dry_run"):
            return "parsed"
        if not _has_its_inputs(parsed):
            return "inputs missing"
        extra = ["--overwrite", *(["--dry-run"] if hasattr(parsed, "dry_run") else [])]
    code = _exit_code(module.main, [*arguments, *extra])
    assert code == 0, f"{name} {' '.join(arguments)} ends with exit code {code}"
    return "ran"


def _parsed(parser, arguments):
    try:
        return parser.parse_args(arguments)
    except SystemExit:
        raise AssertionError(f"{parser.prog} does not take: {' '.join(arguments)}") from None


def _has_its_inputs(parsed):
    """Tell whether the files that a command reads, and the card that it asks for, can be there."""
    written = ("output", "batch_memo", "plot", "save_recipe")
    inputs = [
        value
        for key, value in vars(parsed).items()
        if isinstance(value, Path) and not key.startswith(written)
    ]
    on_a_card = (getattr(parsed, "device", None) or "CPU").startswith("GPU")
    return not on_a_card and all(path.exists() for path in inputs)


def _exit_code(main, arguments):
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code or 0


def _no_target(arguments):
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    return [word for word in arguments if "=" not in word and word not in targets]


def _no_extra(arguments):
    wanted = re.findall(r"\.\[([\w,-]+)\]", " ".join(arguments))
    known = _table("project.optional-dependencies")
    return [extra for words in wanted for extra in words.split(",") if extra not in known]


def _no_tests(arguments):
    paths = [word.partition("::")[0] for word in arguments if word.startswith("tests")]
    return [path for path in paths if not (ROOT / path).exists()]


def _no_script(arguments):
    """A script in no folder is the reader's own."""
    return [word for word in arguments[:1] if "/" in word and not (ROOT / word).is_file()]
