"""Make the plan's evidence again: ``python evidence.py FOLDER`` writes A0, A1 and C2 into FOLDER.

A0 is `compare-models` with the naive full-canvas method in place of the stream, until it runs out of memory; A1 are the
call sites of stitching; C2 is `compare-models` as it is, on the same scan under the same memory cap. The scan has the
size of the fly64 set: 10,304 frames of 64 x 64 pixels of an object of 232 x 232. Takes some minutes, and 200 MB in
build/, which git ignores.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np

ROOT = Path(__file__).parents[3]
SCAN, OUTPUT = "build/fly64-size.npz", "build/fly64-size"
SIMULATE = [SCAN, "--seed", "64", "--object-size", "232", "232", "--n-positions", "10304", "--overwrite"]
COMPARE = ["--pinn_dir", "ptycho/demo/pinn", "--baseline_dir", "ptycho/demo/baseline", "--test_data", SCAN]
COMPARE += ["--output_dir", OUTPUT, "--overwrite", "--no-save-npz", "--no-save-npz-aligned"]
# The default of --stitch-crop-size.
CROP_SIZE = 20
CAP = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPU_ALLOCATOR_USE_BFC": "1", "TF_CPU_BFC_MEM_LIMIT_IN_MB": "400"}


def main(folder: Path) -> None:
    """Make everything, each step in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (ROOT / "build").mkdir(exist_ok=True)
    (folder / "A1-call-sites.txt").write_text(call_sites())
    commands = Path(sys.executable).parent
    told([str(commands / "ptycho-simulate"), *SIMULATE], {})
    naive = told([sys.executable, str(Path(__file__).resolve()), "--naive"], CAP)
    (folder / "A0-naive-out-of-memory.txt").write_text(naive)
    (folder / "C2-console.txt").write_text(told([str(commands / "compare-models"), *COMPARE], CAP))
    output = ROOT / OUTPUT
    for name in ("comparison_metrics.csv", "run_report.json"):
        shutil.copy(output / name, folder / f"C2-{name}")
    save_smaller(output / "comparison_plot.png", folder / "C2-comparison_plot.png")
    (folder / "C2-debug.log").write_text(relative((output / "logs" / "debug.log").read_text()))
    report = json.loads((output / "run_report.json").read_text())
    (folder / "C2-peak-memory.txt").write_text(memory_text(report))


def save_smaller(picture: Path, copy: Path) -> None:
    """Write a copy of a picture with 1000 pixels a side at most and few colours, some 200 kB."""
    from PIL import Image

    image = Image.open(picture).convert("RGB")
    image.thumbnail((1000, 1000))
    image.quantize(96).save(copy, optimize=True)


def told(command: Sequence[str], environment: dict[str, str]) -> str:
    """Run a command from the root of the repository; return it, what it said, and its exit code."""
    variables = {
        **os.environ,
        **environment,
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "",
        "COLUMNS": "120",
    }
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    words = [*(f"{name}={value}" for name, value in environment.items()), Path(command[0]).name, *command[1:]]
    return without_dump(relative(f"$ {' '.join(words)}\n{finished.stdout}exit code {finished.returncode}\n"))


def relative(text: str) -> str:
    """Return a text without the folders of this machine."""
    text = re.sub(r"[^\s\"']*/site-packages/", "site-packages/", text)
    return text.replace(f"{ROOT}/", "").replace(str(Path.home()), "~")


def call_sites() -> str:
    """Return every place that stitches, as ``file function -> called``, from the test that looks for them."""
    sys.path.insert(0, str(ROOT / "tests"))
    from test_stitching_callers import _found

    return "".join(f"{path} {caller} -> {called}\n" for path, caller, called in sorted(_found()))


def compare_naively() -> None:
    """Run `compare-models` with all patches kept until the end and then shifted on full canvases."""
    sys.path.insert(0, str(ROOT / "tests"))
    import naive_tf

    from ptycho import inference
    from ptycho.cli import compare_models

    class FullCanvas(inference._Stream):
        def stitch(self, start, stop, patches):
            self._kept = [*getattr(self, "_kept", []), patches]

        def finished(self, prediction):
            naive_tf.stitch(np.concatenate(self._kept), self._groups.centres_yx, CROP_SIZE)

    with mock.patch.object(inference, "_Stream", FullCanvas):
        sys.exit(compare_models.main(COMPARE))


def memory_text(report: dict) -> str:
    """Return the peaks of a run in a few lines."""
    mib = 1 << 20
    lines = [f"cap of TensorFlow's allocator: {CAP['TF_CPU_BFC_MEM_LIMIT_IN_MB']} MiB"]
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


def without_dump(text: str) -> str:
    """Return a text without TensorFlow's thousand lines on each piece of its memory; their sums stay."""
    pieces = re.compile(r"bfc_allocator\.cc:\d+\] +(Bin|Next region|InUse at|Free +at|\d+ Chunks|Summary)")
    return "".join(line for line in text.splitlines(keepends=True) if not pieces.search(line))


if __name__ == "__main__":
    compare_naively() if sys.argv[1] == "--naive" else main(Path(sys.argv[1]).resolve())
