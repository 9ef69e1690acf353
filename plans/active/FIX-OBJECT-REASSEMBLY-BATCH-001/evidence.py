"""Make the plan's evidence again: ``python evidence.py FOLDER [A0] [A1] [C2]`` writes these parts, or all, into FOLDER.

A0 is `compare-models` with the naive full-canvas method in place of the stream, until it runs out of memory: once under
a cap on TensorFlow's allocator, which says where, and once in a control group whose limit holds for the whole process,
which is killed. C2 is `compare-models` as it is, on the same scan, in a group with the same limit. A1 are the call
sites of stitching. The scan has the size of the fly64 set: 10,304 frames of 64 x 64 pixels of an object of 232 x 232.
It needs Linux, leave to make a control group (`tests/control_group.py`), and 200 MB in build/, which git ignores. All
of it took six and a half minutes of processor time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))
import capped
import naive_oom
from control_group import ControlGroup, control_group

ROOT = capped.ROOT
SCAN, OUTPUT = "build/fly64-size.npz", "build/fly64-size"
SIMULATE = [SCAN, "--seed", "64", "--object-size", "232", "232", "--n-positions", f"{naive_oom.N_PATCHES}"]
COMPARE = ["--pinn_dir", "ptycho/demo/pinn", "--baseline_dir", "ptycho/demo/baseline", "--test_data", SCAN]
COMPARE += ["--output_dir", OUTPUT, "--overwrite", "--no-save-npz", "--no-save-npz-aligned"]
COMMANDS = Path(sys.executable).parent
# Of everything that the process has in memory: interpreter, TensorFlow, frames, canvases.
LIMIT_BYTES = 1 << 30


def main(folder: Path, parts: Sequence[str]) -> None:
    """Make the parts, each in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (ROOT / "build").mkdir(exist_ok=True)
    if "A1" in parts:
        (folder / "A1-call-sites.txt").write_text(call_sites())
    if "A0" in parts or "C2" in parts:
        told([str(COMMANDS / "ptycho-simulate"), *SIMULATE, "--overwrite"], capped.KERNELS)
    if "A0" in parts:
        naive = [sys.executable, str(Path(__file__).resolve()), "--naive"]
        said = told(naive, naive_oom.SETTINGS)
        (folder / "A0-naive-out-of-memory.txt").write_text(said + where_it_failed(ROOT / f"{OUTPUT}-naive"))
        (folder / "A0-naive-killed.txt").write_text(told_in_group(naive, capped.KERNELS)[0])
    if "C2" in parts:
        said, account = told_in_group([str(COMMANDS / "compare-models"), *COMPARE], capped.KERNELS)
        (folder / "C2-console.txt").write_text(said)
        save_results(ROOT / OUTPUT, folder, account)


def save_results(output: Path, folder: Path, account: str) -> None:
    """Copy what a comparison wrote, and its peaks of memory."""
    for name in ("comparison_metrics.csv", "run_report.json"):
        shutil.copy(output / name, folder / f"C2-{name}")
    save_smaller(output / "comparison_plot.png", folder / "C2-comparison_plot.png")
    log = (output / "logs" / "debug.log").read_text()
    (folder / "C2-debug.log").write_text(naive_oom.without_folders(log))
    report = json.loads((output / "run_report.json").read_text())
    (folder / "C2-peak-memory.txt").write_text(account + memory_text(report))


def save_smaller(picture: Path, copy: Path) -> None:
    """Write a copy of a picture with 1000 pixels a side at most and few colours, some 200 kB."""
    from PIL import Image

    image = Image.open(picture).convert("RGB")
    image.thumbnail((1000, 1000))
    image.quantize(96).save(copy, optimize=True)


def told_in_group(command: Sequence[str], settings: Mapping[str, str]) -> tuple[str, str]:
    """Run a command in a control group with the limit; return what `told` does and the account of the group."""
    with control_group(f"ptycho_evidence_{os.getpid()}", limit_bytes=LIMIT_BYTES) as group:
        text = told(command, settings, group)
        account = group.account()
    return text + account, account


