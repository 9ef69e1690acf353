"""The one parser of all commands: what is typed is read as it was meant, or refused in one sentence.

Before argparse sees them, the words are gone through once: `_` and `-` are the same in a flag's name, flags of
PtychoPINN are mapped or answered, and a flag that there is not is named before anything else is found wrong.
Flags are not abbreviated: an abbreviation that matches today means something else once a flag is added.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ptycho._version import __version__
from ptycho.cli._errors import BAD_INPUT
from ptycho.cli._showing import in_one_line
from ptycho.cli._spelling import nearest

_FLAG = re.compile(r"--?[^\W\d][\w-]*")
_ASKS_ONLY = {"-h", "--help", "--version"}


@dataclass(frozen=True)
class Renamed:
    """A flag of PtychoPINN's that ours does under another name.

    Attributes
    ----------
    flag : str
        Ours, which takes the same values but those in `values`.
    values : mapping of str to str
        Its word for a value -> ours.
    """

    flag: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settled:
    """A flag of PtychoPINN's for what is settled here: accepted if it asks for nothing else.

    Attributes
    ----------
    values : tuple of str
        What it may be; a flag without a value is "true", and "false" after ``--no-``.
    answer : str
        What is said of any other value.
    """

    values: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Missing:
    """A flag of PtychoPINN's without a counterpart; `answer` says what to do instead."""

    answer: str


Foreign = Renamed | Settled | Missing


@dataclass(frozen=True)
class ForeignFlags:
    """What is known of another program's flags; names are without the first two `-` and with `-` throughout.

    Attributes
    ----------
    by_name : mapping of str to Renamed, Settled or Missing
    by_prefix : mapping of str to Missing
        Whole families of flags, by how their names begin.
    """

    by_name: Mapping[str, Foreign] = field(default_factory=dict)
    by_prefix: Mapping[str, Missing] = field(default_factory=dict)

    def find(self, folded: str) -> Foreign | None:
        """Return what is known of the flag ``--`` + `folded`, or of the one that ``--no-`` denies."""
        name = folded.removeprefix("--")
        positive = self.by_name.get(name.removeprefix("no-"))
        if name in self.by_name or isinstance(positive, Settled):
            return self.by_name.get(name, positive)
        return next((known for prefix, known in self.by_prefix.items() if name.startswith(prefix)), None)


