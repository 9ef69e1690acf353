"""What the host does for a network, measured in a process of its own that prints one line of JSON.

``python -m benchmarks.host_work CASE`` runs with whatever `ptycho` is on the path, so that two checkouts can be
compared; it uses no more of it than both have.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median

import numpy as np

N, CROP = 64, 20
_FREE_FRAMES, _FREE_ROUNDS = 20_000, 3
_PINN_FRAMES, _PINN_ROUNDS = 512, 2
_SLOW_FRAMES, _SLOW_BATCH = 1_536, 32


def scan_of(n_frames: int):
    """Return frames of noise on a raster of steps of 2 px, jittered."""
    from ptycho.data import ScanData

    rng, side = np.random.default_rng(3), int(np.ceil(n_frames**0.5))
    raster = np.stack(np.unravel_index(np.arange(n_frames), (side, side)), 1)
    return ScanData(
        amplitude=rng.random((n_frames, N, N), np.float32),
        positions_yx=2.0 * raster + rng.uniform(-0.4, 0.4, (n_frames, 2)) + N,
        probe=np.ones((N, N)),
    )


def free_model():
    """Return a network that costs nothing: two `Rescaling` layers."""
    import keras

    from ptycho.models.patch_model import ForeignArchitecture, PatchModel

    frames = keras.Input((N, N, 1))
    network = keras.Model(frames, [keras.layers.Rescaling(1.0)(frames), keras.layers.Rescaling(0.3)(frames)])
    made = ForeignArchitecture(kind="pinn", patch_size=N, gridsize=1, n_weights=0)
    return PatchModel(network=network, architecture=made)


def timed(model, scan, settings, *, rounds: int) -> dict:
    """Return the median seconds and processor seconds of a whole stream, and the last image."""
    from ptycho.reconstruction.job import InferenceJob

    job = InferenceJob.of(model, scan, settings)
    job.warm_up()
    job.sums(0, min(len(job), 512))
    walls, processors = [], []
    for _ in range(rounds):
        began, used = time.perf_counter(), time.process_time()
        sums = job.sums(0, len(job))
        walls.append(time.perf_counter() - began)
        processors.append(time.process_time() - used)
    run = job.finished(sums)
    return {
        "batch": run.prediction.plan.batch_size,
        "wall_s": median(walls),
        "processor_s": median(processors),
        "image": run.image.values,
    }


def free(size: int | str) -> dict:
    """The free network, with half sets and without the verdict, as the target has it."""
    from ptycho.reconstruction import InferenceSettings

    settings = InferenceSettings(crop_size=CROP, self_consistency=True, predict_batch_size=size)
    return timed(free_model(), scan_of(_FREE_FRAMES), settings, rounds=_FREE_ROUNDS)


def pinn(verdict: bool) -> dict:
    """The shipped PINN, with half sets."""
    from ptycho.demo import model_folder
    from ptycho.models import load_model
    from ptycho.reconstruction import InferenceSettings

    settings = InferenceSettings(crop_size=CROP, self_consistency=True, verdict=verdict)
    return timed(load_model(model_folder("pinn")), scan_of(_PINN_FRAMES), settings, rounds=_PINN_ROUNDS)


def slow_reader() -> dict:
    """A reader that takes as long as the network: seconds of either alone, and of both."""
    from ptycho.models.patch_model import PatchModel
    from ptycho.reconstruction import InferenceSettings

    class Slowly(PatchModel):
        delay_s = 0.0

        def inputs_of(self, amplitude, normalisation):
            time.sleep(self.delay_s * len(amplitude))
            return super().inputs_of(amplitude, normalisation)

    import keras

    frames = keras.Input((N, N, 1))
    hidden = keras.layers.Conv2D(24, 3, padding="same", activation="relu")(frames)
    hidden = keras.layers.Conv2D(24, 3, padding="same", activation="relu")(hidden)
    network = keras.Model(frames, [keras.layers.Conv2D(1, 3, padding="same")(hidden) for _ in range(2)])
    model = Slowly(network=network, architecture=free_model().architecture)
    settings = InferenceSettings(crop_size=CROP, self_consistency=True, predict_batch_size=_SLOW_BATCH)
    scan = scan_of(_SLOW_FRAMES)
    computing = timed(model, scan, settings, rounds=1)["wall_s"]
    type(model).delay_s = computing / _SLOW_FRAMES
    both = timed(model, scan, settings, rounds=1)["wall_s"]
    return {"computing_s": computing, "reading_s": computing, "wall_s": both, "ratio": both / computing}


CASES = {
    "free 32": lambda: free(32),
    "free auto": lambda: free("auto"),
    "free 1024": lambda: free(1024),
    "pinn": lambda: pinn(False),
    "pinn verdict": lambda: pinn(True),
    "slow reader": slow_reader,
}


def main() -> None:
    """Measure one case; its image goes into the file that is named second."""
    result = CASES[sys.argv[1]]()
    image = result.pop("image", None)
    if image is not None and len(sys.argv) > 2:
        np.save(sys.argv[2], image)
    print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main()
