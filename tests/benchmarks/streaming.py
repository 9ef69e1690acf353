"""Stream patches onto a canvas in a process of its own and print one line of JSON: time and memory.

``python -m benchmarks.streaming --patches 1000000 --canvas 4000 --method "ours, CPU"``

Nothing large is imported before `main` has seen how much memory a bare interpreter takes.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.memory import status_bytes


def main() -> None:
    """Parse, measure, print."""
    start_bytes = status_bytes("VmRSS")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, required=True)
    parser.add_argument("--canvas", type=int, required=True)
    parser.add_argument("--method", default="ours, CPU")
    parser.add_argument("--patch-size", type=int, default=64)
    parser.add_argument("--crop-size", type=int, default=64)
    arguments = parser.parse_args()

    from benchmarks.streamed_methods import measure

    result = measure(
        arguments.method,
        arguments.patches,
        arguments.canvas,
        arguments.patch_size,
        arguments.crop_size,
        start_bytes=start_bytes,
    )
    print(json.dumps({**result, "tensorflow_imported": "tensorflow" in sys.modules}))  # noqa: T201


if __name__ == "__main__":
    main()
