"""``python -m fuzzing.signals [--each 20] [--seed 12] [--only COMMAND …]`` (``make signals``).

Each command is run again and again into one place that holds its earlier results, and gets a signal at a random moment
of its run: SIGINT, SIGTERM and SIGHUP, and SIGKILL, after which the next run has to clean up. After each it is asked
that the earlier results are as they were or replaced as a whole, that each of them can be read, that the user's other
files are untouched, that nothing hidden is left (but by SIGKILL), and that the command said in one sentence how it
ended, by its exit code too. At the end a run without a signal has to succeed and leave nothing hidden. One line for
each command and signal; exit code 1 if any fails.

Every tenth run starts Python and imports all that it needs, which takes most of its time; the others are forked from
a process that has done so, and their signals fall into the work itself. A signal that comes while Python itself
starts or ends is Python's: it is counted apart, as `early or late`.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fuzzing.commands import MODULES, Command, be_ready_to_fork, commands, faults_of_files, fingerprints

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
_COLD_EVERY = 10


def _ending(command: Command, number: signal.Signals, code: int, error: str) -> str:
    """Return how a run ended: finished, stopped as it should, while Python started or ended, or wrongly."""
    last = error.strip().splitlines()[-1] if error.strip() else ""
    if number is signal.SIGKILL:
        return "killed" if code == -number else "finished" if code == 0 else f"exit code {code}"
    said = f"{command.name}: error: stopped by" in error
    if code == 0 and "Traceback" not in error:
        return "finished"
    if code == 128 + number and said and "Traceback" not in error:
        return "stopped"
    # Before the command has set its handlers, and after it has put them back, the signal is Python's.
    if code in (-number, 128 + number) and not said:
        return "early or late"
    return f"exit code {code}: {last}"


def _try(command: Command, number: signal.Signals, *, cold: bool, delay_s: float, place: Path) -> list[str]:
    before = fingerprints(place, command)
    code, error = command.run(cold=cold, number=number, delay_s=delay_s)
    if code is None:
        return ["hang"]
    ending = _ending(command, number, code, error)
    return [ending, *faults_of_files(place, command, before, number is signal.SIGKILL)]


def _whole_run(command: Command, place: Path, *, cold: bool) -> tuple[float, list[str]]:
    begun = time.perf_counter()
    code, error = command.run(cold=cold)
    faults = [] if code == 0 else [f"exit code {code}: {error[-300:]}"]
    hidden = [path.name for path in place.iterdir() if path.name.startswith(".")]
    return time.perf_counter() - begun, faults + ([f"left {', '.join(hidden)}"] if hidden else [])


def main() -> int:
    """Send the signals."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing.signals", description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=20, help="signals of each kind for each command (20)")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--only", nargs="+", default=list(MODULES), choices=list(MODULES), metavar="COMMAND")
    arguments = parser.parse_args()
    be_ready_to_fork()
    moments, n_faults = random.Random(arguments.seed), 0
    good = {"finished", "stopped", "early or late", "killed"}
    with tempfile.TemporaryDirectory() as name:
        for command in commands(Path(name)):
            place = Path(name) / command.name
            if command.name not in arguments.only:
                continue
            seconds, faults = {}, list[str]()
            # The first fork waits for what all of them share.
            for cold in (True, False, False):
                seconds[cold], found = _whole_run(command, place, cold=cold)
                faults += found
            for number in SIGNALS:
                counted = Counter[str]()
                for index in range(arguments.each):
                    cold = index % _COLD_EVERY == 0
                    delay_s = moments.uniform(0.0, seconds[cold])
                    counted.update(_try(command, number, cold=cold, delay_s=delay_s, place=place))
                faults += [kind for kind in counted if kind not in good]
                told = ", ".join(f"{count} {kind}" for kind, count in sorted(counted.items()))
                print(f"{command.name:19} {number.name:8} in {seconds[False]:.1f} s: {told}", flush=True)
            faults += _whole_run(command, place, cold=True)[1]
            n_faults += len(faults)
            print(f"{command.name:19} and then a whole run: {'; '.join(faults) or 'all is well'}", flush=True)
    return 1 if n_faults else 0


if __name__ == "__main__":
    sys.exit(main())