def told(command: Sequence[str], settings: Mapping[str, str], group: ControlGroup | None = None) -> str:
    """Run a command from the root of the repository, in a group if there is one; return it and what came of it."""
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **settings, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=None if group is None else group.join,
        check=False,
    )
    words = [*(f"{name}={value}" for name, value in settings.items()), Path(command[0]).name, *command[1:]]
    text = f"$ {' '.join(words)}\n{finished.stdout}{ending(finished.returncode)}\n"
    return naive_oom.without_folders(text)


def ending(code: int) -> str:
    """Return how a process ended, with the exit code that a shell would show."""
    return (
        f"exit code {code}"
        if code >= 0
        else f"killed by {signal.Signals(-code).name}, exit code {128 - code}"
    )


def call_sites() -> str:
    """Return every place that stitches, as ``file function -> called``, from the test that looks for them."""
    from test_stitching_callers import _found

    return "".join(f"{path} {caller} -> {called}\n" for path, caller, called in sorted(_found()))


def compare_naively() -> None:
    """Run `compare-models` with the cores of all patches kept until the end and then shifted on full canvases."""
    import naive_tf

    from ptycho import inference
    from ptycho.cli import compare_models

    start = (naive_oom.PATCH_SIZE - naive_oom.CROP_SIZE) // 2
    core = slice(start, start + naive_oom.CROP_SIZE)

    class FullCanvas(inference._Stream):
        def stitch(self, start, stop, patches):
            self._kept = [*getattr(self, "_kept", []), patches[:, core, core].copy()]

        def finished(self, prediction):
            cores = np.concatenate(self._kept)
            sys.stdout.write(f"all {len(cores):,} patches at once, {resident()}\n")
            sys.stdout.flush()
            naive_tf.stitch(cores, self._groups.centres_yx, naive_oom.CROP_SIZE)

    with mock.patch.object(inference, "_Stream", FullCanvas):
        sys.exit(compare_models.main([*COMPARE, "--output_dir", f"{OUTPUT}-naive"]))


def where_it_failed(output: Path) -> str:
    """Return the record of the log that says where the first arm failed, with its traceback."""
    log = (output / "logs" / "debug.log").read_text()
    record = re.search(
        r"^\S+ \S+ DEBUG .* where PtychoPINN failed$(\n(?!\d{4}-\d\d-\d\d ).*)*", log, re.MULTILINE
    )
    if record is None:
        raise SystemExit(
            f"{output}/logs/debug.log holds no failure of PtychoPINN; the naive method did not fail."
        )
    return naive_oom.without_folders(f"\nIn its logs/debug.log:\n{record[0]}\n")


def resident() -> str:
    """Return what this process has in memory now; a page of a file is charged to the group that read it first."""
    entries = dict(re.findall(r"^(Rss\w+):\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE))
    own, of_files = (int(entries[name]) >> 10 for name in ("RssAnon", "RssFile"))
    return f"{own + of_files} MiB resident: {own} MiB its own, {of_files} MiB of files, such as libraries"


def memory_text(report: dict) -> str:
    """Return the peaks of a run in a few lines."""
    mib = 1 << 20
    lines = [
        f"whole process, frames included: {report['run']['peak_resident_bytes'] / mib:.0f} MiB resident at most"
    ]
    for arm in report["arms"]:
        run, stitching = arm["prediction"], arm["stitching"]
        lines.append(
            f"{arm['label']}: {run['n_items']:,} patches in batches of {run['planned_batch_size']} ({run['reason']}); "
            f"predicted for a batch {run['predicted_peak_bytes'] / mib:.0f} MiB; "
            f"stitched {stitching['batch_sizes_used']} at once; "
            f"out-of-memory errors {run['n_oom']} + {stitching['n_oom']}"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1] == "--naive":
        compare_naively()
    main(Path(sys.argv[1]).resolve(), sys.argv[2:] or ["A0", "A1", "C2"])
