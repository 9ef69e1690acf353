"""The Markdown of the repository as data: pages, code blocks, links and the anchors that they may name."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[1]
_FOLDERS = ("docs", "specs", "plans", ".github")
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>\S*)[^\n]*\n(?P<text>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_TARGETS = (
    re.compile(r"\]\(\s*<?([^()<>\s]+(?:\([^()\s]*\)[^()<>\s]*)*)"),
    re.compile(r"^\[[^\]^]+\]:\s*<?([^<>\s]+)", re.MULTILINE),
    re.compile(r"\b(?:href|src)=\"([^\"]+)\""),
)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.MULTILINE)
_EXPLICIT_ANCHOR = re.compile(r"\b(?:id|name)=\"([^\"]+)\"")
_SCHEME = re.compile(r"[a-z][a-z+.-]*:", re.IGNORECASE)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block; `line` is that of its first line of code, `indent` the number of spaces before its fence."""

    page: Path
    line: int
    language: str
    text: str
    indent: int


def pages(root=ROOT):
    """Every Markdown page of the repository at `root`, in order of path."""
    found = {*root.glob("*.md"), *(page for folder in _FOLDERS for page in (root / folder).rglob("*.md"))}
    return sorted(found)


def name_of(page, root=ROOT):
    """The path of `page` as it is written in the repository."""
    return page.relative_to(root).as_posix()


def code_blocks(page, *languages):
    """The fenced blocks of `page` in one of `languages`, or all of them; their common indent is removed."""
    text = page.read_text(encoding="utf-8")
    blocks = [
        CodeBlock(
            page,
            text.count("\n", 0, match.start("text")) + 1,
            match["language"],
            re.sub(rf"^ {{0,{len(match['indent'])}}}", "", match["text"], flags=re.MULTILINE),
            len(match["indent"]),
        )
        for match in _FENCE.finditer(text)
    ]
    return [block for block in blocks if not languages or block.language in languages]


def broken_links(page, root=ROOT):
    """One sentence for each relative link of `page` that leads to no file or no heading below `root`."""
    text = _INLINE_CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    targets = [target for pattern in _TARGETS for target in pattern.findall(text)]
    reasons = [(target, _why_broken(target, page, root)) for target in targets]
    return [f"{name_of(page, root)}: {target}: {reason}" for target, reason in reasons if reason]


def _why_broken(target, page, root):
    if _SCHEME.match(target):
        return None
    path, _, anchor = target.partition("#")
    there = (page.parent / unquote(path)).resolve() if path else page
    if not there.is_relative_to(root.resolve()):
        return "leads out of the repository"
    if not there.exists():
        return "no such file"
    if there.is_dir():
        return "is a folder, which the site cannot show"
    if anchor and anchor not in anchors(there):
        return "no such heading"
    return None


def anchors(page):
    """The anchors of `page` as hosts of Markdown make them from headings, and those written out."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = set(_EXPLICIT_ANCHOR.findall(text))
    for heading in _HEADING.findall(text):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        repeated = [slug, *(f"{slug}-{number}" for number in range(1, 100))]
        found.add(next(name for name in repeated if name not in found))
    return found
