"""The rate at which a 2-D array of phasors turns: the one search behind shifts and phase ramps.

A phase ramp is the rate at which phasors turn from pixel to pixel; a shift is the rate at which the
phasors of a cross-power spectrum turn from frequency to frequency. Both are the maximum of
``|sum(values · exp(-i (rate_y · y + rate_x · x)))|``, which is also the least-squares fit of such a phasor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MAX_TRIALS = 40
_TOLERANCE = 1e-7
# Half a grid step on either side: the start of the climb is then inside the concave top of a sinc² lobe.
_GRID = np.arange(-2, 3) / 2


@dataclass(frozen=True)
class PhasorPeak:
    """Where the sum of turned phasors is largest, and that sum.

    Attributes
    ----------
    rate_yx : (float, float)
        Radians per unit of the y and of the x coordinate.
    total : complex
        The sum of the phasors after turning them back at that rate.
    """

    rate_yx: tuple[float, float]
    total: complex


def refine_peak(
    values: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    *,
    start_yx: tuple[float, float],
    step_yx: tuple[float, float],
) -> PhasorPeak:
    """Climb from the best point of a coarse grid to the top of its peak.

    Parameters
    ----------
    values : (H, W) complex128
        The phasors.
    y, x : (H,), (W,) float64
        Coordinates of the rows and columns.
    start_yx : (float, float)
        Best rate of a grid with spacing `step_yx`, in radians per coordinate.
    step_yx : (float, float)
        Spacing of that grid; also the natural width of a peak.
    """
    # In units of the grid step the problem has unit scale, so one tolerance fits shifts and ramps alike.
    y_scaled, x_scaled = y * step_yx[0], x * step_yx[1]
    start = np.array(start_yx) / step_yx
    point = _best_of_grid(values, y_scaled, x_scaled, start)
    moments = _moments(values, y_scaled, x_scaled, point)
    step = _ascent_step(moments)
    for _ in range(_MAX_TRIALS):
        if np.abs(step).max() < _TOLERANCE:
            break
        trial = _moments(values, y_scaled, x_scaled, point + step)
        if abs(trial[0, 0]) > abs(moments[0, 0]):
            point, moments = point + step, trial
            step = _ascent_step(moments)
        else:
            # Past the top, or on to another lobe: back half way until the sum grows.
            step = step / 2
    rate = point * step_yx
    return PhasorPeak((float(rate[0]), float(rate[1])), complex(moments[0, 0]))


def _best_of_grid(values: np.ndarray, y: np.ndarray, x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    rows, columns = centre[0] + _GRID, centre[1] + _GRID
    # A Fourier transform at chosen frequencies as two matrix products (doi:10.1364/OL.33.000156).
    sums = np.exp(-1j * np.outer(rows, y)) @ values @ np.exp(-1j * np.outer(x, columns))  # (5, 5)
    row, column = np.unravel_index(np.argmax(np.abs(sums)), sums.shape)
    return np.array([rows[row], columns[column]])


def _moments(values: np.ndarray, y: np.ndarray, x: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return ``m[a, b] = sum(y^a x^b values exp(-i rate·(y, x)))`` for a, b < 3."""
    powers_y = np.exp(-1j * rate[0] * y) * y ** np.arange(3)[:, None]  # (3, H)
    powers_x = np.exp(-1j * rate[1] * x) * x ** np.arange(3)[:, None]
    return powers_y @ values @ powers_x.T


def _ascent_step(m: np.ndarray) -> np.ndarray:
    """Newton's step for |sum|², or one along the gradient where the surface is not concave."""
    # With A = Σ v exp(-i k·r): ∂A = -i Σ r v exp(-i k·r), ∂²A = -Σ r rᵀ v exp(-i k·r), and for half of |A|²
    # the gradient is Re(A* ∂A) and the Hessian Re(∂A* ∂Aᵀ + A* ∂²A).
    total = m[0, 0].conjugate()
    first = -1j * np.array([m[1, 0], m[0, 1]])
    second = -np.array([[m[2, 0], m[1, 1]], [m[1, 1], m[0, 2]]])
    gradient = (total * first).real
    hessian = (np.outer(first.conj(), first) + total * second).real
    curvature, axes = np.linalg.eigh(hessian)
    scale = np.abs(curvature).max()
    if scale == 0:
        return np.zeros(2)
    # Newton's step may run to a saddle; with every curvature taken as negative it climbs
    # (modified Newton, Nocedal and Wright 2006, section 3.4, doi:10.1007/978-0-387-40065-5).
    downhill = -np.maximum(np.abs(curvature), 1e-3 * scale)
    step = axes @ ((axes.T @ -gradient) / downhill)
    return step / max(1.0, 2 * float(np.hypot(*step)))  # at most half a grid step: stay on this peak
