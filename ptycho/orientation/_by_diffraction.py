"""How well the diffraction model meets left-out frames with positions and frames turned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ptycho.data.defects import defects_of
from ptycho.data.illumination import consistent_probe
from ptycho.data.overlap import beam_width_px, is_focused_guess
from ptycho.data.scan import ScanData
from ptycho.diffraction import SplineObject, expected_amplitude, spread_under_frames
from ptycho.orientation.results import OrientationTrial
from ptycho.orientation.settings import OrientationSettings
from ptycho.orientation.turns import Turn, all_turns
from ptycho.refinement import RefinementSettings, refine

# Two probes are one if this share of the energy of the one is in the other, wherever it lies.
_SAME_PROBE = 0.95
# Frames are cut to this side: the coarser object tells the orientation as well, at a fraction of the cost.
_LARGEST_SIDE = 128


def why_not(scan: ScanData) -> str | None:
    """Return why the probe of a scan lets no orientation be told, None if it may."""
    if is_focused_guess(scan.probe):
        return (
            "the far field of the probe is flat, as that of one estimated from the mean frame, and then every way to "
            "turn them fits alike; name a measured one by `probe`"
        )
    return None


def common_width_px(scan: ScanData) -> float:
    """Return within how many pixels frames share what they know: the width of the beam."""
    return beam_width_px(scan.probe)


def diffraction_trials(
    scan: ScanData, left_out: np.ndarray, settings: OrientationSettings
) -> list[OrientationTrial]:
    """Return a trial for each turn of the positions, and of the frames if they are wanted and can be told.

    Parameters
    ----------
    scan : ScanData
        A few neighbouring frames.
    left_out : (n,) bool
        Those that are met, by what the others tell of the object.
    settings : OrientationSettings
    """
    sample = _coarser(consistent_probe(_sound(scan)))
    frames = _distinct_turns(sample.probe) if settings.frames_too else [Turn(0)]
    return [
        OrientationTrial(
            positions=positions,
            frames=turn,
            errors=_errors(sample, left_out, positions, turn, settings.sweeps),
        )
        for turn in frames
        for positions in all_turns()
    ]


def _sound(scan: ScanData) -> ScanData:
    """Return the scan without its hot and dead pixels: one of them can outshine all that the turns differ in."""
    defects = defects_of(scan)
    if not defects:
        return scan
    sound = ~defects.bad
    return scan.with_mask(sound if scan.mask is None else sound & scan.mask)


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
        amplitude=np.ascontiguousarray(scan.frames(slice(None))[:, rows, columns]),
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


def _errors(scan: ScanData, left_out: np.ndarray, positions: Turn, frames: Turn, sweeps: int) -> np.ndarray:
    """Return the errors of the left-out frames with positions and frames turned, (m,) float64."""
    back = frames.inverse
    turned_yx = back.after(positions).of_positions(scan.positions_yx)
    turned = replace(scan, positions_yx=turned_yx, probe=back.of_image(scan.probe))
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
