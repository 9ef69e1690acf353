"""`check_orientation()`: try the turns of positions and frames on neighbouring frames."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ptycho.data.importing import ImportSettings
from ptycho.data.overlap import median_step
from ptycho.data.scan import ScanData
from ptycho.orientation import _by_diffraction
from ptycho.orientation.results import OrientationFindings, OrientationTrial
from ptycho.orientation.settings import OrientationSettings

if TYPE_CHECKING:
    from ptycho.models.predictor import PatchPredictor
    from ptycho.reconstruction import InferenceSettings

# Every so many frames one is left out, to be met by what the others tell of the object.
_LEFT_OUT_EVERY = 5
# Of fewer frames too few are left out for a standard error.
_FEWEST_FRAMES = 30
# Steps of more than this share of what frames have in common leave a frame nothing that the others know.
_LARGEST_STEP = 0.6


def check_orientation(
    scan: ScanData,
    *,
    importing: ImportSettings | None = None,
    settings: OrientationSettings | None = None,
    model: PatchPredictor | None = None,
    inference: InferenceSettings | None = None,
) -> OrientationFindings:
    """Tell from the frames alone whether the positions are swapped, flipped or negated against them.

    For each of the eight turns of the positions an object is found from four fifths of some neighbouring frames, and
    held against the fifth that was left out. Frames overlap, so with the right turn what the others tell meets it
    best. The turns are compared frame by frame: one is told from another if its errors are larger by at least four
    standard errors of their mean (of the logarithm of the ratio), and by two percent.

    With a model the object is the stitched image of its patches, and a left-out patch is held against it: this needs
    no probe, and tells as much as the model is good for. Without one the object is refined from a flat one, and
    left-out frames are held against it: this needs the probe.

    Nothing is tried where it cannot be told: with a probe that was estimated from the mean frame, whose far field is
    flat, every turn fits; frames that are few, or hardly overlap, know nothing of each other.

    Turned frames need no trials of their own. Frames, positions and probe that are all turned alike give the same
    image, turned: so frames turned by s and positions by t fit as well as positions turned by s⁻¹t with the probe
    turned by s⁻¹. A probe like a disk is the same however turned, and of the 8 x 8 ways only the eight s⁻¹t differ.

    Parameters
    ----------
    scan : ScanData
        Its probe is brought to the scale of its frames.
    importing : ImportSettings, optional
        How it was read, so that the settings of the remedy say what to pass instead.
    settings : OrientationSettings, optional
    model : PatchPredictor, optional
        Of single frames; one of groups of them is not used.
    inference : InferenceSettings, optional
        Batch sizes and device of the model.

    Returns
    -------
    OrientationFindings

    Raises
    ------
    DataError
        The frames do not fit the model.
    autobatch.DoesNotFitError
        Not even one frame fits into memory.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from ptycho.data import SimulationSettings, simulate
    >>> from ptycho.orientation import check_orientation
    >>> scan = simulate(SimulationSettings(patch_size=32, object_shape_yx=(80, 90), step_px=5.0))
    >>> check_orientation(scan).verdict
    'right'
    >>> check_orientation(replace(scan, positions_yx=scan.positions_yx[:, ::-1], object_guess=None)).verdict
    'turned'
    """
    settings, importing = settings or OrientationSettings(), importing or ImportSettings()
    began = time.perf_counter()
    model = None if model is None or model.gridsize > 1 else model
    sample = _neighbours(scan, settings.n_frames)
    why_not = _why_not(scan, sample, model)
    trials: list[OrientationTrial] = []
    if why_not is None:
        trials = _trials(sample, settings, model, inference)
        why_not = None if trials else "no frame that was left out lies on others"
    return OrientationFindings(
        trials=tuple(sorted(trials, key=lambda trial: trial.error)),
        method="diffraction" if model is None else "model",
        seconds=time.perf_counter() - began,
        n_frames=sample.n_frames,
        importing=importing,
        why_not=why_not,
    )


def _trials(
    sample: ScanData,
    settings: OrientationSettings,
    model: PatchPredictor | None,
    inference: InferenceSettings | None,
) -> list[OrientationTrial]:
    left_out = np.arange(sample.n_frames) % _LEFT_OUT_EVERY == _LEFT_OUT_EVERY // 2
    if model is None:
        return _by_diffraction.diffraction_trials(sample, left_out, settings)
    from ptycho.orientation._by_model import model_trials

    return model_trials(sample, left_out, model, inference)


def _why_not(scan: ScanData, sample: ScanData, model: PatchPredictor | None) -> str | None:
    """Return why the scan cannot tell its orientation, None if it may."""
    if sample.n_frames < _FEWEST_FRAMES:
        return f"there are {sample.n_frames} frames with light, and {_FEWEST_FRAMES} are needed"
    if model is None:
        reason, width_px = _by_diffraction.why_not(scan), _by_diffraction.common_width_px(scan)
    else:
        from ptycho.orientation._by_model import crop_size

        reason, width_px = None, float(crop_size(model, scan))
    step_px = median_step(sample.positions_yx)
    if reason is not None or (step_px is not None and step_px <= _LARGEST_STEP * width_px):
        return reason
    apart = "positions that coincide" if step_px is None else f"steps of {step_px:.3g} pixels"
    return f"{apart} leave the frames too little in common, which meet within {width_px:.3g} pixels"


def _neighbours(scan: ScanData, n_frames: int) -> ScanData:
    """Return the frames nearest to the middle of the scan, in their order, without the blank ones."""
    chosen = np.arange(scan.n_frames)
    if scan.scan_index is not None:
        chosen = np.flatnonzero(scan.scan_index == scan.scan_index[0])
    positions = scan.positions_yx[chosen]
    distance = np.hypot(*(positions - np.median(positions, axis=0)).T)
    nearest = np.sort(chosen[np.argsort(distance, kind="stable")[:n_frames]])
    lit = nearest[scan.frames(nearest).any(axis=(1, 2))]
    # Neither is needed, and an object must lie under the positions.
    return replace(scan, object_guess=None, labels=None).select(lit if lit.size else nearest[:1])