class Parser(argparse.ArgumentParser):
    """Parser with ``--version``, no abbreviations, and errors in one line.

    The parsed arguments get one more, ``warnings``: a tuple of sentences on what was mapped.

    Parameters
    ----------
    prog, description : str
        As for argparse.
    foreign : ForeignFlags
        Flags of PtychoPINN's command of the same purpose.
    """

    def __init__(self, prog: str, description: str, foreign: ForeignFlags | None = None) -> None:
        understood = None if foreign is None else "PtychoPINN's flags are mapped, or answered in a sentence."
        super().__init__(prog=prog, description=description, epilog=understood, allow_abbrev=False)
        self.foreign = ForeignFlags() if foreign is None else foreign
        self.add_argument("--version", action="version", version=f"%(prog)s {__version__}")

    def parse_known_args(
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, after the words have been read as they were meant."""
        words = list(sys.argv[1:] if args is None else args)
        reading = self._read(words)
        arguments, rest = super().parse_known_args(reading.words, namespace)
        arguments.warnings = tuple(reading.warnings)
        return arguments, rest

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2 and `message` in one line."""
        remedy = "" if message.endswith(("?", ".")) else f"; see {self.prog} --help"
        self.exit(BAD_INPUT, f"{self.prog}: error: {in_one_line(message)}{remedy}\n")

    def flags(self) -> list[str]:
        """Return every long flag, as it is spelled in the help."""
        return [flag for flag in self._option_string_actions if flag.startswith("--")]

    def _read(self, words: Sequence[str]) -> _Reading:
        _check_text(self, words)
        reading = _Reading(spellings={_folded(flag): flag for flag in self.flags()} | {"-h": "-h"})
        flagged, positional = _split_at_double_dash(words)
        for word, *values in _with_values(flagged):
            reading.take(word, values, self.foreign)
        reading.words += positional
        if not _ASKS_ONLY & set(reading.words):
            said = [*_named(reading.unknown, self.flags()), *reading.answers]
            if said:
                self.error("; ".join(said))
        return reading


@dataclass
class _Reading:
    """What the words mean: those for argparse, and what is to be said of the others."""

    spellings: Mapping[str, str]
    words: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # Each flag of ours that is given, by the name under which it first was.
    given: dict[str, str] = field(default_factory=dict)

    def take(self, word: str, values: Sequence[str], foreign: ForeignFlags) -> None:
        """Read one word and the values behind it."""
        name, equals, value = word.partition("=")
        if not _is_flag(word):
            self.words += [word, *values]
            return
        own, known = self.spellings.get(_folded(name)), foreign.find(_folded(name))
        if own is not None:
            self._note(own, own)
            self.words += _joined(f"{own}{equals}{value}", values)
        elif known is None:
            self.unknown.append(name)
        elif isinstance(known, Renamed):
            self._rename(name, [value, *values] if equals else list(values), known)
        else:
            self._answer(name, value if equals else " ".join(values), known)

    def _rename(self, name: str, values: list[str], known: Renamed) -> None:
        if known.flag not in self.given:
            self.warnings.append(f"{name} is PtychoPINN's spelling; use {known.flag}")
        self._note(known.flag, name)
        self.words += _joined(known.flag, [known.values.get(value, value) for value in values])

    def _note(self, own: str, name: str) -> None:
        """Remember under which name a flag is given, and refuse a second name for it."""
        first = self.given.setdefault(own, name)
        if first != name:
            other = first if name == own else name
            self.answers.append(
                f"{own} and {other}, PtychoPINN's spelling of it, are both given; drop {other}."
            )

    def _answer(self, name: str, value: str, known: Settled | Missing) -> None:
        if isinstance(known, Missing):
            self.answers.append(f"{name} has no counterpart here: {known.answer}.")
            return
        value = value or ("false" if _folded(name).startswith("--no-") else "true")
        if any(_same(value, accepted) for accepted in known.values):
            self.warnings.append(f"{name} {value} changes nothing here; leave it out")
        else:
            self.answers.append(
                f"{name} is {value} but can only be {' or '.join(known.values)}: {known.answer}."
            )


def _joined(flag: str, values: Sequence[str]) -> list[str]:
    """Return flag and values for argparse, which takes -1e-3 for a flag unless it is in the same word."""
    if len(values) == 1 and values[0].startswith("-") and "=" not in flag:
        return [f"{flag}={values[0]}"]
    return [flag, *values]


def _folded(flag: str) -> str:
    return flag.replace("_", "-")


def _is_flag(word: str) -> bool:
    return _FLAG.fullmatch(word.partition("=")[0]) is not None and not _is_number(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _same(first: str, second: str) -> bool:
    if _is_number(first) and _is_number(second):
        return float(first) == float(second)
    return first.lower() == second.lower()


def _split_at_double_dash(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the words at ``--``, behind which none is a flag."""
    end = words.index("--") if "--" in words else len(words)
    return list(words[:end]), list(words[end:])


def _with_values(words: Iterable[str]) -> list[list[str]]:
    """Put each flag together with the words up to the next one."""
    groups: list[list[str]] = []
    for word in words:
        if _is_flag(word) or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups


def _named(unknown: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Return the sentence that names the unknown flags and what may have been meant."""
    if not unknown:
        return []
    near = [(name, nearest(name, flags)) for name in dict.fromkeys(unknown)]
    if len(near) == 1:
        ((name, meant),) = near
        return [f"unknown {name}" + (f"; did you mean {meant}?" if meant else "")]
    return [
        "unknown " + ", ".join(f"{name} (did you mean {meant}?)" if meant else name for name, meant in near)
    ]


def _check_text(parser: Parser, words: Sequence[str]) -> None:
    """Refuse what is not UTF-8: no table, report or array could hold it."""
    for number, word in enumerate(words, start=1):
        try:
            word.encode()
        except UnicodeEncodeError:
            parser.error(f"argument {number} is {word!a} but must be UTF-8 text; {_remedy(word)}.")


def _remedy(word: str) -> str:
    try:
        os.fsencode(word).decode("utf-8")
    except UnicodeError:
        return "rename the file or label, or link to the file under another name"
    return f"it is, but the locale's encoding is {sys.getfilesystemencoding()}: set PYTHONUTF8=1"
