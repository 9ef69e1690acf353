"""The work that runs under a cap: a stitch through TensorFlow, and inference with a network of random weights.

``python -m capped_work SPEC`` runs side by side what SPEC lists: a JSON list of objects with the arguments of `whole`
and ``cap_mb``. It prints a JSON list of how the batches of each went.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
from capped import KERNELS, Copy

PATCH_SIZE = 64
CROP_SIZE = 50


class Stitcher:
    """Patches of noise that enter a TensorFlow canvas."""

    def __init__(self, n_items: int) -> None:
        from ptycho.stitching import Canvas

        rng = np.random.default_rng(5)
        noise = rng.standard_normal((n_items, PATCH_SIZE, 2 * PATCH_SIZE), dtype=np.float32)
        self.patches = noise.view(np.complex64)
        self.positions_yx = rng.uniform((-60, -90), (60, 90), (n_items, 2))
        self.canvas = Canvas.around(self.positions_yx, crop_size=CROP_SIZE, backend="tensorflow")

    def run(self, batch_size):
        """Stitch all of them; return the `BatchRun` and the image."""
        from ptycho.stitching import add_in_batches

        run = add_in_batches(self.canvas, self.patches, self.positions_yx, batch_size=batch_size)
        return run, self.canvas.image()

    def once(self) -> None:
        """Stitch all of them in one batch."""
        self.canvas.add(self.patches, self.positions_yx)


class Prediction:
    """Frames of noise that a network of random weights turns into patches."""

    def __init__(self, kind, n_items: int) -> None:
        import keras

        from ptycho.data import ScanData
        from ptycho.models.networks import Architecture, build_network
        from ptycho.models.patch_model import PatchModel

        keras.utils.set_random_seed(6)
        architecture = Architecture(kind=kind, patch_size=PATCH_SIZE)
        self.model = PatchModel(build_network(architecture), architecture)
        rng = np.random.default_rng(7)
        self.scan = ScanData(
            amplitude=rng.random((n_items, PATCH_SIZE, PATCH_SIZE), dtype=np.float32),
            positions_yx=rng.uniform((40, 40), (120, 180), (n_items, 2)),
            probe=np.ones((PATCH_SIZE, PATCH_SIZE), np.complex64),
        )

    def run(self, batch_size):
        """Reconstruct from all of them; return the `BatchRun` of the network and the image."""
        from ptycho.reconstruction import InferenceSettings, reconstruct

        settings = InferenceSettings(
            crop_size=CROP_SIZE,
            predict_batch_size=batch_size,
            # Else a CPU takes at most 32 items, whatever its memory.
            max_predict_batch_size=self.scan.n_frames,
        )
        run = reconstruct(self.model, self.scan, settings)
        return run.prediction, run.image.values

    def once(self) -> None:
        """Predict all of them in one batch."""
        self.model.predict_batch(self.scan.amplitude[..., np.newaxis])


def made(work: str, n_items: int) -> Stitcher | Prediction:
    """Return the work called "stitcher", "pinn" or "baseline" for that many items."""
    return Stitcher(n_items) if work == "stitcher" else Prediction(work, n_items)


def whole(work: str, n_items: int, batch_size: int | str, file: str | None = None) -> dict[str, Any]:
    """Do all of the work in batches, save the image to `file`, and return how the batches went."""
    run, image = made(work, n_items).run(batch_size)
    if file is not None:
        np.save(file, image)
    return run.as_dict()


def fits_at_once(work: str, n_items: int) -> bool:
    """Return whether one batch of everything fits."""
    from autobatch import is_out_of_memory

    ready = made(work, n_items)
    try:
        ready.once()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def import_everything() -> None:
    """Import what the work needs, TensorFlow with the kernels that all copies share; uses none of it."""
    os.environ.update(KERNELS)
    import keras  # noqa: F401

    import ptycho.reconstruction
    import ptycho.stitching._cpu  # noqa: F401


def main() -> None:
    """Run what the command line lists."""
    import_everything()
    copies = [Copy(whole, *_arguments(spec), cap_mb=spec["cap_mb"]) for spec in json.loads(sys.argv[1])]
    print(json.dumps([copy.result() for copy in copies]))  # noqa: T201


def _arguments(spec: dict[str, Any]) -> tuple:
    return spec["work"], spec["n_items"], spec["batch_size"], spec.get("file")


if __name__ == "__main__":
    main()
