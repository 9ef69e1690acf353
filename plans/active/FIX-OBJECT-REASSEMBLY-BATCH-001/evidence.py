"""Make the plan's evidence again: ``python evidence.py FOLDER [A0] [A1] [C2]`` writes these parts, or all, into FOLDER.

A0 is `compare-models` with the naive full-canvas method in place of the stream, until it runs out of memory; A1 are the
call sites of stitching; C2 is `compare-models` as it is, on the same scan under the same memory cap. The scan has the
size of the fly64 set: 10,304 frames of 64 x 64 pixels of an object of 232 x 232. On a machine with two processors, busy
with other work, A0 took 11 minutes and C2 29. It needs 200 MB in build/, which git ignores.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))
import capped
import naive_oom

ROOT = capped.ROOT
SCAN, OUTPUT = "build/fly64-size.npz", "build/fly64-size"
SIMULATE = [SCAN, "--seed", "64", "--object-size", "232", "232", "--n-positions", f"{naive_oom.N_PATCHES}"]
COMPARE = ["--pinn_dir", "ptycho/demo/pinn", "--baseline_dir", "ptycho/demo/baseline", "--test_data", SCAN]
COMPARE += ["--output_dir", OUTPUT, "--overwrite", "--no-save-npz", "--no-save-npz-aligned"]
COMMANDS = Path(sys.executable).parent


def main(folder: Path, parts: Sequence[str]) -> None:
    """Make the parts, each in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (ROOT / "build").mkdir(exist_ok=True)
    if "A1" in parts:
        (folder / "A1-call-sites.txt").write_text(call_sites())
    if "A0" in parts or "C2" in parts:
        told([str(COMMANDS / "ptycho-simulate"), *SIMULATE, "--overwrite"])
    if "A0" in parts:
        naive = told([sys.executable, str(Path(__file__).resolve()), "--naive"])
        (folder / "A0-naive-out-of-memory.txt").write_text(naive)
    if "C2" in parts:
        (folder / "C2-console.txt").write_text(told([str(COMMANDS / "compare-models"), *COMPARE]))
        save_results(ROOT / OUTPUT, folder)


def save_results(output: Path, folder: Path) -> None:
    """Copy what a comparison wrote, and its peaks of memory."""
    for name in ("comparison_metrics.csv", "run_report.json"):
        shutil.copy(output / name, folder / f"C2-{name}")
    save_smaller(output / "comparison_plot.png", folder / "C2-comparison_plot.png")
    log = (output / "logs" / "debug.log").read_text()
    (folder / "C2-debug.log").write_text(naive_oom.without_folders(log))
    report = json.loads((output / "run_report.json").read_text())
    (folder / "C2-peak-memory.txt").write_text(memory_text(report))


def save_smaller(picture: Path, copy: Path) -> None:
    """Write a copy of a picture with 1000 pixels a side at most and few colours, some 200 kB."""
    from PIL import Image

    image = Image.open(picture).convert("RGB")
    image.thumbnail((1000, 1000))
    image.quantize(96).save(copy, optimize=True)


def told(command: Sequence[str]) -> str:
    """Run a command from the root of the repository under the cap; return it, what it said, and its exit code."""
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **naive_oom.SETTINGS, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    words = [
        *(f"{name}={value}" for name, value in naive_oom.SETTINGS.items()),
        Path(command[0]).name,
        *command[1:],
    ]
    text = f"$ {' '.join(words)}\n{finished.stdout}exit code {finished.returncode}\n"
    return naive_oom.without_folders(text)


def call_sites() -> str:
    """Return every place that stitches, as ``file function -> called``, from the test that looks for them."""
    from test_stitching_callers import _found

    return "".join(f"{path} {caller} -> {called}\n" for path, caller, called in sorted(_found()))


def compare_naively() -> None:
    """Run `compare-models` with all patches kept until the end and then shifted on full canvases."""
    import naive_tf

    from ptycho import inference
    from ptycho.cli import compare_models

    class FullCanvas(inference._Stream):
        def stitch(self, start, stop, patches):
            self._kept = [*getattr(self, "_kept", []), patches]

        def finished(self, prediction):
            naive_tf.stitch(np.concatenate(self._kept), self._groups.centres_yx, naive_oom.CROP_SIZE)

    with mock.patch.object(inference, "_Stream", FullCanvas):
        sys.exit(compare_models.main([*COMPARE, "--output_dir", f"{OUTPUT}-naive"]))


def memory_text(report: dict) -> str:
    """Return the peaks of a run in a few lines."""
    mib = 1 << 20
    lines = [f"cap of TensorFlow's allocator: {naive_oom.CAP_MB} MiB"]
    for arm in report["arms"]:
        run, stitching = arm["prediction"], arm["stitching"]
        lines.append(
            f"{arm['label']}: {run['n_items']:,} patches in batches of {run['planned_batch_size']} ({run['reason']}); "
            f"TensorFlow's peak so far {run['measured_peak_bytes'] / mib:.0f} MiB, predicted for a batch "
            f"{run['predicted_peak_bytes'] / mib:.0f} MiB; stitched {stitching['batch_sizes_used']} at once; "
            f"out-of-memory errors {run['n_oom']} + {stitching['n_oom']}"
        )
    lines.append(
        f"whole process, frames included: {report['run']['peak_resident_bytes'] / mib:.0f} MiB resident"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1] == "--naive":
        compare_naively()
    main(Path(sys.argv[1]).resolve(), sys.argv[2:] or ["A0", "A1", "C2"])
