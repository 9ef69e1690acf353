"""Compiled loop over the pixels of frames. Importing this module imports numba; only `misfit` does, in a function."""

from __future__ import annotations

import numpy as np

from ptycho._compiled.compiling import compiled


@compiled
def add_frames(detector, numbers, measured, predicted, mask, scale, moments, steps):
    """Add frames to the sums of a misfit; the brightness of each is fitted.

    Parameters
    ----------
    detector : (4, N, N) float64
        Sums per pixel of squared differences, their scale, energies measured and predicted; added to.
    numbers : (b, 7) float64
        Receives of each frame squared differences, their scale, its variance, energy, deviation, that of the noise,
        and amplitude; an energy of 0 for a frame that is passed over.
    measured, predicted : (b, N, N) float32
    mask : (N, N) bool
    scale : float
        Makes amplitudes roots of counts; 0 where counts are not known.
    moments : (K, 4) float32
        `PoissonMoments.table`.
    steps : float
        How many entries it has to a unit of amplitude.
    """
    side, last = mask.shape[0], moments.shape[0] - 1
    counted = scale > 0
    unit = np.float32(scale) if counted else np.float32(1)
    for frame in range(measured.shape[0]):
        seen, made = measured[frame], predicted[frame]
        energy, made_energy = 0.0, 0.0
        for i in range(side):
            for j in range(side):
                if mask[i, j]:
                    energy += np.float64(seen[i, j]) * seen[i, j]
                    made_energy += np.float64(made[i, j]) * made[i, j]
        numbers[frame] = 0.0
        if not (energy > 0 and made_energy > 0 and np.isfinite(made_energy)):
            continue
        factor = np.float32(np.sqrt(energy / made_energy)) * unit
        energy *= np.float64(unit) * unit
        squares, noise, less, variance = 0.0, 0.0, 0.0, 0.0
        deviation, noise_deviation, amplitude = 0.0, 0.0, 0.0
        for i in range(side):
            for j in range(side):
                if not mask[i, j]:
                    continue
                value, fitted = seen[i, j] * unit, made[i, j] * factor
                difference = value - fitted
                square = np.float64(4 * difference * difference)
                detector[0, i, j] += square
                detector[2, i, j] += np.float64(value * value)
                detector[3, i, j] += np.float64(fitted * fitted)
                squares += square
                deviation += abs(difference)
                amplitude += value
                if counted:
                    k = int(min(fitted * np.float32(steps) + np.float32(0.5), np.float32(last)))
                    detector[1, i, j] += moments[k, 0]
                    noise += moments[k, 0]
                    variance += moments[k, 1]
                    less += fitted * fitted * moments[k, 2]
                    noise_deviation += moments[k, 3]
                else:
                    detector[1, i, j] += np.float64(4 * value * value)
        # Fitted to its photons, a frame's counts are no Poisson but binomial numbers, whose variance is less by the
        # pixel's share of the photons: to first order in that share this is what chi² has less.
        noise = noise - less / energy if counted else 4 * energy
        numbers[frame, 0], numbers[frame, 1], numbers[frame, 2] = squares, noise, variance
        numbers[frame, 3], numbers[frame, 4] = energy, deviation
        numbers[frame, 5], numbers[frame, 6] = noise_deviation, amplitude
