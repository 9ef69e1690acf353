"""`predict` with its defaults under caps on TensorFlow's memory: twenty models, ten of them awkward.

``python -m benchmarks.predicting [--caps 300 500 800] [--models NAME …]`` (``make predicting``) runs each model under
each cap in a process of its own, on TensorFlow's GPU allocator class used for the CPU. Asked of each: no out-of-memory
error, at least half of the largest size that fits (twice the planned size and one more is tried, and must not fit), and
the result of an uncapped ``model.predict`` to 1e-5 relative. One line for each; exit code 1 if any fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.predict_cases import APPLICATIONS, AWKWARD, made
from capped import KERNELS, ROOT, cap

CAPS_MB = (300, 500, 800)
RELATIVE_TOLERANCE = 1e-5
# bfloat16 keeps eight bits: one step is 2⁻⁸ of the value.
BFLOAT16_TOLERANCE = 2**-7
# More items for each MB of the cap than fit, so that the memory sets the size; a few models have small items.
ITEMS_PER_MB = {
    "LSTM": 6.0,
    "SavedModel": 2.5,
    "mixed precision": 2.5,
    "nested inputs": 2.5,
    "several outputs": 2.5,
}
OTHER_ITEMS_PER_MB = 1.2
N_COMPARED = 24
SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model under one cap."""

    model: str
    cap_mb: int
    n_items: int
    planned: int
    n_oom: int
    fits_double: bool
    difference: float
    seconds: float
    reason: str
    error: str = ""

    @property
    def faults(self) -> list[str]:
        """What of what is asked does not hold."""
        if self.error:
            return [self.error]
        faults = [f"{self.n_oom} errors"] if self.n_oom else []
        if self.fits_double:
            faults.append(f"{2 * self.planned + 1} fit")
        tolerance = BFLOAT16_TOLERANCE if self.model == "mixed precision" else RELATIVE_TOLERANCE
        if not self.difference <= tolerance:
            faults.append(f"differs by {self.difference:.1e}")
        return faults

    def line(self) -> str:
        """Return the row for the terminal."""
        verdict = "ok" if not self.faults else "FAULT: " + ", ".join(self.faults)
        return (
            f"{self.model:18} {self.cap_mb:4} MB  {self.planned:5} of {self.n_items:5}  {self.n_oom} OOM  "
            f"{self.difference:8.1e}  {self.seconds:5.1f} s  {verdict}"
        )


def n_items_of(name: str, cap_mb: int) -> int:
    """Return how many items a run has."""
    return int(cap_mb * ITEMS_PER_MB.get(name, OTHER_ITEMS_PER_MB))


def measure(name: str, cap_mb: int, folder: Path) -> Row:
    """Run one model under one cap and compare it with its uncapped self."""
    told = _in_process(name, cap_mb, folder)
    if "error" in told:
        blank = {
            "planned": 0,
            "n_oom": 0,
            "fits_double": False,
            "difference": np.nan,
            "seconds": 0.0,
            "reason": "",
        }
        return Row(model=name, cap_mb=cap_mb, n_items=n_items_of(name, cap_mb), **blank, error=told["error"])
    return Row(model=name, cap_mb=cap_mb, n_items=n_items_of(name, cap_mb), **told)


def _in_process(name: str, cap_mb: int, folder: Path) -> dict[str, Any]:
    reference = folder / f"{name}.npz"
    if not reference.exists():
        told = _started(None, "reference", name, str(reference))
        if "error" in told:
            return told
    return _started(cap_mb, "capped", name, str(cap_mb), str(reference))


def _started(cap_mb: int | None, *arguments: str) -> dict[str, Any]:
    environment = {
        **os.environ,
        **KERNELS,
        **cap(cap_mb),
        "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}",
    }
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.predicting", "--work", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not finished after {SECONDS} s"}
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or [""]
        return {"error": f"exit code {finished.returncode}: {lines[-1][:150]}"}
    return json.loads(finished.stdout.splitlines()[-1])


def _work(arguments: Sequence[str]) -> dict[str, Any]:
    """What runs inside the process of its own."""
    kind, name = arguments[:2]
    model, make_items = made(name)
    if kind == "reference":
        expected = model.predict(_part(make_items(n_items_of(name, min(CAPS_MB))), 0, N_COMPARED), verbose=0)
        np.savez(arguments[2], *(np.asarray(leaf, np.float32) for leaf in _leaves(expected)))
        return {}
    n_items = n_items_of(name, int(arguments[2]))
    items = make_items(n_items)
    run, outputs = _predicted(model, items, n_items)
    with np.load(arguments[3]) as file:
        expected = list(file.values())
    difference = max(_relative(left, right) for left, right in zip(_leaves(outputs), expected, strict=True))
    planned = max(run.batch_sizes)
    return {
        "planned": planned,
        "n_oom": run.n_oom,
        "difference": difference,
        "seconds": run.seconds,
        "reason": run.plan.reason,
        "fits_double": planned < n_items and 2 * planned < n_items and _fits(model, items, 2 * planned + 1),
    }


def _predicted(model: Any, items: Any, n_items: int) -> tuple[Any, Any]:
    """Return the run and the results; `predict` if this version has it."""
    import keras

    import autobatch

    predict = getattr(autobatch, "predict", None)
    if predict is not None:
        runs: list[Any] = []
        outputs = predict(model, items, report=runs.append)
        return runs[0], outputs
    run = autobatch.run_in_batches(
        lambda start, stop: model.predict_on_batch(_part(items, start, stop)),
        n_items,
        cost=autobatch.keras_model_cost(model, inputs=items),
    )
    return run, keras.tree.map_structure(lambda *parts: np.concatenate(parts), *run.outputs)


def _fits(model: Any, items: Any, size: int) -> bool:
    from autobatch import is_out_of_memory

    try:
        model.predict_on_batch(_part(items, 0, size))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _part(items: Any, start: int, stop: int) -> Any:
    import keras

    return keras.tree.map_structure(lambda array: array[start:stop], items)


def _leaves(structure: Any) -> list[Any]:
    import keras

    return keras.tree.flatten(structure)


def _relative(found: Any, expected: np.ndarray) -> float:
    """Return the largest difference of the items compared, relative to the largest value."""
    found = np.asarray(found, np.float32)[: len(expected)]
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, print; return the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.predicting", description=__doc__)
    parser.add_argument(
        "--caps", type=int, nargs="+", default=CAPS_MB, metavar="MB", help="caps on the memory"
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=(*APPLICATIONS, *AWKWARD),
        metavar="NAME",
        help="which models, all by default",
    )
    parser.add_argument(
        "--at-once", type=int, default=2, help="processes at a time; a failing one waits 10 s"
    )
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        print(json.dumps(_work(options.work)))
        return 0
    faulty = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.at_once) as pool:
        for row in pool.map(
            lambda name: [measure(name, mb, Path(folder)) for mb in options.caps], options.models
        ):
            for one in row:
                print(one.line(), flush=True)
                faulty += bool(one.faults)
    print(
        f"{len(options.models) * len(options.caps) - faulty} of {len(options.models) * len(options.caps)} hold"
    )
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
