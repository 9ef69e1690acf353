"""The rooms of `ptycho` and the arrows between them, read from every import of every file.

A room is a folder or a module at the top level; `ptycho/__init__.py`, the front door, is the room "ptycho". An import
counts wherever it stands: inside a function and for type checkers too.
"""

import ast
from collections import defaultdict
from dataclasses import dataclass

FRONT_DOOR = "ptycho"


@dataclass(frozen=True)
class Arrow:
    """One import of another room: the file and the line that it stands in, and what it imports."""

    file: str
    line: int
    origin: str
    target: str
    module: str
    name: str | None

    def __str__(self):
        what = self.module if self.name is None else f"{self.name} from {self.module}"
        return f"{self.file}:{self.line}: {self.origin} -> {self.target} ({what})"

    @property
    def is_of_private(self):
        """Whether it reaches for what has an underscore inside the other room; a room's own name may have one."""
        inside = [*self.module.split(".")[2:], *([self.name] if self.name else [])]
        return any(part.startswith("_") and not part.startswith("__") for part in inside)


def room_of(module):
    """The room of a module's full name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else FRONT_DOOR


def modules(root):
    """The files of `root`/ptycho by the full names of their modules."""
    found = {}
    for path in sorted((root / "ptycho").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows(root):
    """Every import that leads from one room of `root`/ptycho to another."""
    known = modules(root)
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for imported, name in _imports(node, module, is_package=path.name == "__init__.py"):
                # "from ptycho import data" imports a module, not a name.
                if name is not None and f"{imported}.{name}" in known:
                    imported, name = f"{imported}.{name}", None
                if imported.split(".")[0] == "ptycho" and room_of(imported) != room_of(module):
                    file = path.relative_to(root).as_posix()
                    yield Arrow(file, node.lineno, room_of(module), room_of(imported), imported, name)


def _imports(node, module, *, is_package):
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = module.split(".")[: None if is_package and node.level == 1 else is_package - node.level]
            base = ".".join([*parents, *([node.module] if node.module else [])])
        yield from ((base, alias.name) for alias in node.names)


def circles(pairs):
    """The groups of rooms that lead back to themselves, each sorted; `pairs` are (origin, target)."""
    leads = defaultdict(set)
    for origin, target in pairs:
        leads[origin].add(target)

    def reached(start):
        seen, waiting = set(), list(leads[start])
        while waiting:
            room = waiting.pop()
            if room not in seen:
                seen.add(room)
                waiting += leads.get(room, ())
        return seen

    reach = {room: reached(room) for room in list(leads)}
    return {
        tuple(sorted({room} | {other for other in reach[room] if room in reach.get(other, ())}))
        for room in reach
        if room in reach[room]
    }


def floors_in(block):
    """The floor of each room from a block of lines such as "2  data  image"."""
    return {
        room: int(number)
        for number, *rooms in (line.split() for line in block.splitlines())
        for room in rooms
    }
