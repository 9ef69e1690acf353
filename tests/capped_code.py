"""Pieces of code under caps on TensorFlow's memory, each in a forked copy of one process that has imported it.

``python -m capped_code SPEC`` runs one after the other what SPEC lists, a JSON list of pairs of code and cap in MB, and
prints a JSON list of what each of them has printed.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from capped import KERNELS, ROOT, Copy

# One operation at a time, as on the one stream of a GPU: how they overlap would be the scheduler's luck.
ONE_AT_A_TIME = {"TF_NUM_INTEROP_THREADS": "1"}


def printed_by(pieces: Sequence[tuple[str, int]]) -> list[str]:
    """Return what each piece of code prints under its cap; numpy is np there, tensorflow tf."""
    finished = subprocess.run(
        [sys.executable, "-m", "capped_code", json.dumps(pieces)],
        env={
            **os.environ,
            **KERNELS,
            **ONE_AT_A_TIME,
            "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


def _printed(code: str) -> str:
    import numpy as np
    import tensorflow as tf

    from ptycho.stitching import Canvas

    with redirect_stdout(io.StringIO()) as printed:
        exec(code, {"np": np, "tf": tf, "Canvas": Canvas})
    return printed.getvalue()


def main() -> None:
    """Run what the command line lists."""
    import tensorflow  # noqa: F401

    import ptycho.stitching._cpu  # noqa: F401

    pieces = json.loads(sys.argv[1])
    print(json.dumps([Copy(_printed, code, cap_mb=cap_mb).result() for code, cap_mb in pieces]))  # noqa: T201


if __name__ == "__main__":
    main()
