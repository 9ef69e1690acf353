"""One process that reads damaged files, one after the other, and says of each how it went.

``python -m fuzzing.watched FAMILY SEED START STOP`` prints a line before and one after each input, so that whoever
waits knows which one a crash or a wait without end belongs to.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing.damage import CANARY, damage
from fuzzing.families import FAMILIES, Family

# More than any file here may take, so that a bomb is an error and not the end of the machine.
_MOST_BYTES = 6 << 30
_EXECUTIONS = (
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
)


class Watch:
    """What a reader does beside reading: programs that it starts, memory that it takes."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.is_on = False

    def begin(self) -> None:
        """Listen to what this process does from now on; there is no way back."""
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and event in _EXECUTIONS:
            self.events.append(event)


def peak_bytes() -> int:
    """Return the most memory that this process has had since `forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> int:
    """Begin to count the peak anew (proc(5), clear_refs); return what the process has now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def one(family_name: str, seed: int, number: int, watch: Watch) -> dict[str, Any]:
    """Damage one input and read it; return how it ended, the seconds, the bytes, and what should not have happened."""
    family = FAMILIES[family_name]
    rng = np.random.default_rng([seed, list(FAMILIES).index(family_name), number])
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder, scratch = Path(name) / "in", Path(name) / "scratch"
        folder.mkdir()
        scratch.mkdir()
        path, files = _good(family, int(rng.integers(len(family.writers))), folder)
        damage(files[int(rng.integers(len(files)))], rng)
        tempfile.tempdir, before = str(scratch), os.getcwd()
        os.chdir(folder)
        base, begun = forget_peak(), time.process_time()
        watch.events.clear()
        watch.is_on = True
        try:
            family.read(path)
            outcome, told = "read", ""
        except family.refusals as error:
            outcome, told = "refused", str(error)
        except Exception:  # noqa: BLE001
            outcome, told = "traceback", traceback.format_exc(limit=-4)
        finally:
            watch.is_on = False
            tempfile.tempdir = None
            os.chdir(before)
        executed = [*watch.events, *([CANARY] if any(Path(name).rglob(CANARY)) else [])]
        left = [each.name for each in scratch.iterdir()]
        is_named = path.name in told or any(each.name in told for each in files)
    return {
        "number": number,
        "outcome": outcome,
        "told": told,
        "seconds": time.process_time() - begun,
        "bytes": max(0, peak_bytes() - base),
        "executed": executed,
        "left": left,
        "unnamed": outcome == "refused" and not is_named,
    }


def _good(family: Family, writer: int, folder: Path) -> tuple[Path, list[Path]]:
    """Put a good input into `folder`; return what is read and the files that may be damaged."""
    made, path, files = _made(family, writer)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder / path.relative_to(made), [folder / each.relative_to(made) for each in files]


@functools.cache
def _made(family: Family, writer: int) -> tuple[Path, Path, list[Path]]:
    """Write a good input once, for some take a second."""
    made = Path(tempfile.mkdtemp(prefix="fuzz-good-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made, *family.writers[writer](made)


def main() -> None:
    """Read the inputs START to STOP - 1 of a family."""
    family, seed, start, stop = sys.argv[1], *(int(text) for text in sys.argv[2:5])
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    watch = Watch()
    watch.begin()
    # Once before, so that what is imported on first use counts to no input.
    one(family, seed + 1, 0, watch)
    for number in range(start, stop):
        print(json.dumps({"begins": number}), flush=True)
        print(json.dumps(one(family, seed, number, watch)), flush=True)


if __name__ == "__main__":
    main()
