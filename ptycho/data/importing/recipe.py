"""Recipes: import settings of a beamline in a TOML file, by the names of the flags."""

from __future__ import annotations

import difflib
import json
import sys
from os import PathLike
from pathlib import Path
from typing import Any

from ptycho._checks.import_options import OPTIONS, Option
from ptycho._io.archive import errors_naming
from ptycho._io.atomic import replacing
from ptycho.data.importing.places import relative_place, split_place
from ptycho.data.importing.settings import ImportSettings
from ptycho.errors import DataError

_MAX_BYTES = 1 << 20


def read_recipe(path: str | PathLike[str]) -> ImportSettings:
    """Read import settings from a recipe.

    Its keys are the names of the flags, such as ``position-units = "um"``; relative paths are relative to the
    recipe, those with ``{stem}`` to the scan.

    Parameters
    ----------
    path : path
        A TOML file.

    Returns
    -------
    ImportSettings

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        It is no TOML, or a key or value is none of the importer's.
    """
    source = Path(path)
    by_name = {option.name: option for option in OPTIONS}
    found: dict[str, Any] = {}
    for key, value in _loaded(source).items():
        option = by_name.get(key.replace("_", "-"))
        if option is None:
            near = difflib.get_close_matches(key, by_name, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(by_name)}."
            raise DataError(f"{source}: {key!r} is no key of a recipe; {hint}")
        if option.field in found:
            raise DataError(f"{source}: {key} says anew what another key has said; leave one of them out.")
        found[option.field] = _value(option, value, source)
    with errors_naming(path):
        return ImportSettings(**found)


def write_recipe(
    path: str | PathLike[str], settings: ImportSettings, *, scan: str | PathLike[str] | None = None
) -> None:
    """Write import settings as a recipe; an existing file is replaced.

    Parameters
    ----------
    path : path
    settings : ImportSettings
    scan : path, optional
        The scan that they were used for: places in it, and in files beside it whose names begin with its stem, are
        written so that they fit other scans too.

    Raises
    ------
    OSError
        The file cannot be written; an older one is untouched.
    """
    given = settings.given
    lines = []
    for option in OPTIONS:
        if option.field not in given or option.is_alias:
            continue
        value = given[option.field]
        if option.metavar is not None and "FILE" in option.metavar:
            value = relative_place(value, None if scan is None else Path(scan))
        text = "true" if option.is_switch else json.dumps(option.word(value))
        lines.append(f"{option.name} = {text}\n")
    with replacing(Path(path)) as file:
        file.write("".join(lines).encode("utf-8"))


def _value(option: Option, value: Any, source: Path) -> Any:
    if option.is_switch:
        if not isinstance(value, bool):
            raise DataError(f"{source}: {option.name} is {value!r} but must be true or false; write one.")
        return value
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    try:
        parsed = option.parse(text)
    except ValueError as error:
        raise DataError(f"{source}: {option.name}: {error}; mend the recipe.") from error
    return (
        _beside(parsed, source.parent) if option.metavar is not None and "FILE" in option.metavar else parsed
    )


def _beside(text: str, folder: Path) -> str:
    """Return the place with its file, where it is there, looked up beside the recipe."""
    file, dataset = split_place(text, folder)
    if file is None or "{stem}" in text:
        return text
    return str(file) if dataset is None else f"{file}:{dataset}"


def _loaded(source: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pyright: ignore[reportMissingImports]

    if source.stat().st_size > _MAX_BYTES:
        raise DataError(f"{source} has more than {_MAX_BYTES} bytes, which is no recipe; pass one.")
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{source} is no recipe in TOML ({error}); mend or write it anew.") from error
