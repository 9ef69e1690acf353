"""Folders of finished comparisons, written by the real writers from results made by hand."""

import dataclasses
import json
from datetime import datetime, timezone

import made_results as made
import numpy as np

from ptycho.evaluation import compare_images
from ptycho.report import InputFile, RunInfo, write_artifacts

HOSTILE = "</script><script>document.title='run'</script>\"'&amp;<!--"
STARTED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)


def info(**changes):
    scan = InputFile("test_data", f"/data/{HOSTILE}.npz", 12345, STARTED.isoformat(), "5c" * 32, "ends")
    values = {
        "command": ("compare-models", "--test_data", HOSTILE),
        "started_at": STARTED,
        "wall_s": 12.5,
        "devices": (made.CARD,),
        "inputs": (scan,),
        "object_pixel_m": 6.25e-9,
        "intensity_per_frame": 1e5,
    }
    return RunInfo(**(values | changes))


def scored(arm, seed=3):
    """`arm` with the figures that its image really has."""
    metrics = compare_images(arm.aligned.values, made.image(seed), mask=arm.aligned.covered)
    return dataclasses.replace(arm, metrics=metrics)


def two_arms(**changes):
    """A model that is right but for noise, and a finished image that is another object."""
    rng = np.random.default_rng(5)
    noise = 0.03 * (
        rng.standard_normal(made.WINDOW.shape_yx) + 1j * rng.standard_normal(made.WINDOW.shape_yx)
    )
    near = np.where(made.covered(), 0.8 * (made.image() + noise), 0).astype(np.complex64)
    model = scored(made.model_arm(aligned=made.placed(near, made.covered())))
    other = scored(made.finished_arm(label="ePIE", aligned=made.placed(made.image(seed=8))))
    return made.comparison(model, other, **changes)


def hostile():
    """An arm, a failure and an assumption whose words are HTML and JavaScript."""
    arm = scored(made.model_arm(label=HOSTILE, assumptions=(f"taken: {HOSTILE}",)))
    from ptycho.comparison import Failure

    return made.comparison(arm, scored(made.finished_arm()), failures=[Failure(HOSTILE, f"why: {HOSTILE}")])


def write(folder, result, **changes):
    write_artifacts(result, folder, report=info(**changes))
    return folder


def edit_report(folder, change):
    """Let `change` alter `run_report.json` in place."""
    path = folder / "run_report.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


LOSSES = {
    "loss": [0.03, 0.01, 0.004, 0.003],
    "val_loss": [0.03, 0.012, 0.006, 0.0075],
    "val_loss_floor": [0.0025, 0.0025, 0.0025, 0.0025],
    "val_chi2": [9.0, 4.0, 2.0, None],
    "learning_rate": [0.001, 0.001, 0.0005, 0.0005],
}


def training(folder, history=LOSSES, **changes):
    """The folder of a trained model, of which there is the description alone."""
    record = {
        "settings": {"epochs": 4, "schedule": "plateau"},
        "held_out": "scans",
        "n_frames": 4000,
        "n_scans": 20,
        "ended": "all 4 epochs are done",
        "history": history,
        "scans": [{"file": "a.npz", "n_frames": 200, "data_sha256": "ab", "frames": {"photons": 1e5}}],
        "command": "ptycho-train --model pinn",
        "versions": {"ptycho-autobatch": "1.0"},
    } | changes
    bundle = {"schema_version": 2, "architecture": {"kind": "pinn", "patch_size": 64}, "training": record}
    (folder / "bundle.json").write_text(json.dumps(bundle))
    return folder
