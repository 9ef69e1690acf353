"""`check_orientation()`: try the turns of positions and frames on neighbouring frames."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from ptycho.data.illumination import consistent_probe
from ptycho.data.importing import ImportSettings
from ptycho.data.overlap import beam_width_px, is_focused_guess, median_step
from ptycho.data.scan import ScanData
from ptycho.diffraction import SplineObject, expected_amplitude, spread_under_frames
from ptycho.orientation.results import OrientationFindings, OrientationTrial
from ptycho.orientation.settings import OrientationSettings
from ptycho.orientation.turns import Turn, all_turns
from ptycho.refinement import RefinementSettings, refine

# Every so many frames one is left out, to be met by what the others tell of the object.
_LEFT_OUT_EVERY = 5
# Of fewer frames too few are left out for a standard error.
_FEWEST_FRAMES = 30
# Steps of more than this share of the beam's width leave a frame nothing that the others know.
_LARGEST_STEP = 0.6
# Two probes are one if this share of the energy of the one is in the other, wherever it lies.
_SAME_PROBE = 0.95
# Frames are cut to this side: the coarser object tells the orientation as well, at a fraction of the cost.
_LARGEST_SIDE = 128


def check_orientation(
    scan: ScanData,
    *,
    importing: ImportSettings | None = None,
    settings: OrientationSettings | None = None,
) -> OrientationFindings:
    """Tell from the frames alone whether the positions are swapped, flipped or negated against them.

    For each of the eight turns of the positions an object is found from four fifths of some neighbouring frames, and
    held against the fifth that was left out. Frames overlap, so with the right turn what the others tell meets it
    best. The turns are compared frame by frame: one is told from another if its errors are larger by at least four
    standard errors of their mean (of the logarithm of the ratio), and by two percent.

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
        How it was read, so that the flags of the remedy say what to pass instead.
    settings : OrientationSettings, optional

    Returns
    -------
    OrientationFindings

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
    why_not = _why_not(scan)
    if why_not is not None:
        return OrientationFindings(importing=importing, why_not=why_not)
    began = time.perf_counter()
    sample = _coarser(consistent_probe(_neighbours(scan, settings.n_frames)))
    frames = _distinct_turns(sample.probe) if settings.frames_too else [Turn(0)]
    trials = [
        OrientationTrial(
            positions=positions, frames=turn, errors=_errors(sample, positions, turn, settings.sweeps)
        )
        for turn in frames
        for positions in all_turns()
    ]
    return OrientationFindings(
        trials=tuple(sorted(trials, key=lambda trial: trial.error)),
        seconds=time.perf_counter() - began,
        n_frames=sample.n_frames,
        importing=importing,
    )


def _why_not(scan: ScanData) -> str | None:
    """Return why the scan cannot tell its orientation, None if it may."""
    if scan.n_frames < _FEWEST_FRAMES:
        return f"there are {scan.n_frames} frames, and {_FEWEST_FRAMES} are needed"
    if is_focused_guess(scan.probe):
        return (
            "the far field of the probe is flat, as that of one estimated from the mean frame, and then every way to "
            "turn them fits alike; name a measured one by --probe"
        )
    step_px, width_px = median_step(scan.positions_yx), beam_width_px(scan.probe)
    if step_px is None or step_px > _LARGEST_STEP * width_px:
        apart = "positions coincide" if step_px is None else f"steps of {step_px:.3g} pixels"
        return f"{apart} under a beam of {width_px:.3g} pixels leave the frames too little in common"
    return None


def _neighbours(scan: ScanData, n_frames: int) -> ScanData:
    """Return the frames nearest to the middle of the scan, in their order."""
    chosen = np.arange(scan.n_frames)
    if scan.scan_index is not None:
        chosen = np.flatnonzero(scan.scan_index == scan.scan_index[0])
    positions = scan.positions_yx[chosen]
    distance = np.hypot(*(positions - np.median(positions, axis=0)).T)
    nearest = np.argsort(distance, kind="stable")[:n_frames]
    sample = scan.select(np.sort(chosen[nearest]))
    # Neither is needed, and an object must lie under the positions.
    return replace(sample, object_guess=None, labels=None)


def _coarser(scan: ScanData) -> ScanData:
    """Return the scan with its frames cut to a side that is quick to compute."""
    side = scan.patch_size
    if side <= _LARGEST_SIDE:
        return scan
    from ptycho.data.importing.windows import probe_through, window_of

    window = window_of((side, side), None, _LARGEST_SIDE, 1)
    rows, columns = window.slices
    return replace(
        scan,
        amplitude=np.ascontiguousarray(scan.amplitude[:, rows, columns]),
        mask=None if scan.mask is None else scan.mask[rows, columns],
        probe=probe_through(window, scan.probe),
        positions_yx=scan.positions_yx * (_LARGEST_SIDE / side),
        geometry=None,
    )


def _distinct_turns(probe: np.ndarray) -> list[Turn]:
    """Return one of each set of turns of the frames that this probe cannot tell apart, the one with 0 first."""
    kept: list[tuple[Turn, np.ndarray]] = []
    for turn in all_turns():
        turned = turn.inverse.of_image(probe)
        if not any(_likeness(turned, other) > _SAME_PROBE for _, other in kept):
            kept.append((turn, turned))
    return [turn for turn, _ in kept]


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of energy that two probes (N, N) of equal energy have in common, at their best shift."""
    from scipy import fft

    product = np.asarray(fft.fft2(first)) * np.conj(np.asarray(fft.fft2(second)))
    return float(np.abs(np.asarray(fft.ifft2(product))).max() ** 2 / np.vdot(first, first).real ** 2)


def _errors(scan: ScanData, positions: Turn, frames: Turn, sweeps: int) -> np.ndarray:
    """Return the errors of the left-out frames with positions and frames turned, (m,) float64."""
    back = frames.inverse
    turned_yx = back.after(positions).of_positions(scan.positions_yx)
    turned = replace(scan, positions_yx=turned_yx, probe=back.of_image(scan.probe))
    left_out = np.arange(scan.n_frames) % _LEFT_OUT_EVERY == _LEFT_OUT_EVERY // 2
    run = refine(None, turned.select(~left_out), RefinementSettings(sweeps=sweeps))
    image = run.image
    assert image.origin_yx is not None
    values, _, origin_yx = spread_under_frames(
        image.values, image.covered, image.origin_yx, turned_yx, scan.patch_size
    )
    unseen = turned.select(left_out)
    expected = expected_amplitude(SplineObject.of(values), turned.probe, unseen.positions_yx - origin_yx)
    expected *= np.True_ if scan.mask is None else scan.mask
    energies = np.einsum("nij,nij->n", unseen.amplitude, unseen.amplitude, dtype=np.float64)
    missed = np.square(expected - unseen.amplitude, dtype=np.float64).sum(axis=(1, 2))
    return missed / max(float(energies.mean()), np.finfo(np.float64).tiny)
