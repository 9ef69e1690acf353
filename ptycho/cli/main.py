"""`ptycho`: one command with a verb for each step from data to report."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ptycho._version import __version__
from ptycho.cli._errors import BAD_INPUT
from ptycho.cli._spelling import nearest


@dataclass(frozen=True)
class Verb:
    """A verb, the module whose `main` does it, its older name, and what it is for."""

    name: str
    module: str
    older_name: str
    purpose: str


VERBS = (
    Verb("simulate", "ptycho.cli.simulate", "ptycho-simulate", "make a scan with its truth"),
    Verb("inspect", "ptycho.cli.inspect", "ptycho-inspect", "what is in a file, and what seems wrong"),
    Verb("convert", "ptycho.cli.convert", "ptycho-convert", "a file of any known format -> our own NPZ"),
    Verb("train", "ptycho.cli.train", "ptycho-train", "scans -> a network"),
    Verb("reconstruct", "ptycho.cli.reconstruct", "ptycho-reconstruct", "a network and a scan -> an image"),
    Verb("refine", "ptycho.cli.refine", "ptycho-refine", "an image and its frames -> a better image"),
    Verb(
        "compare",
        "ptycho.cli.compare_models",
        "compare-models",
        "networks and images on one scan -> a report",
    ),
    Verb("report", "ptycho.cli.report", "ptycho-report", "saved results -> a page; of many runs, a study"),
)


def help_text() -> str:
    """Return the way from data to report, on one screen."""
    rows = "\n".join(f"  {verb.name:12} {verb.purpose:46} ({verb.older_name})" for verb in VERBS)
    return (
        "usage: ptycho VERB ...\n\n"
        "Judge trained ptychography networks on large scans. From data to report:\n\n"
        f"{rows}\n\n"
        "  ptycho compare --demo --output_dir demo       try it: two shipped networks, a simulated scan\n"
        "  ptycho VERB --help                            the flags of a verb\n"
        "  ptycho --version                              the version\n\n"
        "Each verb is also a command of its own, under the name in brackets.\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that `argv` begins with and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if words[0] == "--version":
        print(f"ptycho {__version__}")
        return 0
    verbs = {verb.name: verb for verb in VERBS}
    if words[0] not in verbs:
        near = nearest(words[0], verbs)
        hint = f"did you mean {near}?" if near else "see ptycho --help"
        print(
            f"ptycho: error: {words[0]!r} is no verb but one of {', '.join(verbs)} is needed; {hint}",
            file=sys.stderr,
        )
        return BAD_INPUT
    verb = verbs[words[0]]
    return importlib.import_module(verb.module).main(words[1:], prog=f"ptycho {verb.name}")


if __name__ == "__main__":
    raise SystemExit(main())
