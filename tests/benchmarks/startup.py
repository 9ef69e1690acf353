"""How long a fresh process takes from its start to a stitched image, with an empty and with a filled cache.

``python -m benchmarks.startup`` prints both as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
WARM_RUNS = 3
_ANNOUNCED = "Compiling the stitching kernel"


def startup() -> dict:
    """Stitch the smallest case in processes of their own: the first compiles, the others find its cache."""
    with tempfile.TemporaryDirectory() as folder:
        _write_scan(Path(folder))
        cold = _run(Path(folder))
        warm = [_run(Path(folder)) for _ in range(WARM_RUNS)]
    return {"cold": cold, "warm": min(warm, key=lambda run: run["process_s"])}


def _write_scan(folder: Path) -> None:
    import numpy as np
    from benchmarks.scans import CASES, patches_of, positions_of

    np.save(folder / "patches.npy", patches_of(CASES[0]))
    np.save(folder / "offsets_xy.npy", positions_of(CASES[0], "random")[:, ::-1])


def _run(folder: Path) -> dict:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}",
        "NUMBA_CACHE_DIR": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "benchmarks.startup", "--stitch", str(folder)]
    # Both processes read the same clock.
    started = time.time()
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    run = json.loads(finished.stdout)
    return {
        "process_s": run["ended"] - started,
        "stitch_s": run["stitch_s"],
        "announced": _ANNOUNCED in finished.stderr,
        "tensorflow_imported": run["tensorflow_imported"],
    }


def _stitch(folder: Path) -> dict:
    import logging

    import numpy as np

    from ptycho.stitching import stitch_patches

    logging.basicConfig(level=logging.INFO)
    patches, offsets_xy = np.load(folder / "patches.npy"), np.load(folder / "offsets_xy.npy")
    started = time.perf_counter()
    image = stitch_patches(patches, offsets_xy, crop_size=patches.shape[1])
    stitch_s, ended = time.perf_counter() - started, time.time()
    assert np.isfinite(image).all()
    assert image.any()
    return {"ended": ended, "stitch_s": stitch_s, "tensorflow_imported": "tensorflow" in sys.modules}


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stitch", type=Path, metavar="FOLDER", help="stitch what lies there, once")
    folder = parser.parse_args().stitch
    print(json.dumps(_stitch(folder) if folder else startup()))  # noqa: T201


if __name__ == "__main__":
    main()
