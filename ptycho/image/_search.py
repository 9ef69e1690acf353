"""The search for the shift and the ramp that carry one image onto another: everywhere, then to the top of the peak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ptycho.image._overlay import Field, Overlay, binning_factor, coarse_shift, overlay_at
from ptycho.image.phase import fit_phase_ramp

_MAX_ROUNDS = 10
# Finer than the 0.005 px to which shifts are found without noise (docs/metrics.md).
_SETTLED_PX = 1e-3
_GOOD_CORRELATION = 0.5


def best_match(moving: Field, reference: Field) -> Overlay:
    """Return the best of all matches, at the top of its peak."""
    return climbed(_best_start(moving, reference), moving, reference)


def climbed(overlay: Overlay, moving: Field, reference: Field) -> Overlay:
    """Return the match at the top of the peak on whose slope `overlay` lies."""
    # Shift under the ramp of the round before, then the ramp under that shift; each lessens the other's error.
    for _ in range(_MAX_ROUNDS):
        step_yx = overlay.remaining_shift_yx()
        offset_yx = (overlay.offset_yx[0] + step_yx[0], overlay.offset_yx[1] + step_yx[1])
        overlay = overlay_at(moving, reference, offset_yx, overlay.ramp.slope_yx)
        if np.hypot(*step_yx) < _SETTLED_PX:
            break
    return overlay


def quick_match(moving: Field, reference: Field) -> Overlay:
    """Return about the best match of small images: to a pixel, under the ramp that fits there."""
    flat = moving.without(fit_phase_ramp(moving.values * moving.taper).slope_yx)
    return overlay_at(flat, reference, coarse_shift(flat, reference), (0.0, 0.0))


def _best_start(moving: Field, reference: Field) -> Overlay:
    """Search all shifts under each likely ramp, to a pixel; stop at the first that clearly fits."""
    starts = []
    for slope_yx in _likely_slopes(moving):
        starts.append(_coarse_start(moving, reference, slope_yx))
        if starts[-1].correlation > _GOOD_CORRELATION:
            break
    best = max(starts, key=lambda start: start.correlation)
    return overlay_at(moving, reference, best.offset_yx, best.slope_yx)


def _likely_slopes(moving: Field) -> Iterator[tuple[float, float]]:
    # The strongest Fourier component is the undiffracted wave of any object that is not all phase wraps;
    # a shift leaves it in place and a ramp moves it.
    yield fit_phase_ramp(moving.values * moving.taper).slope_yx
    yield 0.0, 0.0


@dataclass(frozen=True)
class _Start:
    correlation: float
    offset_yx: tuple[float, float]
    slope_yx: tuple[float, float]


def _coarse_start(moving: Field, reference: Field, slope_yx: tuple[float, float]) -> _Start:
    """Search all shifts on binned images: first under the given ramp, then under the one that then fits."""
    # Only the right peak has to be found here; its top is climbed at full resolution.
    factor = binning_factor(moving.values.shape)
    flat, target = moving.without(slope_yx).binned(factor), reference.binned(factor)
    rest_yx = overlay_at(flat, target, coarse_shift(flat, target), (0.0, 0.0)).ramp.slope_yx
    found = overlay_at(flat, target, coarse_shift(flat.without(rest_yx), target), rest_yx)
    offset_yx = found.offset_yx[0] * factor, found.offset_yx[1] * factor
    rest_yx = found.ramp.slope_yx
    # A binned pixel is `factor` pixels wide: offsets grow by it, radians per pixel shrink.
    slope_yx = slope_yx[0] + rest_yx[0] / factor, slope_yx[1] + rest_yx[1] / factor
    return _Start(found.correlation, offset_yx, slope_yx)
