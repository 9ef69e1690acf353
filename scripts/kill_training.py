"""Kill a training with SIGKILL at random moments, resume it each time, and compare it with one that ran through.

``python scripts/kill_training.py`` trains a small network twice on a simulated scan: once without a stop, once killed
five times. It prints where each kill fell and how many steps it cost, and fails unless both trainings end with the
same weights, bit for bit, and no kill cost more than an epoch.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_POLL_S = 0.002
# Up to this long after the step that was drawn, so that kills fall between steps and into the writing of files too.
_LONGEST_DELAY_S = 0.1


def train_noting_steps(kind: str, folder: Path, epochs: int) -> None:
    """Train in this process; every step that is done adds a byte to the file ``steps`` in `folder`."""
    import keras

    from ptycho.data import SimulationSettings, simulate
    from ptycho.models import Architecture, TrainingSettings, save_training, train

    class Steps(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            with (folder / "steps").open("ab", buffering=0) as file:
                file.write(b".")

    scan = simulate(SimulationSettings(n_positions=120, seed=1))
    result = train(
        [scan],
        Architecture(kind=kind, patch_size=scan.patch_size, n_filters_scale=0.25),  # pyright: ignore[reportArgumentType]
        settings=TrainingSettings(epochs=epochs, plateau_patience=1, stop_patience=epochs, seed=1),
        folder=folder,
        resume=True,
        callbacks=[Steps()],
    )
    save_training(folder, result)


def started(kind: str, folder: Path, epochs: int) -> subprocess.Popen:
    """Start `train_noting_steps` as a process of its own."""
    words = ["--worker", str(folder), "--model", kind, "--epochs", str(epochs)]
    return subprocess.Popen([sys.executable, __file__, *words], stderr=subprocess.DEVNULL)


def steps_done(folder: Path) -> int:
    """Return how many steps have been done in all runs in `folder`."""
    file = folder / "steps"
    return file.stat().st_size if file.exists() else 0


def epochs_kept(folder: Path) -> int:
    """Return how many epochs the state in `folder` is worth."""
    from ptycho.models._checkpoint import CHECKPOINT, load_checkpoint

    path = folder / CHECKPOINT
    return load_checkpoint(path).n_epochs if path.exists() else 0


def kill_after(process: subprocess.Popen, folder: Path, n_steps: int, delay_s: float) -> bool:
    """Kill `process` once the runs in `folder` have done `n_steps`; return whether it was still alive."""
    while steps_done(folder) < n_steps and process.poll() is None:
        time.sleep(_POLL_S)
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def killed_training(kind: str, folder: Path, epochs: int, steps_per_epoch: int, draw: random.Random) -> None:
    """Train in `folder` under five kills; print what each cost, and fail if that is more than an epoch."""
    for number, share in enumerate(sorted(draw.random() for _ in range(5)), start=1):
        kept = epochs_kept(folder)
        before = steps_done(folder)
        # A share of all steps, but at least one of those that are to come.
        wanted = max(1, round(share * epochs * steps_per_epoch) - kept * steps_per_epoch)
        process = started(kind, folder, epochs)
        if not kill_after(process, folder, before + wanted, draw.uniform(0, _LONGEST_DELAY_S)):
            raise SystemExit(f"kill {number} came too late: the training had ended")
        done = kept * steps_per_epoch + steps_done(folder) - before
        lost = done - epochs_kept(folder) * steps_per_epoch
        print(
            f"kill {number}: in step {done + 1}, epoch {done // steps_per_epoch + 1}; "
            f"{epochs_kept(folder)} epochs kept, {lost} steps lost"
        )
        if not 0 <= lost <= steps_per_epoch:
            raise SystemExit(f"{lost} steps were lost but an epoch has {steps_per_epoch}")
    if started(kind, folder, epochs).wait() != 0:
        raise SystemExit("the training could not be resumed")


def weights_of(folder: Path) -> list[np.ndarray]:
    """Return the numbers of the model in `folder`."""
    from ptycho.models.bundle import load_bundle

    return load_bundle(folder).network.get_weights()


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the module says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", choices=("pinn", "baseline"), default="pinn")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    kind, epochs = arguments.model, arguments.epochs
    if arguments.worker is not None:
        train_noting_steps(kind, arguments.worker, epochs)
        return 0
    os.environ.update(CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")
    with tempfile.TemporaryDirectory() as name:
        straight, killed = Path(name) / "straight", Path(name) / "killed"
        for folder in (straight, killed):
            folder.mkdir()
        if started(kind, straight, epochs).wait() != 0:
            raise SystemExit("the training without a kill failed")
        steps_per_epoch = steps_done(straight) // epochs
        print(f"{kind}: {epochs} epochs of {steps_per_epoch} steps without a kill")
        killed_training(kind, killed, epochs, steps_per_epoch, random.Random(arguments.seed))
        pairs = zip(weights_of(straight), weights_of(killed), strict=True)
        different = sum(int(np.count_nonzero(a.view(np.int32) != b.view(np.int32))) for a, b in pairs)
        n_weights = sum(array.size for array in weights_of(straight))
    print(f"{different} of {n_weights} weights differ in any bit")
    return int(different > 0)


if __name__ == "__main__":
    raise SystemExit(main())
