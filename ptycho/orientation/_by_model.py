"""How well a network's patches agree with left-out ones with the positions turned."""

from __future__ import annotations

import numpy as np

from ptycho.data.scan import ScanData
from ptycho.models.predictor import PatchPredictor
from ptycho.orientation.results import OrientationTrial
from ptycho.orientation.turns import Turn, all_turns
from ptycho.reconstruction import InferenceSettings, reconstruct
from ptycho.stitching import Canvas

# Of the side of a patch: its border is a network's worst part.
_CROP = 0.5
# A pixel between others counts if all of them are covered.
_COVERED = 1 - 1e-6


def crop_size(model: PatchPredictor, scan: ScanData) -> int:
    """Return the side in pixels of the middle of a patch that is held against others: within it they share pixels."""
    side = round(_CROP * scan.patch_size)
    return max(2, min(side, model.trusted_crop_size or side) // 2 * 2)


def model_trials(
    scan: ScanData, left_out: np.ndarray, model: PatchPredictor, inference: InferenceSettings | None
) -> list[OrientationTrial]:
    """Return a trial for each turn of the positions.

    Parameters
    ----------
    scan : ScanData
        A few neighbouring frames.
    left_out : (n,) bool
        Those whose patches are met, by the image that the others make.
    model : PatchPredictor
        Of single frames.
    inference : InferenceSettings, optional
        How it predicts; what is held against others is the middle half of a patch.

    Returns
    -------
    list of OrientationTrial
        Empty if no left-out patch lies on others in all of them.
    """
    side = crop_size(model, scan)
    middle = slice((scan.patch_size - side) // 2, (scan.patch_size + side) // 2)
    patches = _patches_of(scan, model, inference)[:, middle, middle]
    errors = {turn: _errors(patches, turn.of_positions(scan.positions_yx), left_out) for turn in all_turns()}
    known = np.logical_and.reduce([np.isfinite(each) for each in errors.values()])
    return [
        OrientationTrial(positions=turn, frames=Turn(0), errors=each[known])
        for turn, each in errors.items()
        if known.sum() > 1
    ]


def _patches_of(scan: ScanData, model: PatchPredictor, inference: InferenceSettings | None) -> np.ndarray:
    """Return the patch of each frame, (n, N, N) complex64."""
    batches: list[np.ndarray] = []
    reconstruct(
        model,
        scan,
        inference,
        observer=lambda frames, centres_yx, patches: batches.append(patches),
        label="orientation",
    )
    return np.concatenate(batches)


def _errors(patches: np.ndarray, positions_yx: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Return Σ |image - patch|² over Σ |patch|² of each left-out patch (m, M, M), NaN where no others lie."""
    side = patches.shape[-1]
    canvas = Canvas.around(positions_yx, crop_size=side, backend="cpu")
    canvas.add(patches[~left_out], positions_yx[~left_out])
    unseen, places = patches[left_out], positions_yx[left_out]
    covered = np.real(canvas.extract((canvas.coverage() > 0).astype(np.complex64), places)) > _COVERED
    missed = np.abs(canvas.extract(canvas.image(), places) - unseen) ** 2
    whole = np.sum(np.abs(unseen) ** 2 * covered, axis=(1, 2), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sum(missed * covered, axis=(1, 2)) / whole
