"""Show that the naive full-canvas method runs out of memory where the batched one does not.

``python tests/naive_oom.py [FILE]`` stitches a scan of real size with `naive_tf` under a cap of 400 MB and writes the
traceback of its ``ResourceExhaustedError`` to FILE (standard output by default). Exit code 1 if there is none.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from pathlib import Path

import capped

CAP_MB = 400
# A middle-sized scan: 10,304 patches of 64 x 64, of which 20 x 20 are stitched, at positions within ± 84 pixels.
N_PATCHES, PATCH_SIZE, CROP_SIZE, SPAN = 10_304, 64, 20, 84
SETTINGS = capped.KERNELS | capped.cap(CAP_MB)


def naive_traceback() -> str:
    """Run the naive method and return its traceback, without the folders of this machine."""
    import naive_tf
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(8)
    noise = rng.standard_normal((N_PATCHES, PATCH_SIZE, 2 * PATCH_SIZE), dtype=np.float32)
    try:
        naive_tf.stitch(
            noise.view(np.complex64), rng.uniform(-SPAN, SPAN, (N_PATCHES, 2)), crop_size=CROP_SIZE
        )
    except tf.errors.ResourceExhaustedError:
        return without_folders(traceback.format_exc())
    raise SystemExit(f"the naive method did not run out of memory under a cap of {CAP_MB} MB.")


def without_folders(text: str) -> str:
    """Return a text without the folders of this machine."""
    return re.sub(r"[^\s\"']*/site-packages/", "", text).replace(f"{capped.ROOT}{os.sep}", "")


def report() -> str:
    """Say what was run and under which cap, then the traceback."""
    # Read by TensorFlow when it is imported, which happens after this.
    os.environ.update(SETTINGS)
    found = naive_traceback()
    environment = " ".join(f'{name}="{value}"' for name, value in SETTINGS.items())
    return (
        f"{N_PATCHES:,} patches of {PATCH_SIZE}x{PATCH_SIZE}, M = {CROP_SIZE}, positions within ± {SPAN} px, naive "
        f"full-canvas method\n{environment}\nTensorFlow {sys.modules['tensorflow'].__version__}\n\n{found}"
    )


def main() -> None:
    """Write the report to the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="where to write (default standard output)")
    file = parser.parse_args().file
    text = report()
    if file is None:
        sys.stdout.write(text)
    else:
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
