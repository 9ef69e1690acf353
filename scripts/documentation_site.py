"""Hooks of mkdocs.yml: pages that find their place, links out of `docs/`, code as hosts show it, formulas.

The repository's pages link to each other with relative paths that hold on any host of the repository. On the
site, what `docs/` links to elsewhere in the repository is copied beside it.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = "docs"
_PAGES_BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "specs/*.md")
_LINK = re.compile(r"(\]\(\s*)([^()<>\s#]+)")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
# Hosts of Markdown begin a list right under a paragraph; Python-Markdown wants an empty line between them.
_LIST_UNDER_TEXT = re.compile(r"^(?![-*|#> ]|\d+\. )(\S[^\n]*\n)(?=(?:[-*]|\d+\.) )", re.MULTILINE)
_FENCE = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(^ *```.*?^ *```|`+[^`\n]+`+)", re.MULTILINE | re.DOTALL)
# Hosts of Markdown split a table's row first and then take the escaped pipes of all cells for pipes.
_CELL = re.compile(r"<t[dh]\b[^>]*>.*?</t[dh]>", re.DOTALL)
_CODE_IN_CELL = re.compile(r"<code>[^<]*</code>")
_BLOCK = re.compile(r'<div class="highlight">(<pre>.*?</pre>)', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
# A line that makes sense beside its neighbours only: drawn, or set in columns.
_ALIGNED = re.compile(r"[─-╿]|\S {2,}\S")


def on_files(files: Any, *, config: Any) -> Any:
    """Add the files that pages link to outside `docs/`, and what those link to in turn, and lay out the nav."""
    from mkdocs.structure.files import File  # pyright: ignore[reportMissingImports]

    pages = [posixpath.join(DOCS, file.src_uri) for file in files.documentation_pages()]
    for path in _linked_outside(pages):
        files.append(
            File(path, str(ROOT), config["site_dir"], config["use_directory_urls"], dest_uri=_address(path))
        )
    config["nav"] = laid_out(config["nav"], [file.src_uri for file in files.documentation_pages()])
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links between the repository's folders into links between pages of the site, and free lists."""
    here = _in_repository(page.file)

    def moved(match: re.Match[str]) -> str:
        target = _target(here, match[2])
        if target is None:
            return match[0]
        inside = target.removeprefix(f"{DOCS}/")
        return match[1] + posixpath.relpath(inside, posixpath.dirname(page.file.src_uri) or ".")

    freed = _outside(_FENCE, markdown, lambda text: _LIST_UNDER_TEXT.sub(r"\1\n", text))
    return _outside(_CODE, freed, lambda text: _LINK.sub(moved, text))


def _outside(code: re.Pattern[str], text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to what lies between the matches of `code`, which has one group around it all."""
    parts = code.split(text)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def on_page_content(content: str, **_: Any) -> str:
    """Free the pipes in tables, measure blocks of code, and turn TeX formulas into MathML."""
    freed = _CELL.sub(lambda cell: _CODE_IN_CELL.sub(_with_plain_pipes, cell[0]), content)
    return _FORMULA.sub(_as_mathml, _BLOCK.sub(_measured, freed))


def _with_plain_pipes(code: re.Match[str]) -> str:
    return code[0].replace(r"\|", "|")


def _measured(block: re.Match[str]) -> str:
    """Tell the style sheet how many columns a block needs so that no line wraps that must not."""
    lines = html.unescape(_TAG.sub("", block[1])).splitlines()
    columns = max((len(line) for line in lines if _ALIGNED.search(line)), default=0)
    return f'<div class="highlight aligned" style="--columns: {columns}">{block[1]}' if columns else block[0]


def _as_mathml(match: re.Match[str]) -> str:
    """Return a formula as MathML, which browsers show by themselves."""
    from latex2mathml.converter import convert  # pyright: ignore[reportMissingImports]

    formula = html.unescape(match[3]).replace(r"\arg", r"\operatorname{arg}")
    shown = convert(formula, display="inline" if match[2] == "(" else "block")
    if "\\" in shown:
        raise ValueError(f"the formula {formula} holds a command that latex2mathml does not know; reword it.")
    return shown


def laid_out(nav: list[Any], pages: list[str]) -> list[Any]:
    """Replace each pattern in `nav` by the pages that match it and are named nowhere before.

    Parameters
    ----------
    nav : list
        As in ``mkdocs.yml``: paths, patterns with a ``*``, and one-entry mappings of a title to either of
        them or to a list of them.
    pages : list of str
        Every page of the site, relative to `docs/`.
    """
    left = sorted(set(pages) - set(_plain_entries(nav)))

    def expanded(entry: Any) -> list[Any]:
        if isinstance(entry, dict):
            ((title, inner),) = entry.items()
            if isinstance(inner, str):
                return [entry]
            listed = [page for each in inner for page in expanded(each)]
            return [{title: listed}] if listed else []
        if "*" not in entry:
            return [entry]
        matching = [page for page in left if fnmatch(page, entry)]
        left[:] = [page for page in left if page not in matching]
        return matching

    return [page for entry in nav for page in expanded(entry)]


def _plain_entries(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [] if "*" in nav else [nav]
    inner = nav.values() if isinstance(nav, dict) else nav
    return [page for each in inner for page in _plain_entries(each)]


def _linked_outside(pages: list[str]) -> list[str]:
    beside = [path.relative_to(ROOT).as_posix() for pattern in _PAGES_BESIDE for path in ROOT.glob(pattern)]
    found = dict.fromkeys(beside)
    waiting = [*pages, *beside]
    while waiting:
        page = waiting.pop()
        text = _CODE.sub("", (ROOT / page).read_text(encoding="utf-8"))
        targets = [_target(page, match[2]) for match in _LINK.finditer(text)]
        new = [path for path in targets if path and not path.startswith(f"{DOCS}/") and path not in found]
        found.update(dict.fromkeys(new))
        waiting += [path for path in new if path.endswith(".md")]
    return sorted(found)


def _target(page: str, link: str) -> str | None:
    """Return the path in the repository of the file that `link` in `page` names, None if there is none."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return path if "//" not in link and (ROOT / path).is_file() else None


def _in_repository(file: Any) -> str:
    return posixpath.join(DOCS, file.src_uri) if file.src_dir != str(ROOT) else file.src_uri


def _address(path: str) -> str:
    return path.lower().removesuffix(".md") + ".html" if path.endswith(".md") else path
