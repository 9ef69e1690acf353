"""What somebody meant who typed a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable

# A name that begins or ends with what was typed, or the other way round, is as near as two wrong letters.
_PART = 2
_SHORTEST_PART = 3


def nearest(typed: str, names: Iterable[str]) -> str | None:
    """Return the name that `typed` most likely stands for, None if none is near; case, `_` and `-` say nothing.

    Near is what a few letters dropped, doubled, wrong or exchanged turn into `typed`, at most one in three, and
    what `typed` is the beginning or the end of.
    """
    near = [(distance, name) for name in names if (distance := _distance(_plain(typed), _plain(name)))]
    return min(near)[1] if near else None


def _plain(name: str) -> str:
    return name.lstrip("-").replace("_", "-").lower()


def _distance(typed: str, name: str) -> tuple[int, int] | None:
    """Return how far `name` is and, to choose among equals, how many letters differ; None if it is not near."""
    shorter, longer = sorted((typed, name), key=len)
    is_part = len(shorter) >= _SHORTEST_PART and (longer.startswith(shorter) or longer.endswith(shorter))
    most = max(1, min(3, len(typed) // 3))
    if not is_part and len(longer) - len(shorter) > most:
        return None
    edits = edit_distance(typed, name)
    if is_part:
        return min(edits, _PART), edits
    return (edits, edits) if edits <= most else None


def edit_distance(first: str, second: str) -> int:
    """Return how many letters to drop, insert, replace or exchange with their neighbour lead from one to the other.

    The optimal string alignment distance (doi:10.1145/363958.363994 for the four kinds of error).
    """
    before_last: list[int] = []
    last = list(range(len(second) + 1))
    for row, letter in enumerate(first, start=1):
        this = [row]
        for column, other in enumerate(second, start=1):
            cost = min(last[column] + 1, this[-1] + 1, last[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == second[column - 2] and first[row - 2] == other:
                cost = min(cost, before_last[column - 2] + 1)
            this.append(cost)
        before_last, last = last, this
    return last[-1]
