"""JSON that others wrote, read without trust: what is missing or of another kind is simply not there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptycho.errors import DataError

_MOST_BYTES = 64 * 2**20


class Record:
    """One JSON object; every question names the keys from the outside in and the kind of the answer."""

    def __init__(self, values: object = None) -> None:
        self._values: Mapping[str, Any] = values if isinstance(values, Mapping) else {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def _at(self, keys: tuple[str, ...]) -> Any:
        found: Any = self._values
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def text(self, *keys: str) -> str:
        """Return a text that can be written in UTF-8; "" where there is none."""
        found = self._at(keys)
        return shown(found) if isinstance(found, str) else ""

    def number(self, *keys: str) -> float | None:
        """Return a finite number, or None."""
        found = self._at(keys)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or abs(found) > 1e300:
            return None
        return found if math.isfinite(found) else None

    def whole(self, *keys: str) -> int | None:
        """Return a whole number, or None."""
        found = self.number(*keys)
        return None if found is None or found != int(found) else int(found)

    def flag(self, *keys: str) -> bool:
        """Tell whether something is said to be true."""
        return self._at(keys) is True

    def record(self, *keys: str) -> Record:
        """Return an object; an empty one where there is none."""
        return Record(self._at(keys))

    def records(self, *keys: str) -> tuple[Record, ...]:
        """Return the objects of a list."""
        found = self._at(keys)
        items = found if isinstance(found, list) else []
        return tuple(Record(item) for item in items if isinstance(item, Mapping))

    def texts(self, *keys: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        found = self._at(keys)
        items = found if isinstance(found, list) else []
        return tuple(shown(item) for item in items if isinstance(item, str))

    def numbers(self, *keys: str) -> tuple[float | None, ...]:
        """Return the items of a list, each a finite number or None."""
        found = self._at(keys)
        return tuple(Record({"": item}).number("") for item in found) if isinstance(found, list) else ()

    def names(self) -> tuple[str, ...]:
        """Return the names of the entries that are lists."""
        return tuple(name for name, value in self._values.items() if isinstance(value, list))

    def pair(self, *keys: str) -> tuple[float, float] | None:
        """Return two finite numbers, such as (y, x), or None."""
        found = self._at(keys)
        numbers = [Record({"": item}).number("") for item in found] if isinstance(found, list) else []
        if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
            return None
        return numbers[0], numbers[1]

    def scalars(self, *keys: str) -> dict[str, str | float | bool]:
        """Return those entries of an object that are a text, a finite number, true or false."""
        inner, found = self.record(*keys), {}
        for key, value in inner._values.items():
            number = inner.number(key)
            if isinstance(value, (str, bool)):
                found[shown(key)] = inner.text(key) if isinstance(value, str) else value
            elif number is not None:
                found[shown(key)] = number
        return found


def shown(text: str) -> str:
    r"""Return `text` with what is no Unicode (halves of a surrogate pair) as ``\udXXX``."""
    return text.encode("utf-8", "backslashreplace").decode()


def read_record(path: Path) -> Record:
    """Read a file that holds one JSON object.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        It is too large, or no JSON object.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DataError(
            f"{path} has more than {_MOST_BYTES:,} bytes; a report is far smaller, so name another."
        )
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}); copy it again from the run that wrote it.") from error
    if not isinstance(values, dict):
        raise DataError(
            f"{path} holds a JSON {type(values).__name__} but must hold one object; name the folder of a run."
        )
    return Record(values)
