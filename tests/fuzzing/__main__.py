"""``python -m fuzzing [--inputs 1000] [--seed 12] [--only FAMILY[:NUMBER] …]`` (``make fuzz``).

Every reader gets damaged inputs, in a process of its own that is watched: no traceback, no message without the file's
name, nothing executed, nothing left in the temporary folder, no input over 20 s of processor time or over 1 GB. What a
library's code ends by a signal, and what it never returns from, is counted apart. One line for each reader; exit code 1
if any fails. ``--only FAMILY:NUMBER`` repeats one input and prints all that is known of it.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fuzzing.families import FAMILIES

SECONDS, BYTES = 20.0, 1 << 30
# So many inputs go to one process: TensorFlow keeps something of every network.
_PER_PROCESS = 250


def results(family: str, seed: int, numbers: range) -> Iterator[dict[str, Any]]:
    """Yield what became of each input; after a crash or a wait without end the next process goes on behind it."""
    start = numbers.start
    while start < numbers.stop:
        stop = min(numbers.stop, start + _PER_PROCESS)
        for result in _of_process(family, seed, start, stop):
            yield result
            start = result["number"] + 1


def _of_process(family: str, seed: int, start: int, stop: int) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "fuzzing.watched", family, str(seed), str(start), str(stop)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
    ) as process:
        assert process.stdout is not None
        current = None
        # Other programs make an input, and the import of TensorFlow, take longer by the clock.
        for line in _lines(process, first=600.0, each=6 * SECONDS):
            told = json.loads(line)
            current = told.get("begins")
            if current is None:
                yield told
        process.kill()
        code = process.wait()
    if current is not None:
        yield {"number": current, "outcome": "hang" if code == -9 else "crash", "told": f"exit status {code}"}
    elif code not in (0, -9):
        raise RuntimeError(f"{' '.join(command)} ended with {code} outside any input")


def _environment() -> dict[str, str]:
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"}


def _lines(process: subprocess.Popen, *, first: float, each: float) -> Iterator[bytes]:
    """Yield lines until the end, or until none has come for `each` seconds."""
    assert process.stdout is not None
    descriptor, waiting, limit = process.stdout.fileno(), b"", first
    while select.select([descriptor], [], [], limit)[0]:
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            process.wait()
            return
        *whole, waiting = (waiting + piece).split(b"\n")
        yield from whole
        limit = each


def faults(result: dict[str, Any]) -> list[str]:
    """Return what of what is asked does not hold for one input."""
    found = [result["outcome"]] if result["outcome"] not in ("read", "refused") else []
    found += ["slow"] if result.get("seconds", 0.0) > SECONDS else []
    found += ["large"] if result.get("bytes", 0) > BYTES else []
    return found + [kind for kind in ("executed", "left", "unnamed") if result.get(kind)]


def _run(family: str, seed: int, numbers: range, *, verbose: bool) -> Counter[str]:
    begun, counted = time.perf_counter(), Counter[str]()
    most_seconds, most_bytes = 0.0, 0
    for result in results(family, seed, numbers):
        found = faults(result)
        counted.update(found)
        counted[result["outcome"]] += 0 if found else 1
        most_seconds = max(most_seconds, result.get("seconds", 0.0))
        most_bytes = max(most_bytes, result.get("bytes", 0))
        if found or verbose:
            print(
                f"  {family}:{result['number']} {', '.join(found) or result['outcome']}\n    "
                + result["told"].strip().replace("\n", "\n    "),
                flush=True,
            )
    told = ", ".join(f"{counted[kind]} {kind}" for kind in ("read", "refused", *_ASKED))
    print(
        f"{family:15} {len(numbers)} inputs: {told}; at most {most_seconds:.1f} s and {most_bytes / 1e6:.0f} MB; "
        f"{time.perf_counter() - begun:.0f} s",
        flush=True,
    )
    return counted


_ASKED = ("traceback", "slow", "large", "executed", "left", "unnamed", "crash", "hang")


def main() -> int:
    """Fuzz the families that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000, help="inputs for each reader (1000)")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--only", nargs="+", default=list(FAMILIES), metavar="FAMILY[:NUMBER]")
    arguments = parser.parse_args()
    total = Counter[str]()
    for asked in arguments.only:
        family, _, number = asked.partition(":")
        numbers = range(int(number), int(number) + 1) if number else range(arguments.inputs)
        total += _run(family, arguments.seed, numbers, verbose=bool(number))
    return 1 if any(total[kind] for kind in _ASKED) else 0


if __name__ == "__main__":
    sys.exit(main())
