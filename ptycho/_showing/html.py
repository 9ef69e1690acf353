"""HTML for notebooks: text is escaped wherever it comes from, and only what is made here is markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

# Colours are the notebook's own, light or dark.
_CELL = "padding:0.2em 0.7em;text-align:left;vertical-align:top;"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: Any) -> Markup:
    """Return a value as HTML: markup as it is, nothing for None, all else as text."""
    if isinstance(value, Markup):
        return value
    return Markup("–" if value is None else html.escape(str(value)))


def table(headings: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Markup:
    """Return a table; with empty headings it has none and its first column names the rows."""
    head = "".join(f'<th style="{_CELL}" scope="col">{escaped(each)}</th>' for each in headings)
    body = "".join(f"<tr>{_row(cells, has_name=not headings)}</tr>" for cells in rows)
    return Markup(
        f"<table>{f'<thead><tr>{head}</tr></thead>' if headings else ''}<tbody>{body}</tbody></table>"
    )


def _row(cells: Sequence[Any], *, has_name: bool) -> str:
    tags = ['th scope="row"' if has_name else "td", *["td"] * (len(cells) - 1)]
    return "".join(
        f'<{tag} style="{_CELL}">{escaped(cell)}</{tag[:2]}>' for tag, cell in zip(tags, cells, strict=True)
    )


def side_by_side(pictures: Iterable[tuple[str, Markup]]) -> Markup:
    """Return pictures in a row, each over its caption."""
    figures = (
        f'<figure style="display:inline-block;margin:0.4em 1em 0.4em 0">{picture}<figcaption>{escaped(caption)}'
        "</figcaption></figure>"
        for caption, picture in pictures
    )
    return Markup(f"<div>{''.join(figures)}</div>")


def block(heading: str, *parts: Markup | None) -> Markup:
    """Return a heading with what belongs to it."""
    inner = "".join(part for part in parts if part is not None)
    return Markup(f"<div><p><strong>{escaped(heading)}</strong></p>{inner}</div>")


def sentences(texts: Iterable[Any]) -> Markup | None:
    """Return a list of sentences, None if there is none."""
    items = "".join(f"<li>{escaped(text)}</li>" for text in texts)
    return Markup(f'<ul style="overflow-wrap:anywhere">{items}</ul>') if items else None
