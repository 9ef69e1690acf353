"""Refuse large files before they are committed: ``python scripts/check_file_sizes.py FILE ...``.

The networks of the demo are the one exception; a large file stays in the history of a repository for ever.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

LARGEST_BYTES = 2 << 20
_EXCEPTIONS = ("ptycho/demo/",)


def main(arguments: Sequence[str]) -> int:
    """Return 1 after one line for each of the files `arguments` that is too large, else 0."""
    paths = [Path(name) for name in arguments if not name.startswith(_EXCEPTIONS)]
    large = [path for path in paths if path.is_file() and path.stat().st_size > LARGEST_BYTES]
    for path in large:
        print(
            f"{path} has {path.stat().st_size:,} bytes but a file in the repository may have {LARGEST_BYTES:,}; "
            "make it smaller or write down how to make it."
        )
    return int(bool(large))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
